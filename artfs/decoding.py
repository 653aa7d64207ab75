"""Types that msgspec decodes into, analysed by one thread.

msgspec looks into a type when it is first decoded into, and keeps what it found in the type. A
thread that comes to the same type meanwhile reads what is not filled in yet, and the process dies
of a segmentation fault (msgspec 0.22: `StructMeta_GetInfo` of its _core.c lets go of the
interpreter's lock while it evaluates annotations). So artfs names no type to msgspec but through
`analysed`; tests/test_decoding.py holds that.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from artfs import forks

K = TypeVar("K")

_analysing = forks.lock()
_known: set[Any] = set()


def analysed(kind: K) -> K:
    """The same type (a struct, a union, a container of them), which any thread can decode into.

    At most one thread at a time looks into types; one that is known costs a look into a set.

    Raises: TypeError for a type that msgspec cannot decode into.
    """
    if kind not in _known:
        with _analysing:
            # A decoder looks at the whole of its type; whichever format it is for.
            msgspec.msgpack.Decoder(kind)
            _known.add(kind)
    return kind
