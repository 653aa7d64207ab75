"""`artfs.Table`: what golden values do not show."""

from __future__ import annotations

import logging
from collections import OrderedDict
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import artfs
from artfs.errors import InvalidValue
from artfs.media.table import Table
from artfs.media.types.base import AnyType


def stored(value: Any) -> Any:
    """The JSON of a value in a draft."""
    return value.to_json(artfs.Artifact("draft", type="dataset"))


def test_more_rows_than_an_artifact_keeps_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Table.MAX_ARTIFACT_ROWS == 200_000

    class Small(Table):
        MAX_ARTIFACT_ROWS = 3

    with caplog.at_level(logging.WARNING):
        json = stored(Small(columns=["n"], data=[[n] for n in range(5)]))
    assert (json["nrows"], json["data"]) == (3, [[0], [1], [2]])
    assert "Truncating Table object to 3 rows." in caplog.text


def test_a_row_that_is_refused_leaves_the_table_as_it_was() -> None:
    table = artfs.Table(columns=["a", "b"], data=[[None, 1]])
    before = str(table._column_types)
    with pytest.raises(TypeError):
        table.add_data("first", "not a number")
    assert (table.data, str(table._column_types)) == ([[None, 1]], before)
    table.add_data(5, 2)


def test_a_column_that_is_refused_leaves_the_table_as_it_was() -> None:
    table = artfs.Table(columns=["a"], data=[[1], [2]])
    data, columns = table.data, table.columns
    for wrong in ([1], [1, "x"]):
        with pytest.raises((TypeError, InvalidValue)):
            table.add_column("b", wrong)
    assert (table.data, table.columns) == ([[1], [2]], ["a"])
    table.add_column("b", [3, 4])
    assert data is table.data
    assert columns == ["a", "b"]


def test_rows_of_another_length_are_refused_after_those_before_them() -> None:
    with pytest.raises(ValueError, match=r"expects 1 columns: \['a'\]: found 2"):
        artfs.Table(columns=["a"], data=[[1], [2, 3]])
    with pytest.raises(TypeError, match="incompatible"):
        artfs.Table(columns=["a"], data=[[1], ["x"], [2, 3]])


def test_the_rows_that_were_given_stay_the_users() -> None:
    given = [[1]]
    table = artfs.Table(columns=["a"], data=given)
    given[0][0] = 5
    given.append([2])
    assert table.data == [[1]]


def test_an_older_name_of_add_data_says_so(caplog: pytest.LogCaptureFixture) -> None:
    table = artfs.Table(columns=["a"])
    table.add_row(1)
    assert table.data == [[1]]
    assert "deprecated" in caplog.text


def test_columns_become_arrays() -> None:
    image = artfs.Image(np.zeros((2, 2), dtype=np.uint8))
    table = artfs.Table(columns=["n", "i"], data=[[1, image], [2, image]])
    assert table.get_column("n", convert_to="numpy").tolist() == [1, 2]
    assert table.get_column("i", convert_to="numpy").shape == (2, 2, 2)
    with pytest.raises(ValueError, match="numpy"):
        table.get_column("n", convert_to="torch")


def test_computed_columns_must_come_as_dicts() -> None:
    table = artfs.Table(columns=["n"], data=[[1], [2]])
    with pytest.raises(TypeError, match="dict"):
        table.add_computed_columns(lambda index, row: [row["n"]])  # type: ignore[arg-type,return-value]
    table.add_computed_columns(lambda index, row: {"next": row["n"] + 1, "row": int(index)})
    assert table.data == [[1, 2, 0], [2, 3, 1]]


def test_columns_named_by_numbers_keep_their_order_beside_text() -> None:
    table = artfs.Table(columns=[1, "a"], data=[[5, "x"]])
    assert set(stored(table)["column_types"]["params"]["type_map"]) == {"1", "a"}
    assert table.get_column(1) == [5]


def test_a_column_without_a_declaration_is_refused() -> None:
    table = artfs.Table(columns=["a", "b"], optional=[True])
    with pytest.raises(TypeError, match="Found extra keys: b"):
        table.add_data(1, 2)
    assert stored(table)["data"] == []


def test_tables_are_equal_when_all_that_they_hold_is() -> None:
    rows = [[np.arange(3), {"a": [np.zeros(1)]}, 1]]
    assert artfs.Table(columns=["a", "b", "c"], data=rows) == artfs.Table(
        columns=["a", "b", "c"], data=rows
    )
    one = artfs.Table(columns=["a"], data=[[1]])
    assert one != artfs.Table(columns=["b"], data=[[1]])
    assert one != artfs.Table(columns=["a"], data=[[2]])
    assert one != artfs.Table(columns=["a"], data=[[1], [1]])
    assert one != artfs.Table(columns=["a"], data=[[1]], optional=False)
    assert one != [[1]]


def test_a_key_column_takes_text_and_gives_keys() -> None:
    table = artfs.Table(columns=["id"], data=[["a"], ["b"]])
    table.set_pk("id")
    assert table._pk_col == "id"
    table.add_data("c")
    assert table.data[2][0].get_row() == {"id": "c"}
    assert table.data[2][0].table is table
    with pytest.raises(TypeError):
        table.set_pk("id")
    other = artfs.Table(columns=["ref"], data=[["b"], ["z"]])
    other.set_fk("ref", table, "id")
    assert other._fk_cols == {"ref"}
    assert [cell.get_row() for cell in other.get_column("ref")] == [{"id": "b"}, None]
    with pytest.raises(TypeError):
        other.cast("ref", str)
    other.cast("ref", AnyType())
    assert other._fk_cols == set()


def test_a_key_may_not_be_none() -> None:
    table = artfs.Table(columns=["a"])
    foreign = artfs.Table(columns=["b"], data=[["x"]])
    foreign.set_pk("b")
    with pytest.raises(InvalidValue, match="cannot be optional"):
        table.cast("a", foreign.data[0][0].column_type(), optional=True)


def test_cells_of_odd_kinds_become_what_is_nearest() -> None:
    class Colour(Enum):
        RED = 1

    table = artfs.Table(columns=["c"], allow_mixed_types=True)
    for cell in (
        np.longdouble(1.5),
        OrderedDict(a=1),
        pd.Timestamp("2020-01-01"),
        np.str_("x"),
        len,
        float("nan"),
    ):
        table.add_data(cell)
    assert [row[0] for row in stored(table)["data"]] == [
        1.5,
        {"a": 1},
        1577836800000,
        "x",
        "builtins.len",
        None,
    ]
    for odd in (Colour.RED, SimpleNamespace(a=1), {1, 2}):
        artifact = artfs.Artifact("draft", type="dataset")
        with pytest.raises(TypeError, match="not JSON serializable"):
            artifact.add(artfs.Table(columns=["c"], data=[[odd]]), "t")


def test_a_logged_artifact_can_be_a_cell(run: artfs.Run) -> None:
    model = artfs.Artifact("model", type="model")
    run.log_artifact(model)
    table = artfs.Table(columns=["a"], data=[[model]])
    assert str(table._column_types.type_map["a"]) == "Artifactversion or None"
    assert stored(table)["data"] == [[model.json_encode()]]


def test_arrays_with_a_gap_cannot_be_stored_as_one() -> None:
    table = artfs.Table(columns=["m"], data=[[np.zeros((2, 2))], [None]])
    with pytest.raises(ValueError, match="'m': its arrays cannot be stored as one"):
        stored(table)


def test_a_column_of_arrays_may_have_any_name(run: artfs.Run) -> None:
    matrix = np.eye(3)
    artifact = artfs.Artifact("arrays", type="dataset")
    artifact.add(artfs.Table(columns=["e.x", "a/b"], data=[[matrix, matrix + 1]]), "t")
    run.log_artifact(artifact)
    found = artifact.get("t")
    assert found.data[0][0].tolist() == matrix.tolist()
    assert found.data[0][1].tolist() == (matrix + 1).tolist()


def test_frames_of_every_kind_of_column_become_tables() -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([2**62 + 1, None], dtype="Int64"),
            "s": pd.array(["x", None], dtype="string"),
            "c": pd.Categorical(["x", "y"]),
            "t": pd.to_datetime(["2020-01-01", None]).tz_localize("Europe/Berlin"),
        }
    )
    table = artfs.Table(dataframe=frame)
    data = stored(table)["data"]
    assert data[0][:3] == [2**62 + 1, "x", "x"]
    assert data[1][:3] == [None, None, "y"]
    assert data[0][3] == 1577833200000
    assert data[1][3] is None
