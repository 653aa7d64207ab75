"""Column types: inference, assignment, notation, JSON, explanations."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import artfs
from artfs.errors import InvalidManifest
from artfs.media.tables.columns import ColumnTypes
from artfs.media.types.base import INVALID, NUMBER, STRING, UNKNOWN, AnyType, ConstType
from artfs.media.types.containers import ListType, optional, union
from artfs.media.types.fromjson import type_from_json
from artfs.media.types.inference import assign, assign_all, explain, type_from_dtype, type_of

ATOMS = st.sampled_from(
    [
        None,
        1,
        2.5,
        float("nan"),
        True,
        "text",
        "",
        "wandb-artifact://a/b",
        b"bytes",
        Decimal(1),
        dt.date(2020, 1, 1),
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        np.float32(1.5),
        np.int64(3),
        np.float64("nan"),
        np.bool_(True),
    ]
)
CELLS = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)
DTYPES: st.SearchStrategy[Any] = st.sampled_from(
    [UNKNOWN, int, str, [int, str], [int], {"a": int}, 1, "text", AnyType(), []]
)


def column(dtype: Any, *, may_be_none: bool) -> ColumnTypes:
    """The types of a table of one column."""
    types = ColumnTypes()
    wanted = type_from_dtype(dtype)
    types["c"] = optional(wanted) if may_be_none else wanted
    return types


@given(st.lists(CELLS | ATOMS, max_size=8), DTYPES, st.booleans())
def test_rows_at_once_teach_what_they_teach_one_by_one(
    cells: list[Any], dtype: Any, may_be_none: bool
) -> None:
    rows = [[cell] for cell in cells]
    slow, fast = (column(dtype, may_be_none=may_be_none) for _ in range(2))
    error: str | None = None
    try:
        for row in rows:
            slow.take_row(["c"], row)
    except TypeError as raised:
        error = str(raised)
    if error is None:
        fast.take_rows(["c"], rows)
    else:
        with pytest.raises(TypeError) as caught:
            fast.take_rows(["c"], rows)
        assert str(caught.value) == error
    assert fast.as_type() == slow.as_type()


@given(st.lists(ATOMS, max_size=8), DTYPES)
def test_every_taken_cell_is_taken_again_and_changes_nothing(cells: list[Any], dtype: Any) -> None:
    target = type_from_dtype(dtype)
    for cell in cells:
        assigned = assign(target, cell)
        if assigned is not INVALID:
            target = assigned
            assert assign(target, cell) is target


@given(CELLS)
def test_types_come_back_from_their_json(cell: Any) -> None:
    column_type = type_of(cell)
    assert type_from_json(column_type.to_json(), None) == column_type  # type: ignore[arg-type]


def test_text_after_the_uri_of_an_artifact_is_refused() -> None:
    uris = ["wandb-artifact://a", "wandb-artifact://b"]
    assert assign_all(optional(UNKNOWN), [*uris, "text"]) is INVALID
    assert assign_all(optional(UNKNOWN), ["text", "more", uris[0]]) is INVALID


def test_a_declared_constant_takes_no_other_value_of_its_class() -> None:
    declared = optional(ConstType(5))
    assert assign_all(declared, [5, None, 5]) is declared
    assert assign_all(declared, [5, 5, 6]) is INVALID


def test_a_required_column_refuses_nan_after_many_numbers() -> None:
    assert assign_all(NUMBER, [1.0] * 50 + [float("nan")]) is INVALID
    assert assign_all(optional(NUMBER), [1.0] * 50 + [float("nan")]) == optional(NUMBER)


def test_what_is_assigned_again_is_the_same_object() -> None:
    for cell in (1, "a", [1, 2], {"a": [1]}, [[{"a": None}]]):
        learned = assign(optional(UNKNOWN), cell)
        assert assign(learned, cell) is learned
    image = artfs.Image.declared_type
    assert image.assign_type(artfs.Image.declared_type) is image


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (int, "Number"),
        (None, "None"),
        (np.float32, "Number"),
        (np.bool_, "Boolean"),
        (np.datetime64, "Timestamp"),
        (dt.date, "Timestamp"),
        (list, "Unknown[]"),
        ([], "Unknown[]"),
        ([int], "Number[]"),
        ([str, [int, bool]], "Boolean or Number or String"),
        ({"a": int, "b": [str]}, "{'a': Number, 'b': String[]}"),
        (AnyType, "Any"),
        (Decimal, "Pythonobject(class_name:type)"),
        (artfs.Html, "Html-file"),
        (artfs.Table, "Table(column_types:Unknown)"),
        (artfs.Artifact, "Artifactversion"),
        ((1, 2), "(1, 2)"),
    ],
)
def test_a_notation_stands_for_a_type(dtype: Any, text: str) -> None:
    assert str(type_from_dtype(dtype)) == text


def test_the_class_of_arrays_alone_is_no_type() -> None:
    with pytest.raises(TypeError, match="shape"):
        type_from_dtype(np.ndarray)


def test_a_cell_of_no_dimensions_is_no_list() -> None:
    assert assign(ListType(NUMBER), np.array(3)) is INVALID


def test_unions_of_types_take_unions_of_fewer() -> None:
    wide = union((NUMBER, STRING, ListType(UNKNOWN)))
    assert wide.assign_type(union((STRING, NUMBER))) is wide
    assert wide.assign_type(union((STRING, type_from_dtype(bool)))) is INVALID


def test_an_explanation_says_where_a_value_does_not_fit() -> None:
    assert explain(type_from_dtype({"a": [int]}), {"a": [1, "x"], "z": 1}) == (
        "{'a': [1, 'x'], 'z': 1} of type {'a': Invalid[], 'z': Number} is not assignable to "
        "{'a': Number[]}\n"
        "Found extra keys: z\n"
        "Key 'a':\n"
        "\tInvalid[] not assignable to Number[]\n"
        "\tIndex 1:\n"
        "\t\tString not assignable to Number"
    )


@pytest.mark.parametrize("value", [None, {}, {"wb_type": "list", "params": 5}, {"wb_type": []}])
def test_json_that_is_no_type_is_refused(value: Any) -> None:
    with pytest.raises(InvalidManifest, match="column type"):
        type_from_json(value, None)  # type: ignore[arg-type]
