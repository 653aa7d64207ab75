"""`artfs.data_types.PartitionedTable`: one table in many files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.errors import InvalidArgument
from artfs.media.table import Table
from artfs.media.types.media import MediaFileType
from artfs.media.value import Value

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
