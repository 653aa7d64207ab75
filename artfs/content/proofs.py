"""What proves the blobs of a store: block lists, of which no more is read than is needed."""

from __future__ import annotations

from typing import Protocol

from cachetools import LRUCache

from artfs import forks
from artfs.blobs.blocklists import (
    DIGEST_BYTES,
    LEAVES_PER_BLOCK,
    BlockDigests,
    ListLayout,
    root_of,
)
from artfs.blobs.cache import WHOLE, BlockCache
from artfs.errors import IntegrityError
from artfs.manifest.entries import FileEntry
from artfs.model import (
    BLOCK_SIZE_BYTES,
    ByteRange,
    Digest,
    block_count,
    block_list_name,
)

_SMALL_LIST_BYTES = 64 * 1024
"""Lists up to this size, of contents of up to 128 MiB, come whole."""
_FIRST_BLOCKS = 8
_MOST_BLOCKS = 64
"""Of how many blocks the digests of leaves come with one request, at first and at most."""
_MAX_PROOFS = 256
_MAX_SECTIONS = 8192
"""Of 2 KiB each, of all contents together."""


class Lists(Protocol):
    """Where block lists come from: a BlobReader."""

    def read(self, digest: Digest) -> bytes:
        """All bytes of a blob, verified."""
        ...

    def read_span(self, digest: Digest, span: ByteRange) -> bytes:
        """Bytes of a blob, unverified."""
        ...


class Proofs:
    """What proves the blobs of one store. Thread-safe; remembers it for large ones."""

    def __init__(self, blobs: Lists, cache: BlockCache | None) -> None:
        """`cache` keeps the roots of large lists, where it is given."""
        self._blobs = blobs
        self._cache = cache
        self._lock = forks.lock()
        self._known: LRUCache[tuple[bytes, int], Proof] = LRUCache(_MAX_PROOFS)
        self._leaves: LRUCache[tuple[Digest, int], bytes] = LRUCache(_MAX_SECTIONS)
        """Of each block of a list, the digests of its leaves, which its root has proved."""

    def of(self, entry: FileEntry) -> Proof:
        """What proves a file's content. Blocks and raises as BlobReader.content does."""
        if entry.size_bytes <= BLOCK_SIZE_BYTES:
            return Proof(BlockDigests.of_one(entry.sha256, entry.size_bytes))
        if entry.blocks is None:
            raise IntegrityError(f"blob {entry.sha256.hex()}", "its entry has no block list")
        key = (entry.blocks, entry.size_bytes)
        with self._lock:
            known: Proof | None = self._known.get(key)
        if known is None:
            known = self._read(entry)
            with self._lock:
                self._known[key] = known
        return known

    def _read(self, entry: FileEntry) -> Proof:
        assert entry.blocks is not None
        name, layout = block_list_name(entry.blocks), ListLayout(entry.size_bytes)
        if layout.list_bytes > _SMALL_LIST_BYTES:
            blocks = self._roots(entry, layout)
            return LeafProof(blocks, _Sections(self, name, blocks, layout))
        text = self._blobs.read(name)
        blocks = BlockDigests.parse(entry.blocks, entry.size_bytes, text[: layout.roots.stop])
        if len(text) != layout.list_bytes:
            raise IntegrityError(f"block list {name.hex()}", "it has the wrong length")
        return LeafProof(blocks, _Sections(self, name, blocks, layout, text=text))

    def _roots(self, entry: FileEntry, layout: ListLayout) -> BlockDigests:
        assert entry.blocks is not None
        name, root = block_list_name(entry.blocks), entry.blocks[DIGEST_BYTES:]
        cache = self._cache
        if cache is not None:
            kept = cache.read(Digest(root), 0, expected=root)
            if kept is not None and len(kept) == layout.roots.length:
                return BlockDigests.parse(entry.blocks, entry.size_bytes, bytes(kept))
        roots = self.span(name, layout.roots)
        blocks = BlockDigests.parse(entry.blocks, entry.size_bytes, roots)
        if cache is not None and not cache.has(Digest(root), 0):
            cache.put(Digest(root), 0, roots, proved_by=root)
        return blocks

    def span(self, name: Digest, span: ByteRange) -> bytes:
        """Bytes of a list, which nothing has proved. Blocks and raises as BlobReader.read does."""
        if self._cache is not None:
            for index in (0, WHOLE):
                kept = self._cache.read_span(name, index, span, expected=name)
                if kept is not None:
                    return bytes(kept)
        return self._blobs.read_span(name, span)

    def known_leaves(self, name: Digest, index: int) -> bytes | None:
        """The digests of the leaves of one block, where they were read before."""
        with self._lock:
            found: bytes | None = self._leaves.get((name, index))
        return found

    def keep_leaves(self, name: Digest, found: dict[int, bytes]) -> None:
        """Remember those of some blocks, by the block's index."""
        with self._lock:
            self._leaves.update({(name, index): digests for index, digests in found.items()})


class Proof:
    """What proves the blocks of some content."""

    __slots__ = ("blocks",)

    def __init__(self, blocks: BlockDigests) -> None:
        self.blocks = blocks

    @property
    def has_leaves(self) -> bool:
        """Whether less than a block can be proved."""
        return False

    def leaves(self, wanted: range) -> bytes | None:  # noqa: ARG002 - there are none
        """The digests of some leaves, one behind the other; None where they cannot be had.

        Blocks and raises as BlobReader.read does.
        """
        return None


class LeafProof(Proof):
    """What proves the blocks of some content, and their leaves. Thread-safe."""

    __slots__ = ("_sections",)

    def __init__(self, blocks: BlockDigests, sections: _Sections) -> None:
        super().__init__(blocks)
        self._sections = sections

    @property
    def has_leaves(self) -> bool:
        """See Proof."""
        return True

    def leaves(self, wanted: range) -> bytes | None:
        """See Proof: None where the list is damaged behind its roots."""
        first = wanted.start // LEAVES_PER_BLOCK
        stop = (wanted.stop - 1) // LEAVES_PER_BLOCK + 1
        found = [self._sections.of(index) for index in range(first, stop)]
        if None in found:
            return None
        text = b"".join(each for each in found if each is not None)
        start = (wanted.start - first * LEAVES_PER_BLOCK) * DIGEST_BYTES
        return text[start : start + len(wanted) * DIGEST_BYTES]


class _Sections:
    """The digests of the leaves of each block, proved by its root, in lots that grow."""

    def __init__(
        self,
        proofs: Proofs,
        name: Digest,
        blocks: BlockDigests,
        layout: ListLayout,
        *,
        text: bytes | None = None,
    ) -> None:
        """`text`: the whole list, where it is at hand."""
        self._proofs = proofs
        self._name = name
        self._blocks = blocks
        self._layout = layout
        self._text = text
        self._turn = forks.turn()
        self._lot = _FIRST_BLOCKS

    def of(self, index: int) -> bytes | None:
        """Of one block; None where the list is damaged there."""
        found = self._proofs.known_leaves(self._name, index)
        if found is not None:
            return found
        with self._turn:
            # Another reader may have brought it meanwhile.
            found = self._proofs.known_leaves(self._name, index)
            return self._load(index) if found is None else found

    def _load(self, index: int) -> bytes | None:
        lot, count = self._lot, block_count(self._layout.size_bytes)
        first = index // lot * lot
        blocks = range(first, min(first + lot, count))
        span = self._layout.leaves(blocks)
        if self._text is not None:
            text = self._text[span.start : span.stop]
        else:
            text = self._proofs.span(self._name, span)
            self._lot = min(2 * lot, _MOST_BLOCKS)
        found = {}
        for number in blocks:
            own = self._layout.leaves(range(number, number + 1))
            digests = text[own.start - span.start :][: own.length]
            if root_of(digests) == self._blocks.expected(number):
                found[number] = digests
        self._proofs.keep_leaves(self._name, found)
        return found.get(index)
