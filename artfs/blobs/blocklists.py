"""What proves a block and each of its leaves: block lists.

Content of more than one block has a block list, which is a blob itself: the root of each block,
then the BLAKE3 of each leaf of 64 KiB, one behind the other. The root of a block is the BLAKE3 of
the digests of its leaves. An entry names its list by the list's SHA-256 and by the BLAKE3 of all
roots, so that a reader of some KiB needs the roots, the digests of a few leaves, and the leaves.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Self

import msgspec
from blake3 import blake3

from artfs.errors import IntegrityError
from artfs.model import (
    BLOCK_SIZE_BYTES,
    BlockList,
    Buffer,
    ByteRange,
    Digest,
    block_count,
    block_list_name,
)

LEAF_BYTES = 64 * 1024
LEAVES_PER_BLOCK = BLOCK_SIZE_BYTES // LEAF_BYTES
DIGEST_BYTES = 32


def leaf_count(size_bytes: int) -> int:
    """How many leaves content of this size has."""
    return -(-size_bytes // LEAF_BYTES)


def leaves_of(span: ByteRange) -> range:
    """The leaves in which a span, of a byte at least, lies."""
    return range(span.start // LEAF_BYTES, leaf_count(span.stop))


def leaf_digests(data: Buffer) -> bytes:
    """The BLAKE3 of each leaf of `data`, which begins with one."""
    view = memoryview(data)
    return b"".join(
        blake3(view[start : start + LEAF_BYTES]).digest()
        for start in range(0, len(view), LEAF_BYTES)
    )


def root_of(digests: Buffer) -> bytes:
    """What stands for some digests: of a block that of its leaves, of content that of all roots."""
    return blake3(digests).digest()


class BlockListWriter:
    """Makes the block list of content that comes block by block."""

    def __init__(self) -> None:
        """Of content of which nothing has come yet."""
        self._roots = bytearray()
        self._leaves = bytearray()

    def add(self, block: Buffer) -> None:
        """The next block; all but the last are BLOCK_SIZE_BYTES long."""
        digests = leaf_digests(block)
        self._roots += root_of(digests)
        self._leaves += digests

    def finish(self) -> bytes | None:
        """The list; None for content of one block or less."""
        return bytes(self._roots + self._leaves) if len(self._roots) > DIGEST_BYTES else None


def block_list_key(text: bytes, size_bytes: int) -> BlockList:
    """What an entry says of the list of content of `size_bytes`."""
    roots = memoryview(text)[: block_count(size_bytes) * DIGEST_BYTES]
    return BlockList(sha256(text).digest() + root_of(roots))


class ListLayout(msgspec.Struct, frozen=True):
    """Where the digests are in a block list."""

    size_bytes: int
    """Of the content."""

    @property
    def roots(self) -> ByteRange:
        """The roots of all blocks."""
        return ByteRange(0, block_count(self.size_bytes) * DIGEST_BYTES)

    @property
    def list_bytes(self) -> int:
        """The size of the list."""
        return self.roots.length + leaf_count(self.size_bytes) * DIGEST_BYTES

    def leaves(self, blocks: range) -> ByteRange:
        """The digests of all leaves of some blocks that are next to each other."""
        first = blocks.start * LEAVES_PER_BLOCK
        stop = min(blocks.stop * LEAVES_PER_BLOCK, leaf_count(self.size_bytes))
        start = self.roots.stop + first * DIGEST_BYTES
        return ByteRange(start, (stop - first) * DIGEST_BYTES)


class BlockDigests(msgspec.Struct, frozen=True):
    """What proves each block of some content."""

    size_bytes: int
    """Of the content."""
    digests: bytes
    """Of the blocks: one behind the other."""
    by_leaves: bool
    """Whether they are roots; of content of one block it is the SHA-256."""

    @classmethod
    def of_one(cls, digest: Digest, size_bytes: int) -> Self:
        """Of content of one block, or of none."""
        return cls(size_bytes, digest, by_leaves=False)

    @classmethod
    def parse(cls, blocks: BlockList, size_bytes: int, roots: bytes) -> Self:
        """From the beginning of a block list, which its key must prove. Raises: IntegrityError."""
        name = f"block list {block_list_name(blocks).hex()}"
        if len(roots) != block_count(size_bytes) * DIGEST_BYTES:
            raise IntegrityError(name, "it has the wrong length")
        if root_of(roots) != blocks[DIGEST_BYTES:]:
            raise IntegrityError(name, "its roots do not match their digest")
        return cls(size_bytes, roots, by_leaves=True)

    def expected(self, index: int) -> bytes:
        """By what a block is proved, which tells it from all others."""
        return self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    def proves(self, index: int, data: Buffer) -> bool:
        """Whether `data` is the block."""
        digest = root_of(leaf_digests(data)) if self.by_leaves else sha256(data).digest()
        return digest == self.expected(index)
