"""What commands print: aligned tables, sizes, ages, one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from artfs.encoding import json_text
from artfs.errors import ArtfsError
from artfs.system.texts import (
    escaped,
    format_age,
    format_count,
    format_duration,
    format_size,
    iso_time,
    plural,
)

__all__ = [
    "OutputLost",
    "discard",
    "error_value",
    "escaped",
    "format_age",
    "format_count",
    "format_duration",
    "format_size",
    "iso_time",
    "json_is_printed",
    "json_text",
    "plural",
    "print_bytes",
    "print_json",
    "print_line",
    "print_note",
    "print_table",
    "print_text",
    "single_line",
]

_PRINTED = "artfs.printed"


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
    print_text(f"{json_text(value, indent=2)}\n")


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


def single_line(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split("\n"))
