"""Who watches work on many bytes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class ByteListener(msgspec.Struct, frozen=True):
    """Told how it goes, from any thread."""

    expect: Callable[[int], None]
    """How many bytes there are, once that is known."""
    advance: Callable[[int], None]
    """How many more of them are done."""
