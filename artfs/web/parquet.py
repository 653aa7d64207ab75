"""The head of a Parquet file, by whichever library for it is installed."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

import msgspec

from artfs.content.base import Content, read_range
from artfs.errors import ArtfsError
from artfs.model import ByteRange

_FOOTER_BYTES = 16 << 20
_GROUP_BYTES = 256 << 20
_MAGIC = b"PAR1"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first rows, or why there are none."""

    columns: list[str] = []
    rows: list[list[Any]] = []
    row_count: int = 0
    column_count: int = 0
    problem: str = ""


class ContentFile(io.RawIOBase):
    """Content as a file: only what is read is fetched."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.size_bytes}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        data = read_range(self._content, ByteRange(self._position, len(buffer)))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def parquet_head(content: Content, *, rows: int, columns: int) -> Head:
    """The first rows of the first columns.

    Blocks and raises as Content.load_block; what is wrong with the file itself is in the answer.
    """
    size = content.size_bytes
    end = read_range(content, ByteRange(max(0, size - 8), 8))
    if end[-4:] != _MAGIC or int.from_bytes(end[:4], "little") > min(size, _FOOTER_BYTES):
        return Head(problem="It is no Parquet file, or has too long a footer to be shown here.")
    file: Any = io.BufferedReader(ContentFile(content), 256 * 1024)
    for module, read in (("pyarrow.parquet", _by_pyarrow), ("fastparquet", _by_fastparquet)):
        try:
            library = import_module(module)
        except ImportError:
            continue
        try:
            return read(library, file, rows, columns)
        except ArtfsError:
            raise
        except Exception as error:  # noqa: BLE001 - what they raise for a file that is wrong is anything
            return Head(problem=f"It cannot be read ({type(error).__name__}).")
    return Head(problem="A look into Parquet files needs pyarrow: pip install pyarrow")


def _by_pyarrow(library: Any, file: Any, rows: int, columns: int) -> Head:
    found = library.ParquetFile(file)
    metadata = found.metadata
    names = list(found.schema_arrow.names)
    shown = names[:columns]
    values: list[list[Any]] = []
    if metadata.num_row_groups:
        if metadata.row_group(0).total_byte_size > _GROUP_BYTES:
            return Head(problem="Its first row group is too large to be shown here.")
        batches = found.iter_batches(batch_size=rows, row_groups=[0], columns=shown)
        first = next(batches, None)
        if first is not None:
            by_column = [column.to_pylist() for column in first.columns]
            values = [[_plain(each) for each in row] for row in zip(*by_column, strict=True)]
    return Head(columns=shown, rows=values, row_count=metadata.num_rows, column_count=len(names))


def _by_fastparquet(library: Any, file: Any, rows: int, columns: int) -> Head:
    found = library.ParquetFile(file)
    names = [str(name) for name in found.columns]
    groups = found.row_groups
    if groups and groups[0].total_byte_size > _GROUP_BYTES:
        return Head(problem="Its first row group is too large to be shown here.")
    shown = names[:columns]
    frame = found.head(rows, columns=shown, index=False)
    values = [[_plain(each) for each in row] for row in frame.itertuples(index=False, name=None)]
    return Head(columns=shown, rows=values, row_count=found.count(), column_count=len(names))


def _plain(value: Any) -> Any:
    """A value as JSON has it, as far as it does."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
