"""GET requests over kept connections, for objects that are read a thousand times a second.

urllib3 makes and keeps the connections, with all that belongs to them: TLS, certificates, names.
What it does around each answer takes longer than the answer of a small object, so requests and
answers are those of `http.client`, of which it is made. Nothing is followed, tried again or
decoded here: any answer but bytes is the business of whoever asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Protocol

import msgspec
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

UNANSWERED = (HTTPError, HTTPException, OSError)
"""What a request and a body raise that come to nothing."""


class RawBody(Protocol):
    """A body on its way: urllib3's, or one of a kept connection."""

    @property
    def chunked(self) -> bool:
        """Whether its end is told by its last chunk."""
        ...

    @property
    def length_remaining(self) -> int | None:
        """How many bytes are still to come; None where no length was said."""
        ...

    def read1(self, amt: int, *, decode_content: bool) -> bytes:
        """What is there of the next `amt` bytes; empty at the end."""
        ...

    def read(self, amt: int, *, decode_content: bool) -> bytes:
        """The next `amt` bytes, fewer at the end."""
        ...

    def release_conn(self) -> None:
        """Let a connection go whose body was read."""
        ...

    def close(self) -> None:
        """Let the connection go; what was not read is lost."""
        ...


class KeptBody:
    """A body on its way. Its connection is used again when all of it was read."""

    __slots__ = ("_connection", "_pool", "_response")

    def __init__(
        self, response: HTTPResponse, connection: HTTPConnection, pool: HTTPConnectionPool
    ) -> None:
        self._response = response
        self._connection: HTTPConnection | None = connection
        self._pool = pool

    @property
    def chunked(self) -> bool:
        """Whether its end is told by its last chunk."""
        return bool(self._response.chunked)

    @property
    def length_remaining(self) -> int | None:
        """How many bytes are still to come; None where no length was said."""
        return self._response.length

    def read1(self, amt: int, *, decode_content: bool = False) -> bytes:  # noqa: ARG002 - urllib3's
        """What is there of the next `amt` bytes; empty at the end. Blocks. Raises: UNANSWERED."""
        return self._response.read1(amt)

    def read(self, amt: int, *, decode_content: bool = False) -> bytes:  # noqa: ARG002 - urllib3's
        """The next `amt` bytes, fewer at the end. Blocks. Raises: UNANSWERED."""
        return self._response.read(amt)

    def release_conn(self) -> None:
        """Let the connection go."""
        self.close()

    def close(self) -> None:
        """Let the connection go; may be called more than once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        response = self._response
        is_read = response.isclosed() or (response.length == 0 and not response.chunked)
        response.close()
        if response.will_close or not is_read:
            # What is still to come would be taken for the next answer.
            connection.close()
        self._pool._put_conn(connection)  # type: ignore[arg-type]  # noqa: SLF001 - see `get`


class Answer(msgspec.Struct, frozen=True):
    """An answer whose body was not read yet."""

    status: int
    headers: Mapping[str, str]
    """Found by names as `str.title` writes them."""
    raw: KeptBody


def get(
    pool: HTTPConnectionPool, target: str, headers: Mapping[str, str], *, timeout_s: float
) -> Answer:
    """The answer of the pool's server to a GET of `target`, whatever its status; thread-safe.

    `headers` should name the host. Blocks: `timeout_s` for each step: to connect, to wait for the
    answer and for each piece of its body. Raises: UNANSWERED.
    """
    # urllib3 has no public way to a connection without its answers.
    connection: Any = pool._get_conn()  # noqa: SLF001 - see above
    try:
        if connection.sock is None:
            connection.timeout = timeout_s
            connection.connect()
        connection.sock.settimeout(timeout_s)
        HTTPConnection.request(connection, "GET", target, headers=headers)
        response = HTTPConnection.getresponse(connection)
    except BaseException:
        connection.close()
        pool._put_conn(connection)  # noqa: SLF001 - see above
        raise
    return Answer(response.status, _titled(response), KeptBody(response, connection, pool))


def _titled(response: HTTPResponse) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in response.headers.raw_items():
        title = name.title()
        found[title] = f"{found[title]}, {text}" if title in found else text
    return found
