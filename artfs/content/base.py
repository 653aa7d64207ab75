"""The bytes of one entry, verified: what the mount, the SDK and `verify` all read through."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Protocol, cast

from artfs.model import BLOCK_SIZE_BYTES, Buffer, ByteRange, block_count


class Content(Protocol):
    """The bytes of a file or a reference. Thread-safe.

    Content is read in blocks of BLOCK_SIZE_BYTES (the last one is shorter). `load_block` is the
    one way in; `try_read` is a short cut for bytes that are at hand and known to be right.
    """

    @property
    def size_bytes(self) -> int:
        """The exact size."""
        ...

    def try_read(self, span: ByteRange) -> Buffer | None:
        """Exactly the bytes of `span`, or None where that would take more than a memory copy.

        Never blocks on a disk, a network or a hash. `span` ends at the content's end at the
        latest.
        """
        ...

    def load_block(self, index: int) -> Buffer:
        """The verified bytes of block `index`.

        Blocks: on disk, network and hashing. Raises: IntegrityError, BlobNotFound,
        ReferenceChanged, BackendUnavailable, DeadlineExceeded, PermissionDenied.
        """
        ...


class RunContent(Content, Protocol):
    """Content that is elsewhere: adjacent blocks come with one request."""

    def load_run(self, first: int, count: int) -> Generator[Buffer]:
        """Blocks `first` to `first + count - 1`, each as soon as it is there.

        Whoever stops before the end closes the generator, and with it the request.
        Blocks and raises, at each block, as `load_block` does.
        """
        ...


class KeptContent(Content, Protocol):
    """Content that is elsewhere, and of which blocks are kept on disk."""

    @property
    def fetched_count(self) -> int:
        """A number that grows with whatever comes from where it is, and not from the disk."""
        ...

    def load_kept(self, index: int) -> Buffer | None:
        """The verified bytes of a block, or None where only its source has them.

        Blocks: on disk and hashing. Raises: IntegrityError.
        """
        ...


def as_run_content(content: Content) -> RunContent | None:
    """The content, if it is of that kind; a hundred times faster than isinstance."""
    return cast("RunContent", content) if hasattr(content, "load_run") else None


def as_kept_content(content: Content) -> KeptContent | None:
    """The same for what is kept on disk."""
    return cast("KeptContent", content) if hasattr(content, "load_kept") else None


def read_blocks(content: Content) -> Iterator[Buffer]:
    """All bytes of a content, verified, block by block; blocks as `load_block` does."""
    count = block_count(content.size_bytes)
    runs = as_run_content(content)
    if runs is not None:
        with closing(runs.load_run(0, count)) as blocks:
            yield from blocks
        return
    for index in range(count):
        yield content.load_block(index)


def read_range(content: Content, span: ByteRange) -> bytes:
    """The verified bytes of `span`, cut at the content's end; blocks as `load_block` does."""
    stop = min(span.stop, content.size_bytes)
    if span.start >= stop:
        return b""
    first, last = span.start // BLOCK_SIZE_BYTES, (stop - 1) // BLOCK_SIZE_BYTES
    blocks = [content.load_block(index) for index in range(first, last + 1)]
    offset = first * BLOCK_SIZE_BYTES
    return b"".join(blocks)[span.start - offset : stop - offset]
