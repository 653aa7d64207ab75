"""The bytes of one entry, verified: what the mount, the SDK and `verify` all read through."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Protocol

from artfs.model import BLOCK_SIZE_BYTES, Buffer, ByteRange, Digest, block_count


class Content(Protocol):
    """The bytes of a file or a reference. Thread-safe.

    Content is read in blocks of BLOCK_SIZE_BYTES (the last one is shorter). `load_block` is the
    one way in; `try_read` is a short cut for bytes that are at hand and known to be right.
    """

    __slots__ = ()

    @property
    def size_bytes(self) -> int:
        """The exact size."""
        ...

    @property
    def remote(self) -> RemoteContent | None:
        """The same content, if it is elsewhere: what more can be done with it then."""
        return None

    @property
    def any_order(self) -> bool:
        """Whether several threads may as well load blocks at once, as far as is known by now."""
        return False

    @property
    def file_mode(self) -> int | None:
        """Who may read and write the file that the bytes are in; None where it is the store's."""
        return None

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


class RemoteContent(Content, Protocol):
    """Content that is elsewhere: adjacent blocks come with one request, and are kept on disk."""

    __slots__ = ()

    @property
    def cache_key(self) -> Digest:
        """The key of its blocks in the cache, by which they can be pinned there."""
        ...

    @property
    def fetched_count(self) -> int:
        """A number that grows with whatever comes from where it is, and not from the disk."""
        ...

    def load_run(self, first: int, count: int) -> Generator[Buffer]:
        """Blocks `first` to `first + count - 1`, each as soon as it is there.

        Whoever stops before the end closes the generator, and with it the request.
        Blocks and raises, at each block, as `load_block` does.
        """
        ...

    def load_kept(self, index: int) -> Buffer | None:
        """The verified bytes of a block, or None where only its source has them.

        Blocks: on disk and hashing. Raises: IntegrityError.
        """
        ...

    def read_kept(self, span: ByteRange) -> Buffer | None:  # noqa: ARG002 - for those that have
        """The verified bytes of a span, or None where its blocks may have to be loaded.

        Blocks: on disk, and to hash what lies around the span, not its blocks.
        """
        return None

    @property
    def has_parts(self) -> bool:
        """Whether `load_part` may have something, as far as is known by now."""
        return False

    def load_part(self, span: ByteRange) -> Buffer | None:  # noqa: ARG002 - for those that have
        """The bytes of a span, with little around it; None where its blocks are to be loaded.

        They are as right as the source is: what proves blocks or the whole is not asked.
        Blocks and raises as `load_block` does.
        """
        return None

    def is_cached(self, index: int) -> bool:
        """Whether a block seems to be in the cache. Blocks: disk, briefly."""
        ...


def read_blocks(content: Content, first: int = 0, count: int | None = None) -> Iterator[Buffer]:
    """`count` blocks, or all from `first` on, verified; blocks and raises as `load_block` does."""
    if count is None:
        count = block_count(content.size_bytes) - first
    remote = content.remote
    if remote is not None:
        with closing(remote.load_run(first, count)) as blocks:
            yield from blocks
        return
    for index in range(first, first + count):
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
