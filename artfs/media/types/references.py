"""The types of cells that name rows of tables: keys and indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from artfs.media.tables.foreign import add_unnamed
from artfs.media.types.base import INVALID, Type
from artfs.media.types.scalars import NumberType, StringType
from artfs.sdk.entry import ArtifactValue

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact


class KeyedTable(ArtifactValue, Protocol):
    """A table as its keys know it: Table is one."""

    @property
    def columns(self) -> list[Any]:
        """The names of its columns."""
        ...

    @property
    def data(self) -> list[list[Any]]:
        """The rows, each with a cell for each column."""
        ...

    def has_cells_of(self, other: Any) -> bool:
        """Whether columns and rows of two tables are equal."""
        ...


class TableRef:
    """Another table: an object, or one in an artifact that is loaded when it is asked for."""

    __slots__ = ("_artifact", "_path", "_table")

    def __init__(
        self,
        table: KeyedTable | None = None,
        *,
        artifact: Artifact | None = None,
        path: str = "",
    ) -> None:
        self._table = table
        self._artifact = artifact
        self._path = path

    def __repr__(self) -> str:
        return self._path if self._table is None else object.__repr__(self._table)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TableRef):
            return NotImplemented
        if self._table is not None and self._table is other._table:
            return True
        if self._artifact is not None and other._artifact is not None:
            here, there = (self._artifact.id, self._path), (other._artifact.id, other._path)
            if here == there:
                return True
        return self.table.has_cells_of(other.table)

    __hash__ = None  # type: ignore[assignment]

    def is_of(self, table: KeyedTable) -> bool:
        """Whether it is this very object."""
        return self._table is table

    @property
    def table(self) -> KeyedTable:
        """The table. Blocks: reads it, the first time. Raises: what `Artifact.get` raises."""
        if self._table is None:
            assert self._artifact is not None
            self._table = self._artifact.get(self._path)
        assert self._table is not None
        return self._table

    def path_in(self, artifact: Artifact | None) -> str | None:
        """Its path in the draft `artifact`, to which it is added if need be."""
        if artifact is None:
            return None
        return add_unnamed(artifact, self.table)


class PrimaryKeyType(Type, frozen=True):
    """Text that names the rows of its table."""

    name = "primaryKey"

    def assign_type(self, other: Type) -> Type:
        return self if isinstance(other, StringType | PrimaryKeyType) else INVALID


class ForeignKeyType(Type, frozen=True):
    """Text that names rows of another table."""

    table: TableRef
    col_name: Any

    name = "foreignKey"

    def params(self) -> dict[str, Any]:
        return {"table": self.table, "col_name": self.col_name}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"table": self.table.path_in(artifact), "col_name": self.col_name}

    def assign_type(self, other: Type) -> Type:
        return self if isinstance(other, StringType) or other == self else INVALID


class ForeignIndexType(Type, frozen=True):
    """Numbers of rows of another table."""

    table: TableRef

    name = "foreignIndex"

    def params(self) -> dict[str, Any]:
        return {"table": self.table}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"table": self.table.path_in(artifact)}

    def assign_type(self, other: Type) -> Type:
        return self if isinstance(other, NumberType) or other == self else INVALID


KEY_TYPES = (PrimaryKeyType, ForeignKeyType, ForeignIndexType)
