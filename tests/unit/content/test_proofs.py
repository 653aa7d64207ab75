"""What proves large content: no more of a block list is read than is needed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.blocklists import (
    DIGEST_BYTES,
    LEAF_BYTES,
    LEAVES_PER_BLOCK,
    BlockListWriter,
    ListLayout,
    block_list_key,
    leaf_digests,
    leaves_of,
)
from artfs.blobs.cache import BlockCache
from artfs.content.proofs import Proof, Proofs
from artfs.errors import IntegrityError
from artfs.manifest.entries import FileEntry
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, Digest, block_range
from tests.support.references import ROOMY

SIZE_BYTES = 300 * BLOCK_SIZE_BYTES + 3 * LEAF_BYTES + 5
"""More than a GiB, which no test has to hold: every block but the last is the same."""
BLOCK = Random(11).randbytes(BLOCK_SIZE_BYTES)
LAYOUT = ListLayout(SIZE_BYTES)


def block(index: int) -> bytes:
    return BLOCK[: block_range(index, SIZE_BYTES).length]


def list_of_large() -> bytes:
    writer = BlockListWriter()
    for index in range(301):
        writer.add(block(index))
    text = writer.finish()
    assert text is not None
    return text


LIST = list_of_large()
ENTRY = FileEntry(
    "large", Digest(b"l" * 32), SIZE_BYTES, b"m" * 16, block_list_key(LIST, SIZE_BYTES), False, 0
)


class Stored:
    """A store that has one block list, which may be damaged; implements Lists."""

    def __init__(self, text: bytes = LIST) -> None:
        self.text = text
        self.asked: list[ByteRange] = []

    def read(self, digest: Digest) -> bytes:
        assert digest == sha256(LIST).digest()
        raise AssertionError("the whole list of large content was read")

    def read_span(self, digest: Digest, span: ByteRange) -> bytes:
        assert digest == sha256(LIST).digest()
        self.asked.append(span)
        return self.text[span.start : span.stop]


def proof_of(stored: Stored, cache: BlockCache | None = None) -> Proof:
    return Proofs(stored, cache).of(ENTRY)


def leaves_at(offset: int, length: int) -> tuple[range, bytes]:
    """Some leaves that begin in one block, and their digests."""
    leaves = leaves_of(ByteRange(offset, length))
    start = leaves.start * LEAF_BYTES % BLOCK_SIZE_BYTES
    return leaves, leaf_digests((BLOCK + BLOCK)[start : start + len(leaves) * LEAF_BYTES])


def test_a_block_is_proved_by_its_root_alone() -> None:
    stored = Stored()
    proof = proof_of(stored)
    for index in (0, 150, 300):
        assert proof.blocks.proves(index, block(index))
        assert not proof.blocks.proves(index, block(index)[:-1] + b"?")
    assert stored.asked == [LAYOUT.roots]
    assert not proof.blocks.proves(300, block(299))


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (5_000_000, 4096), (BLOCK_SIZE_BYTES - 1, 2), (150 * BLOCK_SIZE_BYTES, 1024 * 1024)],
)
def test_a_few_leaves_need_little_of_the_list(offset: int, length: int) -> None:
    stored = Stored()
    wanted, digests = leaves_at(offset, length)
    assert proof_of(stored).leaves(wanted) == digests
    assert sum(span.length for span in stored.asked) <= LAYOUT.roots.length + 32 * 1024


def test_leaves_at_the_end_of_the_content_are_proved() -> None:
    wanted = leaves_of(ByteRange(SIZE_BYTES - 1, 1))
    assert wanted.start % LEAVES_PER_BLOCK == 3
    assert proof_of(Stored()).leaves(wanted) == leaf_digests(block(300)[3 * LEAF_BYTES :])


def test_who_reads_everywhere_gets_the_list_in_few_requests() -> None:
    stored = Stored()
    proof = proof_of(stored)
    for index in range(301):
        assert proof.leaves(leaves_of(ByteRange(index * BLOCK_SIZE_BYTES, 1))) is not None
    assert len(stored.asked) <= 12
    assert sum(span.length for span in stored.asked) <= 2 * len(LIST)


def test_a_list_that_is_damaged_behind_its_roots_proves_the_other_leaves() -> None:
    at = LAYOUT.leaves(range(7, 8)).start
    proof = proof_of(Stored(LIST[:at] + bytes(DIGEST_BYTES) + LIST[at + DIGEST_BYTES :]))
    for index in (6, 8):
        wanted, digests = leaves_at(index * BLOCK_SIZE_BYTES, 1)
        assert proof.leaves(wanted) == digests
    assert proof.leaves(leaves_at(7 * BLOCK_SIZE_BYTES, 1)[0]) is None
    assert proof.leaves(leaves_at(8 * BLOCK_SIZE_BYTES - 1, 2)[0]) is None
    assert proof.blocks.proves(7, BLOCK)


@pytest.mark.parametrize(
    "text",
    [b"", LIST[:DIGEST_BYTES], b"x" + LIST[1:]],
    ids=["none", "too few", "damaged"],
)
def test_roots_that_are_not_those_of_the_entry_prove_nothing(text: bytes) -> None:
    with pytest.raises(IntegrityError, match="block list"):
        proof_of(Stored(text))


def test_roots_are_kept_with_the_blocks(tmp_path: Path) -> None:
    proof_of(Stored(), BlockCache(tmp_path, ROOMY))
    nothing = Stored(b"")
    assert proof_of(nothing, BlockCache(tmp_path, ROOMY)).blocks.proves(0, BLOCK)
    assert nothing.asked == []


def test_a_list_that_is_whole_in_the_cache_is_read_there(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, ROOMY)
    name = Digest(sha256(LIST).digest())
    cache.put(name, 0, LIST, proved_by=name)
    nothing = Stored(b"")
    wanted, digests = leaves_at(5_000_000, 4096)
    assert proof_of(nothing, cache).leaves(wanted) == digests
    assert nothing.asked == []


def test_what_was_found_is_not_asked_for_again() -> None:
    stored = Stored()
    proofs = Proofs(stored, None)
    wanted, digests = leaves_at(5_000_000, 4096)
    for _ in range(2):
        assert proofs.of(ENTRY).leaves(wanted) == digests
    assert len(stored.asked) == 2
