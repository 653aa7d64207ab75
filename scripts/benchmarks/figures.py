"""How figures stand in a table."""

from __future__ import annotations


def milliseconds(took_s: float) -> str:
    """A short time."""
    return f"{took_s * 1000:,.{0 if took_s >= 0.01 else 2}f} ms"


def seconds(took_s: float) -> str:
    """A long time."""
    return f"{took_s:.2f} s"


def rate(size_bytes: int, took_s: float) -> str:
    """How fast so many bytes came."""
    return f"{size_bytes / took_s / 2**20:,.0f} MiB/s"


def per_second(took_s: float) -> str:
    """How many there were in a second, each of which took so long."""
    return f"{1 / took_s:,.0f}/s"


def memory(size: float) -> str:
    """A number of bytes."""
    return f"{size / 2**20:,.0f} MiB"
