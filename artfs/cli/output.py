"""What commands print: aligned tables, sizes, ages, one JSON document."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

import click

from artfs.errors import ArtfsError

_PRINTED = "artfs.printed"
_KIB = 1024
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_AGES = ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class OutputLost(OSError):
    """Standard output takes nothing: what a command has to say is lost, what it did is not."""


def print_text(text: str) -> None:
    """Write text as it is. Raises: OutputLost, BrokenPipeError."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.errno, error.strerror) from None


def print_bytes(content: bytes | bytearray | memoryview) -> None:
    """Write bytes as they are, also where nobody decodes them. Raises: as `print_text`."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.errno, error.strerror) from None


def print_json(value: Any) -> None:
    """Print one JSON document, which every program can read."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_PRINTED] = True
    print_text(f"{json_text(value)}\n")


def json_is_printed(context: click.Context) -> bool:
    """Whether the document of a command line is printed: there is one, whatever happens then."""
    return _PRINTED in context.meta


def error_value(error: ArtfsError | str) -> dict[str, Any]:
    """An error as JSON shows it; of some that happened long ago the text is all that is known."""
    if isinstance(error, str):
        error = ArtfsError("", error)
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "subject": error.subject,
        "reason": error.reason,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }


def json_text(value: Any, *, one_line: bool = False) -> str:
    """A value as JSON; what numbers it has no words for are strings: "NaN", "Infinity"."""
    indent = None if one_line else 2
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE.get(value, "NaN")
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def print_line(text: str) -> None:
    """Print one line for a person; what would steer a terminal is escaped."""
    print_text(f"{escaped(text)}\n")


def print_note(text: str) -> None:
    """Print one line about the result, not part of it, on standard error.

    Where that takes nothing the line is lost, and nothing else changes.
    """
    try:
        sys.stderr.write(f"{escaped(text)}\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let nothing of what a stream still holds be written, or fail, any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[str] = frozenset()
) -> None:
    """Print rows below their header, in columns; those named in `right` end flush.

    The same on a terminal and in a pipe, but for the bold header.
    """
    cells = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for cell, width, title in zip(row, widths, header, strict=True)
        ]
        return "  ".join(padded).rstrip()

    print_text(f"{bold}{line(header)}{plain}\n")
    for row in cells:
        print_text(f"{line(row)}\n")


def escaped(text: str) -> str:
    """The text with everything unprintable as an escape sequence: names may hold anything."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def single_line(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split("\n"))


def format_size(size_bytes: int) -> str:
    """`812 B`, `1.2 KiB`, `34 MiB`."""
    if size_bytes < _KIB:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in _UNITS:
        value /= _KIB
        # 1023.96 would be shown as 1024.
        if value < _KIB - 0.5 or unit == _UNITS[-1]:
            break
    # 9.96 would be shown as 10.0.
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def format_count(count: int) -> str:
    """`1,797`."""
    return f"{count:,}"


def format_duration(seconds: float) -> str:
    """`42 s`, `3 h`, `2 d`: the largest unit that fits, rounded down."""
    for unit_s, name in _AGES:
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {name}"
    return "0 s"


def format_age(at_ns: int) -> str:
    """`3 h ago`, from nanoseconds since the Unix epoch."""
    seconds = time.time() - at_ns / 1e9
    return "just now" if seconds < 1 else f"{format_duration(seconds)} ago"


def iso_time(at_ns: int) -> str:
    """The time as JSON has it: ISO 8601, UTC."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds")


def plural(count: int, singular: str, several: str | None = None) -> str:
    """`1 file`, `1,797 files`."""
    return f"{count:,} {singular if count == 1 else several or singular + 's'}"
