"""The blocks of a store's blobs, and their leaves, proved as they come."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Protocol

from artfs.blobs.blocklists import leaf_digests, leaves_of
from artfs.content.proofs import Proof
from artfs.errors import IntegrityError
from artfs.manifest.entries import FileEntry
from artfs.model import BLOCK_SIZE_BYTES, Buffer, ByteRange, Digest


class Blobs(Protocol):
    """Where blobs come from: a BlobReader."""

    def fetch(self, digest: Digest) -> bytes:
        """All bytes of a blob from the store, verified."""
        ...

    def stream(self, digest: Digest, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """Bytes of a blob, unverified, in pieces as they come."""
        ...

    def read_span(self, digest: Digest, span: ByteRange) -> bytes:
        """Bytes of a blob, unverified."""
        ...


class StoredBlocks:
    """Fetches the blocks of a blob that is not local; implements BlockFetcher."""

    def __init__(self, blobs: Blobs, entry: FileEntry, proof: Proof) -> None:
        """`proof` is of the entry's content."""
        self._blobs = blobs
        self._digest = entry.sha256
        self._size = entry.size_bytes
        self._proof = proof

    def fetch(self, first: int, count: int) -> Generator[tuple[int, bytes]]:
        """See BlockFetcher."""
        if self._size <= BLOCK_SIZE_BYTES:
            yield first, self._only_block()
            return
        start = first * BLOCK_SIZE_BYTES
        stop = min(start + count * BLOCK_SIZE_BYTES, self._size)
        span = ByteRange(start, stop - start)
        blocks = self._blobs.stream(self._digest, span, piece_bytes=BLOCK_SIZE_BYTES)
        with closing(blocks):
            for number, block in enumerate(blocks, first):
                if not self._proof.blocks.proves(number, block):
                    raise does_not_match(self._digest, f"block {number}")
                yield number, block

    @property
    def has_parts(self) -> bool:
        """See BlockFetcher."""
        return self._proof.has_leaves

    def fetch_part(self, span: ByteRange) -> Buffer | None:
        """See BlockFetcher: of whole leaves."""
        leaves = leaves_of(span)
        expected = self._proof.leaves(leaves)
        if expected is None:
            return None
        data = self._blobs.read_span(self._digest, span)
        if leaf_digests(data) != expected:
            raise does_not_match(self._digest, f"what is at byte {span.start}")
        return data

    def _only_block(self) -> bytes:
        data = self._blobs.fetch(self._digest)
        if len(data) != self._size:
            raise IntegrityError(
                f"blob {self._digest.hex()}",
                f"{len(data)} bytes are stored, {self._size} were committed",
            )
        return data

    @property
    def sends_all(self) -> bool:
        """See BlockFetcher."""
        return False

    @property
    def answers(self) -> int:
        """See BlockFetcher: they come whole or not at all."""
        return 0

    def expected(self, index: int) -> bytes:
        """See BlockFetcher."""
        return self._proof.blocks.expected(index)


def does_not_match(digest: Digest, what: str) -> IntegrityError:
    """The error for a part of a blob that is damaged."""
    return IntegrityError(
        f"blob {digest.hex()}",
        f"{what} does not match its digest",
        hint="`artfs verify` names the files that it damages",
    )
