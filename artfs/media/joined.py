"""`artfs.JoinedTable`: two tables side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.errors import InvalidArgument
from artfs.media.partitioned import PartitionedTable
from artfs.media.table import Table
from artfs.media.tables.foreign import add_unnamed
from artfs.media.types.media import MediaFileType
from artfs.media.value import Value
from artfs.sdk.entry import ArtifactManifestEntry

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

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
