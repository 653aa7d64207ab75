"""Bodies that are read whole: what clients ask in GraphQL, and what they stream of runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from artfs.server.answering import TooLarge
from artfs.server.connections import paced

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_VALUES = 250_000
"""Values in the JSON of a large body: each takes some hundred bytes once it is read."""

_LARGE_BYTES = 1024 * 1024
_LARGE_AT_ONCE = 2

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


class Bodies:
    """Reads bodies within bounded memory, for one event loop."""

    def __init__(self) -> None:
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    @asynccontextmanager
    async def whole(self, request: Request) -> AsyncIterator[bytes]:
        """The body, for as long as it is worked on. Raises: TooLarge, TooSlow."""
        pieces, size = [], 0
        async with AsyncExitStack() as held:
            async for chunk in paced(request.stream()):
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise _too_large(f"is larger than {MAX_BODY_BYTES >> 20} MiB")
                if size - len(chunk) <= _LARGE_BYTES < size:
                    await held.enter_async_context(self._large)
                pieces.append(chunk)
            body = b"".join(pieces)
            pieces.clear()
            if size > _LARGE_BYTES and await run_in_threadpool(_value_count, body) > MAX_VALUES:
                raise _too_large(f"has more than {MAX_VALUES} values")
            yield body


def _value_count(body: bytes) -> int:
    """About how many values JSON has that may be none."""
    bare = _STRINGS.sub(b"", body)
    return sum(bare.count(each) for each in (b"{", b"[", b","))


def _too_large(reason: str) -> TooLarge:
    return TooLarge("the request", reason, hint="send less at once")
