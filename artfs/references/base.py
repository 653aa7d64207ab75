"""The reference port: foreign objects that a version names without holding their bytes.

A scheme (`s3`, `https`, …) is one handler. It *describes* a URI, which is what adding a reference
stores, and *opens* an entry, which is what reading it needs. Every request that reads carries
the entry's pin; retries, caching and blocks are decided above.

Handlers are found by scheme: artfs's own in `artfs/references/registry.py`, others by entry
points of the group `artfs.references`, whose name is the scheme and whose value is a function
that takes no argument and returns a ReferenceHandler.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import msgspec

from artfs.errors import ArtfsError, BackendUnavailable, InvalidArgument, ReferenceChanged
from artfs.manifest.entries import FileEntry, Pin, ReferenceEntry
from artfs.model import ByteRange, split_entry_path, storable_time_ns

ENTRY_POINT_GROUP = "artfs.references"
DEFAULT_MAX_OBJECTS = 10_000
"""How many objects a prefix of a bucket may list unless told otherwise."""

_TOO_LARGE_BYTES = 2**63

Described = tuple[str, ReferenceEntry]
"""The path in the artifact, and the entry that goes there."""


class MarkedDirectory(msgspec.Struct, frozen=True):
    """A directory that is there although nothing need be in it."""

    path: str


class UnusableKey(msgspec.Struct, frozen=True):
    """Something below a URI that has a name which no path in an artifact can have."""

    key: str
    """As its source calls it."""
    reason: str


class Announced(msgspec.Struct, frozen=True):
    """A listing begins, or is over: words for whoever waits, those that W&B prints."""

    text: str
    is_end: bool = False
    """Whether a line ends here that an earlier one began."""


Remark = MarkedDirectory | UnusableKey | Announced
"""What comes beside the entries."""
Found = Described | Remark
"""What there is below a URI."""


def announced(found: Iterable[Found], words: str) -> Iterator[Found]:
    """What is found by a listing, with words before, and after it the time that it took."""
    began_s = time.monotonic()
    yield Announced(words)
    try:
        yield from found
    except ArtfsError:
        yield _done(began_s)
        raise
    yield _done(began_s)


def _done(began_s: float) -> Announced:
    return Announced(f"Done. {time.monotonic() - began_s:.1f}s", is_end=True)


def limit_error(uri: str, limit: int) -> InvalidArgument:
    """The error of a directory or prefix that holds more; the reason is W&B's."""
    return InvalidArgument(
        uri,
        f"Exceeded {limit} objects tracked, pass max_objects to add_reference",
        hint="in `artfs put` it is --max-objects",
    )


class TransientFailure(BackendUnavailable):
    """A failure that may well not happen again: the one kind that is worth a retry."""

    def __init__(
        self,
        subject: str,
        reason: str = "",
        *,
        hint: str = "",
        retry_after_s: float | None = None,
        timed_out: bool = False,
        overlong: bool = False,
    ) -> None:
        super().__init__(subject, reason, hint=hint)
        self.overlong = overlong
        """Whether more came than was promised."""
        self.timed_out = timed_out
        """Whether nothing came at all, in place of something wrong."""
        self.retry_after_s = retry_after_s
        """How long the server asks to be left alone, in seconds; None where it did not say."""


class SourceGone(ReferenceChanged):
    """There is no object any more where the pinned one was."""


class Observed(msgspec.Struct, frozen=True):
    """What a source says of itself now."""

    size_bytes: int | None
    """None where the source tells only by sending everything."""
    pin: Pin
    """What identifies the present content; empty where the source tells nothing."""
    archived: str = ""
    """Why it cannot be read although it is there; empty where it can."""


class Body:
    """Bytes on their way from a source: pieces, in order, beginning at offset `start`.

    A piece comes as soon as there is one, however small. The body may end before the range that
    was asked for does: whoever wants the rest asks again. A source that cannot serve ranges sends
    everything (`whole`), from its beginning. Where nothing tells the end of a body from that of
    its connection (`tells_end`), it may have been cut.
    """

    __slots__ = ("_pieces", "_release", "start", "tells_end", "whole")

    def __init__(
        self,
        start: int,
        pieces: Iterator[bytes],
        release: Releasable,
        *,
        whole: bool = False,
        tells_end: bool = True,
    ) -> None:
        self.start = start
        self.whole = whole
        self.tells_end = tells_end
        self._pieces = pieces
        self._release = release

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go; what was not read is lost."""
        self._release.close()


class Releasable(Protocol):
    """Whatever holds the connection of a Body."""

    def close(self) -> object:
        """Let it go; may be called more than once."""
        ...


class Source(Protocol):
    """One foreign object, opened. Thread-safe; holds no connection between calls.

    All methods raise ReferenceChanged where the object is gone or does not match its pin,
    PermissionDenied, TransientFailure for what is worth a retry, BackendUnavailable for the rest.
    """

    def observe(self, *, timeout_s: float) -> Observed:
        """Ask for size and pin without reading content.

        Blocks: at most about `timeout_s` for each step (connect, wait for an answer).
        """
        ...

    def read(self, span: ByteRange, *, timeout_s: float) -> Body:
        """Begin to read `span`, which lies inside the object and is not empty.

        Blocks: as `observe`; so does every step of the Body, which raises the same errors.
        """
        ...

    def open_local(self) -> int | None:
        """A new file descriptor of the object, checked against its pin, where it is a local file.

        The caller closes it, and checks that the file did not change while it reads. None where
        the object is elsewhere.
        """
        ...


class ReferenceHandler(Protocol):
    """One scheme. Thread-safe."""

    def describe(
        self, uri: str, *, name: str | None, checksum: bool, max_objects: int | None
    ) -> Iterator[Found]:
        """Pin what `uri` names now: one object, or all below a directory or prefix.

        `name` is where it goes; None stands for the scheme's default. Without `checksum` nothing
        is verified when it is read. Entries hold no credentials. Digest, size and extra are W&B's
        (docs/references.md); what W&B would leave out has no digest. Blocks: on disk or network,
        while being iterated.
        Raises: InvalidArgument, PathNotFound, PermissionDenied, BackendUnavailable, Unsupported.
        """
        ...

    def open(self, entry: ReferenceEntry) -> Source:
        """Prepare reading; no I/O. Raises: Unsupported, InvalidArgument."""
        ...


@runtime_checkable
class ForwardingHandler(Protocol):
    """A scheme whose references name entries of other versions of the same store."""

    def target(self, entry: ReferenceEntry) -> FileEntry | ReferenceEntry:
        """The entry that is referred to. Blocks: on the catalog.

        Raises: ReferenceChanged where it is gone or has other content.
        """
        ...


@runtime_checkable
class PreparingHandler(Protocol):
    """A scheme with a client that takes long to make."""

    def prepare(self) -> None:
        """Make it, if it is not made yet. Blocks: some 0.3 s, longer where credentials are far.

        Raises: PermissionDenied, BackendUnavailable.
        """
        ...


def described(
    path: str,
    uri: str,
    digest: str,
    *,
    size_bytes: int | None = None,
    pin: Pin | None = None,
    extra: dict[str, Any] | None = None,
    mtime_ns: int = 0,
) -> Described:
    """One result of `describe`.

    Raises: InvalidName for a path that an artifact cannot have; BackendUnavailable for a size that
    nothing has.
    """
    name = split_entry_path(path)[-1]
    if size_bytes is not None and not 0 <= size_bytes < _TOO_LARGE_BYTES:
        raise BackendUnavailable(uri, f"its source says nonsense: a size of {size_bytes} bytes")
    time_ns = storable_time_ns(mtime_ns)
    return path, ReferenceEntry(name, uri, digest, size_bytes, pin or Pin(), extra or {}, time_ns)
