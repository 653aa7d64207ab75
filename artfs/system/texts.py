"""How numbers, times and names are written for people, on a terminal and on a page."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_KIB = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_AGES = ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def escaped(text: str) -> str:
    """The text with everything unprintable as an escape sequence: names may hold anything."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


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
