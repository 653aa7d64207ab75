"""Tables that are made of tables: `artfs.data_types.PartitionedTable` and `artfs.JoinedTable`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.errors import InvalidArgument
from artfs.media.table import Table
from artfs.media.types.media import MediaFileType, add_unnamed
from artfs.media.value import Value
from artfs.sdk.entry import ArtifactManifestEntry

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact


class PartitionedTable(Value):
    """All tables below a directory of the artifact, as one.

    Args:
        parts_path: The directory.

    Example:
        >>> artifact.add(artfs.Table(columns=["n"], data=[[1]]), "parts/1")
        >>> artifact.add(artfs.Table(columns=["n"], data=[[2]]), "parts/2")
        >>> artifact.add(artfs.data_types.PartitionedTable("parts"), "all")
    """

    artifact_suffix: ClassVar[str] = "partitioned-table"
    declared_type: ClassVar[Type] = MediaFileType("partitioned-table")

    def __init__(self, parts_path: str) -> None:
        self.parts_path = parts_path
        self._source: Artifact | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PartitionedTable):
            return NotImplemented
        return self.parts_path == other.parts_path

    def __hash__(self) -> int:
        return hash(self.parts_path)

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """The rows of all parts, in the order of their paths, numbered through.

        One part at a time is read. There are none before it comes out of a logged artifact.
        Raises: ValueError for parts of different columns; what `Artifact.get` raises.
        """
        columns: list[Any] | None = None
        number = 0
        for part in self._parts():
            if columns is None:
                columns = part.columns
            elif columns != part.columns:
                raise InvalidArgument(
                    f"Table parts have non-matching columns. {columns} != {part.columns}"
                )
            for _, row in part.iterrows():
                yield number, row
                number += 1

    def _parts(self) -> Iterator[Table]:
        if self._source is None:
            return
        prefix = f"{self.parts_path.strip('/')}/".lstrip("/")
        suffix = f".{Table.artifact_suffix}.json"
        for path in self._source.manifest.entries:
            if path.startswith(prefix) and path.endswith(suffix):
                yield self._source.get(path)

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value; the parts are not looked at."""
        del artifact
        return {"_type": self.artifact_suffix, "parts_path": self.parts_path}

    @classmethod
    def from_json(cls, value: dict[str, Any], artifact: Artifact) -> Self:
        """Make it again from its JSON value; the parts are read when they are used."""
        table = cls(value["parts_path"])
        table._source = artifact
        return table


Joinable = str | Table | PartitionedTable | ArtifactManifestEntry


class JoinedTable(Value):
    """Two tables that are looked at as one, joined on a key.

    Args:
        table1: A table, or the path of one in the artifact, such as "first.table.json".
        table2: Likewise.
        join_key: A column of both tables, or a list of a column of each.

    Raises:
        ValueError: for what is no table, or a key of another kind.

    Example:
        >>> artifact.add(first, "first")
        >>> artifact.add(second, "second")
        >>> artifact.add(artfs.JoinedTable(first, second, "id"), "both")
    """

    artifact_suffix: ClassVar[str] = "joined-table"
    declared_type: ClassVar[Type] = MediaFileType("joined-table")

    def __init__(self, table1: Joinable, table2: Joinable, join_key: str | list[str]) -> None:
        if not _is_key(join_key):
            raise InvalidArgument(
                "JoinedTable join_key should be a string or a list of two strings"
            )
        for which, table in (("table1", table1), ("table2", table2)):
            if not _is_table(table):
                raise InvalidArgument(
                    f"JoinedTable {which} should be an artifact path to a table or a Table object"
                )
        self._table1, self._table2, self._join_key = table1, table2, join_key
        self._source: Artifact | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JoinedTable):
            return NotImplemented
        return self._join_key == other._join_key and (self.table1, self.table2) == (
            other.table1,
            other.table2,
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def join_key(self) -> str | list[str]:
        """The column, or columns, that it is joined on."""
        return self._join_key

    @property
    def table1(self) -> Any:
        """The first table. Blocks: reads it, where it is in an artifact."""
        return self._loaded(self._table1)

    @property
    def table2(self) -> Any:
        """The second table. Blocks: reads it, where it is in an artifact."""
        return self._loaded(self._table2)

    def _loaded(self, table: Joinable) -> Any:
        if isinstance(table, str) and self._source is not None:
            return self._source.get(table)
        return table

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value, after adding its tables to the draft `artifact`.

        Raises: InvalidArgument for a path that is not in the artifact.
        """
        return {
            "_type": self.artifact_suffix,
            "join_key": self._join_key,
            "table1": self._path_in(artifact, self._table1),
            "table2": self._path_in(artifact, self._table2),
        }

    def _path_in(self, artifact: Artifact, table: Joinable) -> str:
        if isinstance(table, ArtifactManifestEntry):
            return artifact.add_reference(table, name=table.path)[0].path
        if isinstance(table, str) and self._source is None:
            if artifact.find_entry(table) is None:
                raise InvalidArgument(
                    f"JoinedTable table {table!r}",
                    "is not in the artifact",
                    hint="add the table before the JoinedTable",
                )
            return table
        return add_unnamed(artifact, self._loaded(table))

    @classmethod
    def from_json(cls, value: dict[str, Any], artifact: Artifact) -> Self:
        """Make it again from its JSON value; its tables are read when they are used."""
        joined = cls(value["table1"], value["table2"], value["join_key"])
        joined._source = artifact
        return joined


def _is_key(key: object) -> bool:
    return isinstance(key, str) or (isinstance(key, list) and len(key) == 2)


def _is_table(table: object) -> bool:
    if isinstance(table, str):
        return table.endswith(f".{Table.artifact_suffix}.json")
    return isinstance(table, Table | PartitionedTable | ArtifactManifestEntry)
