"""What is logged comes back equal, and nothing is read before it is used."""

from __future__ import annotations

import datetime as dt
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

import artfs
from artfs.errors import ArtfsError
from artfs.media.tables.keys import equal_rows


def logged(run: artfs.Run, values: dict[str, Any], name: str = "values") -> artfs.Artifact:
    """A version that holds values, as somebody else would open it."""
    artifact = artfs.Artifact(name, type="dataset")
    for path, value in values.items():
        artifact[path] = value
    run.log_artifact(artifact)
    return run.use_artifact(f"{name}:latest")


def green(path: str = "green.png") -> str:
    """A small picture."""
    Pillow.new("RGB", (4, 3), (0, 255, 0)).save(path)
    return path


CLASSES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
BOX = {"position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4}, "class_id": 1}

COLUMNS: dict[str, tuple[list[Any], list[Any] | None]] = {
    "numbers": ([1, 2.5, None, 10**20], None),
    "text": (["a", "", "\u00e9\n", None], None),
    "truth": ([True, False, None], None),
    "lists": ([[1, 2], [], [3]], None),
    "tuples": ([(1, 2), (3,)], [[1, 2], [3]]),
    "dicts": ([{"a": {"b": [1]}}, {"a": {"b": [2, 3]}}], None),
    "nan": ([float("nan"), 1.0], [None, 1.0]),
    "infinity": ([float("inf"), -1.0], None),
    "times": ([dt.datetime(2020, 1, 2, 3, 4, 5, 6000, tzinfo=dt.UTC), None], None),
    "before-1970": ([dt.datetime(1960, 1, 1, 12, tzinfo=dt.UTC)], None),
    "dates": ([dt.date(2020, 1, 2)], [dt.datetime(2020, 1, 2, tzinfo=dt.UTC)]),
    "times-in-lists": (
        [[dt.datetime(2020, 1, 2, tzinfo=dt.UTC)], [dt.datetime(2021, 1, 2, tzinfo=dt.UTC)]],
        None,
    ),
    "times-in-dicts": ([{"at": dt.datetime(2020, 1, 2, tzinfo=dt.UTC), "n": 1}], None),
    "vectors": ([np.arange(3), np.ones(3)], [[0, 1, 2], [1, 1, 1]]),
    "matrices": ([np.arange(6).reshape(2, 3), np.ones((2, 3))], None),
    "long-vectors": ([np.arange(151), np.zeros(151)], None),
}


@pytest.mark.parametrize("label", COLUMNS)
def test_a_column_comes_back_equal(run: artfs.Run, label: str) -> None:
    cells, wanted = COLUMNS[label]
    table = artfs.Table(columns=["c"], data=[[cell] for cell in cells])
    found = logged(run, {"table": table}).get("table")
    rows = [[cell] for cell in (cells if wanted is None else wanted)]
    assert equal_rows(found.data, rows)
    assert found._column_types == table._column_types


def test_every_kind_of_value_comes_back(run: artfs.Run) -> None:
    Path("plot.bokeh.json").write_text("{}")
    Path("sound.wav").write_bytes(b"RIFF")
    path = green()
    values: dict[str, Any] = {
        "image": artfs.Image(path, caption="c", grouping=2),
        "classes": artfs.Classes(CLASSES),
        "mask": artfs.ImageMask({"mask_data": np.eye(3, dtype=int)}, "m"),
        "boxes": artfs.BoundingBoxes2D({"box_data": [BOX]}, "b"),
        "audio": artfs.Audio("sound.wav", caption="bird"),
        "video": artfs.Video(io.BytesIO(b"GIF"), caption="run"),
        "html": artfs.Html("<p>caf\u00e9"),
        "points": artfs.Object3D(np.array([[1, 2, 3]])),
        "plot": artfs.Bokeh("plot.bokeh.json"),
        "partitioned": artfs.PartitionedTable("parts"),
        "table": artfs.Table(columns=["a"], data=[[1]]),
    }
    artifact = logged(run, values)
    for name, value in values.items():
        found = artifact.get(name)
        assert type(found) is type(value)
        assert found == value, name
        assert artifact[name] == value
    assert artifact.get("html").html == values["html"].html
    assert artifact.get("mask").to_data_array().tolist() == np.eye(3).tolist()
    assert artifact.get("video").open().read() == b"GIF"
    assert artifact.get("nothing") is None


def test_a_table_of_images_with_boxes_and_masks_comes_back(run: artfs.Run) -> None:
    image = artfs.Image(
        green(),
        classes=CLASSES,
        boxes={"truth": {"box_data": [BOX], "class_labels": {1: "cat"}}},
        masks={"m": {"mask_data": np.array([[1, 2], [2, 1]])}},
    )
    table = artfs.Table(columns=["n", "image"], data=[[1, image], [2, None]])
    found = logged(run, {"table": table}).get("table")
    assert found == table
    back = found.data[0][1]
    assert back.boxes["truth"].boxes == [BOX]
    assert back.masks["m"].to_data_array().tolist() == [[1, 2], [2, 1]]
    assert [each["name"] for each in back.classes.class_set] == ["cat", "dog"]
    assert back.image.size == (4, 3)
    assert found.get_column("image")[1] is None


def test_values_within_lists_and_dicts_come_back(run: artfs.Run) -> None:
    page = artfs.Html("x")
    inner = artfs.Table(columns=["x"], data=[[1]])
    table = artfs.Table(columns=["c", "t"], data=[[{"pages": [page]}, inner]])
    found = logged(run, {"table": table}).get("table")
    assert found.data[0][0]["pages"][0].html == page.html
    assert found.data[0][1] == inner


def test_getting_a_table_reads_no_file_of_its_cells(run: artfs.Run, tmp_path: Path) -> None:
    """Each cell's file is larger than what is packed, so that it is a file in the store."""
    content = random.Random(1).randbytes(2 << 20)
    table = artfs.Table(columns=["v"], data=[[artfs.Video(io.BytesIO(content))]])
    artifact = logged(run, {"table": table})
    blobs = [path for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 1
    blobs[0].unlink()
    found = artifact.get("table")
    assert found.data[0][0]._sha256 == table.data[0][0]._sha256
    with pytest.raises(ArtfsError):
        found.data[0][0].open()


def test_a_table_that_is_passed_on_untouched_is_a_reference(run: artfs.Run) -> None:
    first = logged(run, {"t": artfs.Table(columns=["a"], data=[[1]])})
    second = logged(run, {"t": first.get("t")}, "second")
    entry = second.get_path("t.table.json")
    assert entry.ref_target() == first.get_path("t.table.json").ref_url()
    assert second.get("t").data == [[1]]


def test_a_table_that_was_changed_is_stored_anew(run: artfs.Run) -> None:
    first = logged(run, {"t": artfs.Table(columns=["a"], data=[[1]])})
    table = first.get("t")
    table.add_column("b", ["x"])
    assert logged(run, {"t": table}, "second").get("t").data == [[1, "x"]]
    edited = first.get("t")
    edited.data[0][0] = 5
    assert logged(run, {"t": edited}, "third").get("t").data == [[5]]
    mine = artfs.Table(columns=["a"], data=[[1]])
    logged(run, {"t": mine}, "fourth")
    mine.add_data(2)
    assert logged(run, {"t": mine}, "fifth").get("t").data == [[1], [2]]


def test_media_of_another_artifact_become_references_to_it(run: artfs.Run) -> None:
    first = logged(run, {"image": artfs.Image(green(), caption="c")})
    table = artfs.Table(columns=["image"], data=[[first.get("image")]])
    second = logged(run, {"table": table}, "second")
    references = [e for e in second.manifest.entries.values() if e.ref is not None]
    assert [e.ref_target() for e in references] == [first.get_path(references[0].path).ref_url()]
    assert second.get("table").data[0][0].image.size == (4, 3)


def test_keys_lead_to_the_rows_of_their_table(run: artfs.Run) -> None:
    people = artfs.Table(columns=["id", "age"], data=[["ada", 36], ["bob", 41]])
    people.set_pk("id")
    visits = artfs.Table(columns=["who", "n"], data=[["bob", 1]])
    visits.set_fk("who", people, "id")
    rows = artfs.Table(columns=["row"])
    rows.add_data(people.index_ref(1))
    artifact = logged(run, {"people": people, "visits": visits, "rows": rows})
    found = artifact.get("visits")
    assert found == visits
    assert found.data == [["bob", 1]]
    assert found.data[0][0].get_row() == {"id": "bob", "age": 41}
    assert artifact.get("rows").data[0][0].get_row() == {"id": "bob", "age": 41}
    assert artifact.get("people").data[0][0].get_row() == {"id": "ada", "age": 36}
    again = logged(run, {"visits": found_changed(artifact)}, "again").get("visits")
    assert again.data[1][0].get_row() == {"id": "ada", "age": 36}


def found_changed(artifact: artfs.Artifact) -> artfs.Table:
    """The table of visits with one more."""
    table: artfs.Table = artifact.get("visits")
    table.add_data("ada", 2)
    return table


def test_ids_of_classes_come_back_with_their_classes(run: artfs.Run) -> None:
    classes = artfs.Classes(CLASSES)
    other = artfs.Classes([{"id": 7, "name": "fish"}])
    values = {
        "one": artfs.Table(columns=["c"], data=[[1]], dtype=[classes.get_type()]),
        "two": artfs.Table(columns=["c"], data=[[7]], dtype=[other.get_type()]),
    }
    artifact = logged(run, values)
    one, two = artifact.get("one"), artifact.get("two")
    one.add_data(2)
    two.add_data(7)
    with pytest.raises(TypeError):
        two.add_data(1)


def test_joined_and_partitioned_tables_read_their_tables(run: artfs.Run) -> None:
    first = artfs.Table(columns=["id"], data=[["a"]])
    second = artfs.Table(columns=["id", "n"], data=[["a", 1]])
    artifact = logged(
        run,
        {
            "parts/1": artfs.Table(columns=["n"], data=[[1], [2]]),
            "parts/2": artfs.Table(columns=["n"], data=[[3]]),
            "all": artfs.PartitionedTable("parts"),
            "both": artfs.JoinedTable(first, second, "id"),
        },
    )
    both = artifact.get("both")
    assert (both.table1, both.table2, both.join_key) == (first, second, "id")
    assert list(artifact.get("all").iterrows()) == [(0, [1]), (1, [2]), (2, [3])]
    passed_on = logged(run, {"both": artfs.JoinedTable(both.table1, both.table2, "id")}, "next")
    assert passed_on.get("both").table2 == second


def test_parts_of_different_columns_are_refused(run: artfs.Run) -> None:
    artifact = logged(
        run,
        {
            "parts/1": artfs.Table(columns=["n"], data=[[1]]),
            "parts/2": artfs.Table(columns=["m"], data=[[1]]),
            "all": artfs.PartitionedTable("parts"),
        },
    )
    with pytest.raises(ValueError, match="non-matching columns"):
        list(artifact.get("all").iterrows())


def test_a_table_becomes_a_frame_and_a_frame_a_table(run: artfs.Run) -> None:
    frame = pd.DataFrame({"n": [1, 2], "s": ["x", "y"]})
    table = artfs.Table(dataframe=frame)
    found = logged(run, {"t": table}).get("t")
    pd.testing.assert_frame_equal(found.get_dataframe(), frame)


def test_tables_that_older_clients_wrote_are_read(run: artfs.Run) -> None:
    artifact = artfs.Artifact("old", type="dataset")
    with artifact.new_file("t.table.json") as file:
        file.write('{"_type": "table", "columns": ["a"], "data": [[1]], "ncols": 1, "nrows": 1}')
    with artifact.new_file("u.table.json") as file:
        types = '{"params": {"type_map": {"a": {"wb_type": "wandb.TablePrimaryKey"}}}, "wb_type":'
        file.write(
            '{"_type": "table", "columns": ["a"], "data": [["x"]], "ncols": 1, "nrows": 1, '
            f'"column_types": {types} "dictionary"}}}}'
        )
    run.log_artifact(artifact)
    assert artifact.get("t").data == [[1]]
    table = artifact.get("u")
    assert table._pk_col == "a"
    assert table.data[0][0].get_row() == {"a": "x"}


def test_a_table_that_is_none_is_refused(run: artfs.Run) -> None:
    artifact = artfs.Artifact("bad", type="dataset")
    with artifact.new_file("t.table.json") as file:
        file.write('{"_type": "table", "columns": ["a"], "data": [[1]], "column_types": {"x": 1}}')
    run.log_artifact(artifact)
    with pytest.raises(ValueError, match="column type"):
        artifact.get("t")
