"""What commands print: aligned tables, sizes, ages, one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from artfs.encoding import json_text
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
    "escaped",
    "format_age",
    "format_count",
    "format_duration",
    "format_size",
    "iso_time",
    "json_text",
    "plural",
    "print_json",
    "print_line",
    "print_note",
    "print_table",
    "print_text",
    "single_line",
]


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


def print_json(value: Any) -> None:
    """Print one JSON document, which every program can read."""
    print_text(f"{json_text(value, indent=2)}\n")


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
