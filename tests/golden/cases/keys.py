"""Tables that refer to one another: primary and foreign keys, indexes, joins, partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .pictures import stored
from .registry import fact, value

if TYPE_CHECKING:
    from pathlib import Path


def people(wandb: Any) -> Any:
    """Return a table with a column that can be a key."""
    return wandb.Table(columns=["id", "age"], data=[["ada", 36], ["bob", 41]])


def visits(wandb: Any) -> Any:
    """Return a table that names the people."""
    return wandb.Table(columns=["who", "n"], data=[["ada", 1], ["bob", 2], ["ada", 3]])


@value("keys.primary")
def primary(wandb: Any, root: Path) -> Any:
    table = people(wandb)
    table.set_pk("id")
    table.add_data("eve", 7)
    return stored(wandb, table)


@value("keys.foreign")
def foreign(wandb: Any, root: Path) -> Any:
    table = visits(wandb)
    table.set_fk("who", people(wandb), "id")
    table.add_data("bob", 9)
    return stored(wandb, table)


@value("keys.foreign-to-primary")
def foreign_to_primary(wandb: Any, root: Path) -> Any:
    target = people(wandb)
    target.set_pk("id")
    table = visits(wandb)
    table.set_fk("who", target, "id")
    return stored(wandb, table)


@value("keys.foreign-to-added")
def foreign_to_added(wandb: Any, root: Path) -> Any:
    """A table that is in the artifact already is named by its own path."""
    target = people(wandb)
    artifact = stored(wandb, target, "people")
    table = visits(wandb)
    table.set_fk("who", target, "id")
    artifact.add(table, "visits")
    return artifact


@value("keys.two-foreign")
def two_foreign(wandb: Any, root: Path) -> Any:
    target = people(wandb)
    table = wandb.Table(columns=["a", "b"], data=[["ada", "bob"]])
    table.set_fk("a", target, "id")
    table.set_fk("b", target, "id")
    return stored(wandb, table)


@value("keys.index-by-rows")
def index_by_rows(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=["row", "age"])
    for index, row in people(wandb).iterrows():
        table.add_data(index, row[1])
    return stored(wandb, table)


@value("keys.index-by-column")
def index_by_column(wandb: Any, root: Path) -> Any:
    target = people(wandb)
    table = wandb.Table(columns=["n"], data=[[1], [2]])
    table.add_column("row", target.get_index())
    return stored(wandb, table)


@value("keys.index-ref")
def index_ref(wandb: Any, root: Path) -> Any:
    target = people(wandb)
    table = wandb.Table(columns=["row"])
    table.add_data(target.index_ref(1))
    table.add_data(target.index_ref(0))
    return stored(wandb, table)


@value("keys.key-from-data")
def key_from_data(wandb: Any, root: Path) -> Any:
    """A cell taken out of a primary key column makes its new column a foreign key."""
    target = people(wandb)
    target.set_pk("id")
    table = wandb.Table(columns=["who"])
    table.add_data(target.data[1][0])
    return stored(wandb, table)


@fact("keys.index-row")
def index_row(wandb: Any, root: Path) -> Any:
    return [people(wandb).index_ref(1).get_row(), [int(n) for n in people(wandb).get_index()]]


@fact("keys.data-after-set")
def data_after_set(wandb: Any, root: Path) -> Any:
    """Cells stay equal to the plain values, and are still str."""
    table = people(wandb)
    table.set_pk("id")
    return [table.data, isinstance(table.data[0][0], str)]


@fact("keys.table-methods")
def table_methods(wandb: Any, root: Path) -> Any:
    table = people(wandb)
    rows = [[int(index), row] for index, row in table.iterrows()]
    equal = [table == people(wandb), table != people(wandb), table == visits(wandb)]
    return {"rows": rows, "column": table.get_column("age"), "equal": equal}


for _number, _key in enumerate(["id", ["id", "age"]]):

    @value(f"keys.joined-{_number}")
    def joined(wandb: Any, root: Path, key: Any = _key) -> Any:
        first, second = people(wandb), people(wandb)
        artifact = stored(wandb, first, "first")
        artifact.add(second, "second")
        artifact.add(wandb.JoinedTable(first, second, key), "joined")
        return artifact


@value("keys.joined-by-path")
def joined_by_path(wandb: Any, root: Path) -> Any:
    artifact = stored(wandb, people(wandb), "first")
    artifact.add(visits(wandb), "deep/second")
    table = wandb.JoinedTable("first.table.json", "deep/second.table.json", ["id", "who"])
    artifact.add(table, "joined")
    return artifact


@value("keys.joined-with-itself")
def joined_with_itself(wandb: Any, root: Path) -> Any:
    table = people(wandb)
    artifact = stored(wandb, table, "one")
    artifact.add(wandb.JoinedTable(table, table, "id"), "joined")
    return artifact


@value("keys.joined-partitions")
def joined_partitions(wandb: Any, root: Path) -> Any:
    parts, table = wandb.data_types.PartitionedTable("parts"), people(wandb)
    artifact = stored(wandb, parts, "all")
    artifact.add(table, "people")
    artifact.add(wandb.JoinedTable(parts, table, "id"), "joined")
    return artifact


@value("keys.partitioned")
def partitioned(wandb: Any, root: Path) -> Any:
    artifact = wandb.Artifact("golden", type="dataset")
    for number in range(3):
        table = wandb.Table(columns=["n"], data=[[number]])
        artifact.add(table, f"parts/part-{number}")
    artifact.add(wandb.data_types.PartitionedTable(parts_path="parts"), "all")
    return artifact


for _number, _path in enumerate(["parts", "parts/", "a/b", "", "caf\u00e9"]):

    @value(f"keys.partitioned-path-{_number}")
    def partitioned_path(wandb: Any, root: Path, path: str = _path) -> Any:
        return stored(wandb, wandb.data_types.PartitionedTable(path))
