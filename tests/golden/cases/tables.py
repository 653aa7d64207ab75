"""Handpicked tables: construction, column types, keys, names. No package but the standard ones."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from .pictures import green, stored
from .registry import value

if TYPE_CHECKING:
    from pathlib import Path

EAST = dt.timezone(dt.timedelta(hours=5))
# One column each, given cell by cell.
COLUMNS: dict[str, list[Any]] = {
    "empty": [],
    "none": [None, None],
    "int": [1, -2, 10**20],
    "int-none": [1, None],
    "none-int": [None, 1],
    "float": [0.1, -0.0, 1e300, 5e-324, 1.0],
    "float-odd": [float("inf"), float("-inf"), float("nan"), 1.5],
    "nan-only": [float("nan")],
    "int-float": [1, 2.5],
    "bool": [True, False, None],
    "str": ["", "a", "caf\u00e9", "\u65e5\u672c", "\U0001f600", "\ud800", '"\\/\n\t\x00'],
    "bytes": [b"", b"caf\xc3\xa9"],
    "list-int": [[1, 2], [3, 4]],
    "list-lengths": [[1, 2], [1, 2, 3], [1]],
    "list-empty-first": [[], [1, 2, 3]],
    "list-empty-last": [[1], []],
    "list-only-empty": [[], []],
    "list-none-first": [[None, 1], [2], [None]],
    "list-nan": [[1.0, float("nan")]],
    "list-mixed": [[1, "a"]],
    "list-of-lists": [[[1], [2, 3]], [[4]]],
    "list-of-dicts": [[{"a": 1}, {"a": 2}]],
    "list-of-unlike-dicts": [[{"a": 1}, {"b": 2}]],
    "list-of-dates": [[dt.date(2020, 1, 1)]],
    "tuple": [(1, 2), (3, 4)],
    "tuple-list": [(1, 2), [3, 4]],
    "list-then-str": [["a"], "bc"],
    "list-then-dict": [["a"], {"k": 1}],
    "dict": [{"a": 1, "b": "x"}, {"b": "y", "a": 2}],
    "dict-empty": [{}, {}],
    "dict-none": [{"a": None}],
    "dict-nested": [{"a": {"b": [1, {"c": 2}]}}],
    "dict-int-key": [{1: 2}],
    "dict-date": [{"a": dt.date(2020, 1, 1), "b": Decimal("0.5")}],
    "datetime": [dt.datetime(2020, 1, 2, 3, 4, 5, 1999), None],  # noqa: DTZ001
    "datetime-before-1970": [dt.datetime(1960, 1, 1, 0, 0, 0, 500)],  # noqa: DTZ001
    "datetime-zone": [dt.datetime(2020, 1, 1, tzinfo=EAST), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)],
    "date": [dt.date(2020, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "date-datetime": [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 12)],  # noqa: DTZ001
    "decimal": [Decimal("1.10"), Decimal(-3), None],
    "class": [int, str],
    "artifact-string": ["wandb-artifact://abc/x", "wandb-artifact://def"],
    "artifact-dict": [{"_type": "artifactVersion", "id": "x"}],
}
DTYPES: dict[str, tuple[list[Any], Any]] = {
    "int": ([1, 2], int),
    "float-for-int": ([1], float),
    "str": (["x"], str),
    "bool": ([True], bool),
    "list": ([[1, 2]], [[int]]),
    "list-open": ([[1, "x"]], [list]),
    "union": ([1, "x", None], [[int, str]]),
    "union-nested": ([1, "x", True], [[int, [str, bool]]]),
    "dict": ([{"x": 1}], [{"x": int, "y": [int, type(None)]}]),
    "const": ([5, 5, None], [5]),
    "const-str": (["five"], "five"),
    "date": ([dt.date(2020, 1, 1)], dt.datetime),
    "none": ([None], type(None)),
    "no-rows": ([], int),
}


def _column(wandb: Any, root: Path, cells: list[Any], **options: Any) -> Any:
    """Store a table of one column `c`."""
    table = wandb.Table(columns=["c"], data=[[cell] for cell in cells], **options)
    return stored(wandb, table, "table")


def _added(wandb: Any, root: Path, cells: list[Any], optional: bool) -> Any:
    """Store a table whose column is added to one that is there."""
    table = wandb.Table(columns=["n"], data=[[n] for n in range(len(cells))])
    table.add_column("c", list(cells), optional=optional)
    return stored(wandb, table, "table")


for _label, _cells in COLUMNS.items():
    value(f"tables.column-{_label}")(partial(_column, cells=_cells))
    value(f"tables.column-{_label}-required")(partial(_column, cells=_cells, optional=False))
    value(f"tables.column-{_label}-any")(partial(_column, cells=_cells, allow_mixed_types=True))
    value(f"tables.add-column-{_label}")(partial(_added, cells=_cells, optional=False))
    value(f"tables.add-column-{_label}-optional")(partial(_added, cells=_cells, optional=True))
for _label, (_cells, _dtype) in DTYPES.items():
    value(f"tables.dtype-{_label}")(partial(_column, cells=_cells, dtype=_dtype))
    value(f"tables.dtype-{_label}-required")(
        partial(_column, cells=_cells, dtype=_dtype, optional=False)
    )


@value("tables.default")
def default(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table())


@value("tables.no-columns")
def no_columns(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table(columns=[], data=[[], []]))


@value("tables.rows-argument")
def rows_argument(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table(columns=["a"], rows=[[1]]))


@value("tables.mixed")
def mixed(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=["a", "b"], allow_mixed_types=True)
    for row in ([1, None], ["x", [1, "y"]], [None, {"z": 1}]):
        table.add_data(*row)
    return stored(wandb, table)


@value("tables.column-names")
def column_names(wandb: Any, root: Path) -> Any:
    names = ["", " ", "caf\u00e9", "a.b", "a/b", "B", "a", "\U0001f600"]
    return stored(wandb, wandb.Table(columns=names, data=[list(range(len(names)))]))


@value("tables.column-names-int")
def column_names_int(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table(columns=[10, 9, 1], data=[[6, 7, "x"]]))


@value("tables.column-names-twice")
def column_names_twice(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table(columns=["a", "a"], data=[[1, "x"]]))


@value("tables.optional-list")
def optional_list(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=["a", "b"], data=[[None, 1]], optional=[True, False])
    return stored(wandb, table)


@value("tables.dtype-per-column")
def dtype_per_column(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table(columns=["a", "b"], data=[[1, "x"]], dtype=[int, str]))


@value("tables.cast")
def cast(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])
    table.cast("a", int)
    table.cast("b", [str, int], optional=True)
    return stored(wandb, table)


@value("tables.first-column")
def first_column(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=[])
    table.add_column("a", [1, 2])
    table.add_column("b", ["x", "y"])
    return stored(wandb, table)


@value("tables.computed-columns")
def computed_columns(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=["a"], data=[[1], [2]])
    table.add_computed_columns(lambda ndx, row: {"double": row["a"] * 2, "row": int(ndx)})
    return stored(wandb, table)


@value("tables.large")
def large(wandb: Any, root: Path) -> Any:
    rows = [[n, f"row {n}", n / 7] for n in range(2000)]
    return stored(wandb, wandb.Table(columns=["n", "s", "f"], data=rows))


@value("tables.nested-table")
def nested_table(wandb: Any, root: Path) -> Any:
    inner = wandb.Table(columns=["x"], data=[[1]])
    return stored(wandb, wandb.Table(columns=["t"], data=[[inner], [None]]))


@value("tables.nested-media")
def nested_media(wandb: Any, root: Path) -> Any:
    path = green(root)
    table = wandb.Table(columns=["image", "html", "classes"])
    classes = wandb.Classes([{"id": 1, "name": "a"}])
    table.add_data(wandb.Image(path), wandb.Html("x"), classes)
    table.add_data(wandb.Image(path, caption="again"), None, None)
    return stored(wandb, table)


@value("tables.class-ids")
def class_ids(wandb: Any, root: Path) -> Any:
    classes = wandb.Classes(
        [{"id": 2, "name": "b"}, {"id": 10, "name": "j"}, {"id": 1, "name": "a"}]
    )
    table = wandb.Table(columns=["c"], data=[[1], [10], [None]], dtype=[classes.get_type()])
    return stored(wandb, table)


NAMES = (
    "t",
    "t.table.json",
    "ttable.json",
    "t.json",
    "dir/sub/t",
    "caf\u00e9 \u65e5",
    "media/tables/foo",
    "media/tables/foo.bar",
    "media/tables/dir/foo",
    "media/tablesX",
    "media/table/x",
)
for _number, _name in enumerate(NAMES):

    @value(f"tables.name-{_number}")
    def named(wandb: Any, root: Path, name: str = _name) -> Any:
        return stored(wandb, wandb.Table(columns=["a"], data=[[1]]), name)


@value("tables.same-object-twice")
def same_object_twice(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=["a"], data=[[1]])
    artifact = stored(wandb, table, "one")
    artifact.add(table, "two")
    return artifact


@value("tables.name-taken")
def name_taken(wandb: Any, root: Path) -> Any:
    artifact = stored(wandb, wandb.Table(columns=["a"], data=[[1]]), "one")
    artifact.add(wandb.Table(columns=["h"], data=[[wandb.Html("left behind")]]), "one")
    return artifact


@value("tables.set-item")
def set_item(wandb: Any, root: Path) -> Any:
    artifact = wandb.Artifact("golden", type="dataset")
    artifact["by/item"] = wandb.Table(columns=["a"], data=[[1]])
    return artifact
