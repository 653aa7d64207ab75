"""How sizes and names are written for people."""

from __future__ import annotations

_KIB = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


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
