"""`artfs.Table`: rows and columns of values, each column of one type."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.errors import InvalidArgument, InvalidValue
from artfs.media.notebooks import table_html
from artfs.media.tables.cells import MAX_INLINE_LENGTH, decode_columns, without_file
from artfs.media.tables.columns import (
    ColumnTypes,
    cast_cells,
    columns_and_rows,
    is_frame,
    store_rows,
)
from artfs.media.tables.keys import Keys, TableIndex, TableLink, equal_rows
from artfs.media.types.base import UNKNOWN, AnyType, Type
from artfs.media.types.containers import TypedDictType
from artfs.media.types.containers import optional as optional_type
from artfs.media.types.fromjson import type_from_json
from artfs.media.types.inference import type_from_dtype, type_of
from artfs.media.types.media import KEY_TYPES, ForeignKeyType, PrimaryKeyType, TableRef, TableType
from artfs.media.value import Value, is_array, numpy, require

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact

_SHOWN_ROWS = 10
_SHOWN_COLUMNS = 20

logger = logging.getLogger(__name__)


class Table(Value):
    """A table of values: numbers, text, dates, lists, dicts, arrays, media, other tables.

    A column takes cells of one type, which it learns from its first cell, and None.

    Args:
        columns: The names of the columns. Default: Input, Output, Expected.
        data: Rows, or a two-dimensional numpy array, or a pandas DataFrame.
        rows: Rows; an older name of `data`.
        dataframe: A pandas DataFrame; its columns are those of the table.
        dtype: What the cells are, for all columns or as a list for each: a class, `[x]` for
            lists of x, `[x, y]` for either of them, a dict for dicts. Default: learned.
        optional: Whether cells may be None, for all columns or as a list for each.
        allow_mixed_types: Take any cells in any column.
        log_mode: Without effect: a table that is logged again is a new version of its artifact.

    Raises:
        TypeError: for a cell that does not go with those above it.
        ValueError: for a row of another length, or columns or data of another kind.

    Example:
        >>> table = artfs.Table(columns=["id", "price"], data=[[1, 2.5], [2, None]])
        >>> table.add_data(3, 7.0)
        >>> artifact.add(table, "prices")
    """

    artifact_suffix: ClassVar[str] = "table"
    declared_type: ClassVar[Type] = TableType()

    MAX_ROWS: ClassVar[int] = 10_000
    MAX_ARTIFACT_ROWS: ClassVar[int] = 200_000
    """An artifact keeps this many rows of a table at most; those after them are left out."""
    _MAX_EMBEDDING_DIMENSIONS: ClassVar[int] = MAX_INLINE_LENGTH

    def __init__(
        self,
        columns: list[Any] | None = None,
        data: Any = None,
        rows: Iterable[Iterable[Any]] | None = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: bool | list[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = "IMMUTABLE",
    ) -> None:
        if log_mode not in {None, "IMMUTABLE", "MUTABLE", "INCREMENTAL"}:
            raise InvalidArgument(
                f"log_mode {log_mode!r}", "is none of IMMUTABLE, MUTABLE, INCREMENTAL"
            )
        self.log_mode = log_mode
        self._home: tuple[Artifact, str] | None = None
        self._keys = Keys()
        self._types = ColumnTypes()
        self._rows: list[list[Any]] = []
        if dataframe is not None and not is_frame(dataframe):
            raise InvalidValue(
                "Table", "dataframe argument expects a `pandas.core.frame.DataFrame` object"
            )
        given = next((each for each in (dataframe, data, rows) if each is not None), None)
        self._columns, new_rows = columns_and_rows(columns, given)
        self._declare(AnyType() if allow_mixed_types else dtype, optional)
        self._extend(new_rows)

    def _declare(self, dtype: Any, may_be_none: bool | list[bool]) -> None:
        count = len(self._columns)
        flags = may_be_none if isinstance(may_be_none, list) else [may_be_none] * count
        dtypes = dtype if isinstance(dtype, list) else [dtype] * count
        for name, each, flag in zip(self._columns, dtypes, flags, strict=False):
            self.cast(name, UNKNOWN if each is None else each, optional=flag)

    def _repr_html_(self) -> str:
        """How notebooks show it: its first rows and columns."""
        columns, rows = self._columns[:_SHOWN_COLUMNS], self._rows[:_SHOWN_ROWS]
        note = f"{len(self._rows)} rows, {len(self._columns)} columns"
        return table_html(columns, (row[:_SHOWN_COLUMNS] for row in rows), note=note)

    # --- what it holds ---------------------------------------------------------------------

    @property
    def columns(self) -> list[Any]:
        """The names of the columns."""
        self._home = None  # what is handed out can be changed
        return self._columns

    @property
    def data(self) -> list[list[Any]]:
        """The rows."""
        self._home = None
        return self._rows

    @property
    def artifact_home(self) -> tuple[Artifact, str] | None:
        """The artifact that it was got from or added to, until it may have been changed."""
        return self._home

    @artifact_home.setter
    def artifact_home(self, home: tuple[Artifact, str] | None) -> None:
        self._home = home

    @property
    def _column_types(self) -> TypedDictType:
        return self._types.as_type()

    def column_type(self) -> Type:
        """The type of a cell that holds this table."""
        return TableType(self._column_types)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return self._column_types == other._column_types and self.has_cells_of(other)

    __hash__ = None  # type: ignore[assignment]

    def has_cells_of(self, other: Table) -> bool:
        """Whether columns and rows are equal, whatever the types of the columns."""
        return self._columns == other._columns and equal_rows(self._rows, other._rows)

    # --- adding ----------------------------------------------------------------------------

    def add_data(self, *data: Any) -> None:
        """Add a row: a cell for each column.

        Raises:
            ValueError: for another number of cells.
            TypeError: for a cell that does not go with those above it.

        Example:
            >>> table = artfs.Table(columns=["name", "score"])
            >>> table.add_data("ada", 0.9)
        """
        self._check_length(data)
        for position, cell in enumerate(data):
            if isinstance(cell, TableLink):
                self.cast(self._columns[position], type_of(cell))
        self._types.take_row(self._columns, data)
        self._home = None
        self._rows.append(list(data))
        self._keys.link(self, self._columns, self._rows[-1:])

    def add_row(self, *row: Any) -> None:
        """Add a row; an older name of `add_data`."""
        logger.warning("add_row is deprecated, use add_data")
        self.add_data(*row)

    def _extend(self, rows: list[list[Any]]) -> None:
        kinds = set(map(type, chain.from_iterable(rows)))
        has_links = any(issubclass(kind, TableLink) for kind in kinds)
        if has_links or any(self._types.get(name) is None for name in self._columns):
            for row in rows:
                self.add_data(*row)
            return
        for number, row in enumerate(rows):
            if len(row) != len(self._columns):
                self._types.take_rows(self._columns, rows[:number])
                self._check_length(row)
        self._types.take_rows(self._columns, rows)
        self._rows.extend(rows)
        self._keys.link(self, self._columns, rows)

    def _check_length(self, row: Sequence[Any]) -> None:
        if len(row) != len(self._columns):
            raise InvalidArgument(
                f"This table expects {len(self._columns)} columns: {self._columns}",
                f"found {len(row)}",
            )

    def add_column(self, name: Any, data: Any, optional: bool = False) -> None:
        """Add a column: a cell for each row.

        Args:
            name: Its name, which no other column has.
            data: A list or numpy array of as many cells as there are rows; the first column of
                a table may have any number.
            optional: Whether its cells may be None.

        Raises:
            ValueError: for another number of cells, or a name that is taken or no text.
            TypeError: for cells of different types.

        Example:
            >>> table = artfs.Table(columns=["n"], data=[[1], [2]])
            >>> table.add_column("square", [1, 4])
        """
        if not isinstance(name, str) or name in self._columns:
            raise InvalidValue(f"column {name!r}", "is there already, or its name is no text")
        if not (isinstance(data, list) or is_array(data)):
            raise InvalidValue(f"column {name!r}", "its data must be a list or a numpy array")
        if not isinstance(optional, bool):
            raise InvalidValue(f"column {name!r}", "`optional` must be True or False")
        if self._columns and len(data) != len(self._rows):
            raise InvalidValue(f"Expected length {len(self._rows)}, found {len(data)}")
        old_columns, old_rows = self._columns, self._rows
        cells = list(data)
        self._columns = [*old_columns, name]
        self._rows = (
            [[*row, cell] for row, cell in zip(old_rows, cells, strict=True)]
            if old_columns
            else [[cell] for cell in cells]
        )
        try:
            self.cast(name, UNKNOWN, optional=optional)
        except BaseException:
            self._columns, self._rows = old_columns, old_rows
            raise
        self._adopt(old_columns, old_rows)

    def _adopt(self, old_columns: list[Any], old_rows: list[list[Any]]) -> None:
        # Who holds the lists that `columns` and `data` handed out sees the new column in them.
        old_columns[:] = self._columns
        old_rows[:] = self._rows
        self._columns, self._rows = old_columns, old_rows

    def add_computed_columns(self, fn: Callable[[int, dict[Any, Any]], dict[str, Any]]) -> None:
        """Add columns that are computed from each row.

        Args:
            fn: Takes the number of a row and its cells by column, and returns the new cells by
                the names of their columns.

        Raises:
            TypeError: if `fn` does not return a dict, or for cells of different types.

        Example:
            >>> table = artfs.Table(columns=["n"], data=[[1], [2]])
            >>> table.add_computed_columns(lambda index, row: {"double": row["n"] * 2})
        """
        computed: dict[str, list[Any]] = {}
        for index, row in self.iterrows():
            made = fn(index, dict(zip(self._columns, row, strict=True)))
            if not isinstance(made, dict):
                raise TypeError(f"the function must return a dict, not {type(made).__name__}")
            for name, cell in made.items():
                computed.setdefault(name, []).append(cell)
        for name, cells in computed.items():
            self.add_column(name, cells)

    # --- reading ---------------------------------------------------------------------------

    def get_column(self, name: Any, convert_to: str | None = None) -> Any:
        """The cells of a column: a list, or with `convert_to="numpy"` an array.

        Raises:
            ValueError: if there is no such column, or for another conversion.

        Example:
            >>> table = artfs.Table(columns=["n"], data=[[1], [2]])
            >>> table.get_column("n")
            [1, 2]
        """
        position = self._position(name)
        if convert_to not in {None, "numpy"}:
            raise InvalidValue("get_column", f"can convert to numpy, not to {convert_to!r}")
        cells = [row[position] for row in self._rows]
        if convert_to is None:
            return cells
        np = numpy("get_column")
        return np.array([c.to_data_array() if hasattr(c, "to_data_array") else c for c in cells])

    def iterrows(self) -> Iterator[tuple[TableIndex, list[Any]]]:
        """The rows with their numbers. In another table a number refers to its row here.

        Example:
            >>> table = artfs.Table(columns=["n"], data=[[1], [2]])
            >>> for index, row in table.iterrows():
            ...     print(index, row)
            0 [1]
            1 [2]
        """
        ref = TableRef(self)
        for number, row in enumerate(self.data):
            yield TableIndex.of(number, ref), row

    def get_index(self) -> list[TableIndex]:
        """The numbers of all rows, for a column of another table that refers to them."""
        ref = TableRef(self)
        return [TableIndex.of(number, ref) for number in range(len(self._rows))]

    def index_ref(self, index: int) -> TableIndex:
        """The number of one row, for a cell of another table that refers to it.

        Raises:
            ValueError: if there is no such row.
        """
        if index >= len(self._rows):
            raise InvalidValue(f"row {index}", f"the table has {len(self._rows)} rows")
        return TableIndex.of(index, TableRef(self))

    def get_dataframe(self) -> Any:
        """The table as a pandas DataFrame.

        Raises:
            Unsupported: if pandas is not installed.
        """
        pandas = require("pandas", "get_dataframe")
        return pandas.DataFrame.from_records(self._rows, columns=self._columns)

    # --- types -----------------------------------------------------------------------------

    def cast(self, col_name: Any, dtype: Any, optional: bool = False) -> Type:
        """Declare what a column holds; its cells stay as they are.

        Args:
            col_name: The column.
            dtype: As for `Table`.
            optional: Whether its cells may be None.

        Raises:
            TypeError: for a cell that is something else; nothing has changed then.
            ValueError: if there is no such column, or for a key that may be None.

        Example:
            >>> table = artfs.Table(columns=["n"], data=[[1], [2]])
            >>> table.cast("n", int)
            Number
        """
        position, wanted = self._position(col_name), type_from_dtype(dtype)
        if optional and isinstance(wanted, KEY_TYPES):
            raise InvalidValue("Primary keys, foreign keys, and foreign indexes cannot be optional")
        if optional:
            wanted = optional_type(wanted)
        found = cast_cells([row[position] for row in self._rows], wanted)
        self._keys.check(wanted, self)
        self._home = None
        self._types[col_name] = found
        self._keys.note(col_name, found)
        self._keys.link(self, self._columns, self._rows)
        return found

    def set_pk(self, col_name: Any) -> None:
        """Make a column of text the one that names the rows.

        Raises:
            TypeError: if a cell is no text.
            ValueError: if there is no such column, or another one is the key.
        """
        self.cast(col_name, PrimaryKeyType())

    def set_fk(self, col_name: Any, table: Table, table_col: Any) -> None:
        """Make the cells of a column name rows of another table.

        Args:
            col_name: The column, of text.
            table: The other table; an artifact that this one is added to gets it as well.
            table_col: The column there that holds the names.

        Raises:
            TypeError: if a cell is no text.
            ValueError: if there is no such column, it is the primary key, or `table` is this one.
        """
        if col_name == self._keys.primary:
            raise InvalidValue(f"column {col_name!r}", "is the primary key")
        table._position(table_col)
        self._position(col_name)
        self.cast(col_name, ForeignKeyType(TableRef(table), table_col))

    def _position(self, name: Any) -> int:
        if name not in self._columns:
            raise InvalidValue(f"column {name!r}", "the table has no such column")
        return self._columns.index(name)

    @property
    def _pk_col(self) -> Any:
        return self._keys.primary

    @property
    def _fk_cols(self) -> set[Any]:
        return set(self._keys.foreign)

    # --- storing ---------------------------------------------------------------------------

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value, after adding the files of its cells to the draft `artifact`.

        Raises: what converting cells and adding files raises.
        """
        rows, limit = self._rows, self.MAX_ARTIFACT_ROWS
        if len(rows) > limit:
            logger.warning("Truncating Table object to %d rows.", limit)
            rows = rows[:limit]
        types, data = store_rows(self._columns, rows, self._types, artifact)
        return {
            "_type": self.artifact_suffix,
            "columns": list(self._columns),
            # Lists of their own, as W&B gives them: whoever changes one changes no table.
            "data": [list(row) for row in data],
            "ncols": len(self._columns),
            "nrows": len(rows),
            "column_types": types.to_json(artifact),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], artifact: Artifact) -> Self:
        """Make it again from its JSON value; media in its cells are read when they are used.

        The value stays as it is, whatever is done with the table.
        """
        table = cls(columns=[])
        table._columns = list(value["columns"])
        types: list[Type | None] = [None] * len(table._columns)
        if value.get("column_types") is not None:
            row_type = type_from_json(value["column_types"], artifact)
            assert isinstance(row_type, TypedDictType)
            types = [row_type.type_map.get(str(name)) for name in table._columns]
        rows = [list(row) for row in value["data"]]
        table._rows = decode_columns(rows, types, artifact)
        for name, column_type in zip(table._columns, types, strict=True):
            if column_type is not None:
                table._types[name] = without_file(column_type)
                table._keys.note(name, column_type)
        table._keys.link(table, table._columns, table._rows)
        return table
