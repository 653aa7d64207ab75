"""The block cache: right bytes or none, shared by processes, and never in the way."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artfs.blobs.blocklists import LEAF_BYTES
from artfs.blobs.cache import WHOLE, BlockCache
from artfs.blobs.cache_eviction import STANDARD_LIMIT_BYTES, Quota, evict
from artfs.errors import DeadlineExceeded
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, Digest
from artfs.system.locks import hold_new_file
from tests.support.forked import living_child

KEY = Digest(sha256(b"some content").digest())
OTHER = Digest(sha256(b"other content").digest())
ROOMY = Quota(limit_bytes=1 << 40, reserve_bytes=0)
BLOCK = 64 * 1024


def key(number: int) -> Digest:
    return Digest(sha256(str(number).encode()).digest())


def age(cache: BlockCache, which: Digest, seconds: float, index: int = 0) -> None:
    """Make a block's last use so long ago."""
    path = cache.layout.block(which, index)
    used_s = time.time() - seconds
    os.utime(path, (used_s, used_s))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(root: Path) -> BlockCache:
    return BlockCache(root, ROOMY)


def test_what_was_put_is_read_also_by_another_process_later(root: Path, cache: BlockCache) -> None:
    assert cache.read(KEY, 0) is None
    assert cache.put(KEY, 0, b"zero")
    assert cache.put(KEY, 1, b"")
    assert cache.put(KEY, WHOLE, b"whole")
    for reader in (cache, BlockCache(root, ROOMY)):
        assert reader.read(KEY, 0) == b"zero"
        assert reader.read(KEY, 1) == b""
        assert reader.read(KEY, WHOLE) == b"whole"
        assert reader.read(OTHER, 0) is None


def test_a_block_at_hand_is_an_open_file_that_begins_with_its_bytes(cache: BlockCache) -> None:
    cache.put(KEY, 3, b"0123456789")
    opened = cache.opened(KEY, 3)
    assert opened is not None
    assert os.pread(opened.file.fd, 4, 2) == b"2345"
    assert cache.opened(KEY, 4) is None


def forget_pages(path: Path) -> None:
    """Put a file out of the page cache."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


@pytest.mark.parametrize("at_hand", [True, False])
def test_a_full_block_is_read_past_the_page_cache(cache: BlockCache, at_hand: bool) -> None:
    data = os.urandom(BLOCK_SIZE_BYTES)
    cache = BlockCache(cache.layout.root, cache.quota, read_directly=True)
    cache.put(KEY, 0, data)
    if not at_hand:
        forget_pages(cache.layout.block(KEY, 0))
    found = cache.read(KEY, 0)
    assert isinstance(found, memoryview)
    assert bytes(found) == data
    opened = cache.opened(KEY, 0)
    assert opened is not None
    assert os.pread(opened.file.fd, 10, 5) == data[5:15]


@pytest.mark.parametrize("directly", [False, True])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "append", "other"])
def test_a_damaged_block_is_dropped(
    cache: BlockCache, damage: str, directly: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BlockCache(cache.layout.root, cache.quota, read_directly=directly)
    cache.put(KEY, 0, b"x" * (BLOCK_SIZE_BYTES if directly else 1000))
    path = cache.layout.block(KEY, 0)
    path.chmod(0o600)
    stored = path.read_bytes()
    changed = {
        "flip": bytes([stored[0] ^ 1]) + stored[1:],
        "truncate": stored[:-1],
        "empty": b"",
        "append": stored + b"z",
        "other": b"not a block at all" * 10,
    }[damage]
    path.write_bytes(changed)
    forget_pages(path)
    with caplog.at_level(logging.WARNING):
        assert cache.read(KEY, 0) is None
    assert "damaged" in caplog.text
    assert not path.exists()


def test_a_block_that_is_not_what_the_caller_expects_is_dropped(cache: BlockCache) -> None:
    cache.put(KEY, 0, b"right")
    assert cache.read(KEY, 0, expected=sha256(b"right").digest()) == b"right"
    assert cache.read(KEY, 0, expected=sha256(b"wrong").digest()) is None
    assert cache.read(KEY, 0) is None


def span(start: int, stop: int) -> ByteRange:
    return ByteRange(start, stop - start)


def change(path: Path, offset: int) -> None:
    """Change one byte of a block, in place."""
    path.chmod(0o600)
    fd = os.open(path, os.O_RDWR)
    [byte] = os.pread(fd, 1, offset)
    os.pwrite(fd, bytes([byte ^ 1]), offset)
    os.close(fd)


def test_a_span_needs_its_own_leaves_alone(
    root: Path, cache: BlockCache, caplog: pytest.LogCaptureFixture
) -> None:
    data = os.urandom(5 * LEAF_BYTES + 7)
    cache.put(KEY, 0, data)
    change(cache.layout.block(KEY, 0), 2 * LEAF_BYTES)
    reader = BlockCache(root, ROOMY)
    for found in (
        span(0, 2 * LEAF_BYTES),
        span(3 * LEAF_BYTES, 3 * LEAF_BYTES + 5),
        span(len(data) - 1, len(data)),
        span(4 * LEAF_BYTES - 2, len(data)),
    ):
        assert reader.read_span(KEY, 0, found) == data[found.start : found.stop]
    block = reader.opened(KEY, 0)
    assert block is not None
    assert block.is_proved(span(0, 5))
    assert not block.is_proved(span(2 * LEAF_BYTES - 1, 2 * LEAF_BYTES + 1))
    with caplog.at_level(logging.WARNING):
        assert reader.read_span(KEY, 0, span(2 * LEAF_BYTES + 9, 2 * LEAF_BYTES + 10)) is None
    assert "damaged" in caplog.text
    assert not reader.has(KEY, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_span_of_any_block_is_what_was_put(data: st.DataObject) -> None:
    sizes = st.integers(1, 3 * LEAF_BYTES) | st.sampled_from([LEAF_BYTES, 2 * LEAF_BYTES])
    content = data.draw(sizes.map(os.urandom))
    with tempfile.TemporaryDirectory() as directory:
        cache = BlockCache(Path(directory), ROOMY)
        cache.put(KEY, 0, content)
        reader = BlockCache(Path(directory), ROOMY)
        for _ in range(3):
            start = data.draw(st.integers(0, len(content) - 1))
            stop = data.draw(st.integers(start + 1, len(content)))
            assert reader.read_span(KEY, 0, span(start, stop)) == content[start:stop]
        assert reader.read_span(KEY, 0, span(len(content), len(content) + 1)) is None
        assert reader.read(KEY, 0) == content


def test_a_span_of_a_block_that_was_proved_by_nothing_else_is_not_served(
    root: Path, cache: BlockCache
) -> None:
    proof, other = sha256(b"right").digest(), sha256(b"wrong").digest()
    cache.put(KEY, 0, b"right")
    cache.put(KEY, 1, b"right", proved_by=proof)
    for reader in (cache, BlockCache(root, ROOMY)):
        assert reader.read_span(KEY, 0, span(0, 2)) == b"ri"
        assert reader.read_span(KEY, 0, span(0, 2), expected=proof) is None
        assert reader.read_span(KEY, 1, span(0, 2), expected=proof) == b"ri"
        assert reader.read_span(KEY, 1, span(0, 2), expected=other) is None
        assert reader.read(KEY, 0, expected=proof) == b"right"


@pytest.mark.parametrize("offset", [0, 5 * LEAF_BYTES + 3, 5 * LEAF_BYTES + 100, -1])
def test_a_block_that_changes_in_place_is_not_served_though_it_was_proved(
    cache: BlockCache, offset: int
) -> None:
    """Content, the digests of its leaves, and the seal alike."""
    data = bytes(5 * LEAF_BYTES)
    cache.put(KEY, 0, data)
    path = cache.layout.block(KEY, 0)
    change(path, offset % path.stat().st_size)
    found = cache.read_span(KEY, 0, span(0, 10))
    assert found is None
    assert not cache.has(KEY, 0)


def test_the_cache_may_vanish_under_its_users(root: Path, cache: BlockCache) -> None:
    cache.put(KEY, 0, b"zero")
    opened = cache.opened(KEY, 0)
    shutil.rmtree(root)
    assert cache.read(KEY, 0) is None
    assert opened is not None
    assert os.pread(opened.file.fd, 4, 0) == b"zero"
    with cache.flight(KEY, 0, timeout_s=1):
        assert cache.put(KEY, 0, b"again")
    assert cache.read(KEY, 0) == b"again"


def test_a_cache_that_cannot_be_written_is_passed_over(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    root.write_bytes(b"a file where the directory should be")
    cache = BlockCache(root, ROOMY)
    with caplog.at_level(logging.WARNING):
        assert not cache.put(KEY, 0, b"zero")
        assert not cache.put(KEY, 1, b"one")
    assert cache.bypassed
    assert len(caplog.records) == 1
    assert cache.read(KEY, 0) is None
    with cache.flight(KEY, 0, timeout_s=1) as flight:
        assert flight.extend(1)
    cache.write_note(KEY, b"note")
    assert cache.read_note(KEY) is None


def test_a_full_disk_is_passed_over(root: Path, tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    cache = BlockCache(root, Quota(1 << 40, reserve_bytes=free.f_bavail * free.f_frsize * 2))
    assert not cache.put(KEY, 0, b"zero")
    assert cache.bypassed


def test_notes_are_kept_and_checked(root: Path, cache: BlockCache) -> None:
    cache.write_note(KEY, b"size 7")
    assert BlockCache(root, ROOMY).read_note(KEY) == b"size 7"
    path = cache.layout.note(KEY)
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.read_note(KEY) is None


def test_the_standard_quota_is_a_tenth_of_the_disk_at_most(tmp_path: Path) -> None:
    quota = Quota.standard(tmp_path / "not" / "there" / "yet")
    disk = os.statvfs(tmp_path)
    disk_bytes = disk.f_blocks * disk.f_frsize
    assert quota.limit_bytes == min(STANDARD_LIMIT_BYTES, disk_bytes // 10)
    assert quota.reserve_bytes == disk_bytes // 20
    assert Quota.standard(tmp_path, 123).limit_bytes == 123


def fill(cache: BlockCache, numbers: range) -> None:
    for number in numbers:
        assert cache.put(key(number), 0, os.urandom(BLOCK - 4096))


def present(cache: BlockCache, numbers: range) -> list[int]:
    return [number for number in numbers if cache.has(key(number), 0)]


def test_the_quota_is_kept_and_the_oldest_blocks_go_first(root: Path) -> None:
    cache = BlockCache(root, Quota(limit_bytes=10 * BLOCK, reserve_bytes=0))
    fill(cache, range(40))
    total = sum(block.disk_bytes for block in cache.layout.blocks())
    assert total <= 11 * BLOCK
    assert present(cache, range(25)) == []
    assert 39 in present(cache, range(40))


def test_reading_much_once_does_not_push_out_what_is_read_often(root: Path) -> None:
    cache = BlockCache(root, Quota(limit_bytes=20 * BLOCK, reserve_bytes=0))
    fill(cache, range(8))
    for number in range(8):
        age(cache, key(number), 3600)
        assert cache.read(key(number), 0) is not None
    fill(cache, range(100, 200))
    assert present(cache, range(8)) == list(range(8))


def test_reads_in_quick_succession_are_one_use(root: Path) -> None:
    cache = BlockCache(root, Quota(limit_bytes=20 * BLOCK, reserve_bytes=0))
    fill(cache, range(8))
    for _ in range(3):
        for number in range(8):
            assert cache.read(key(number), 0) is not None
    fill(cache, range(100, 200))
    assert present(cache, range(8)) == []


def test_a_new_working_set_displaces_an_old_one(root: Path) -> None:
    cache = BlockCache(root, Quota(limit_bytes=20 * BLOCK, reserve_bytes=0))
    fill(cache, range(18))
    for number in range(18):
        age(cache, key(number), 3600)
        cache.read(key(number), 0)
        age(cache, key(number), 1800)
    # The new set is too large for the room that new blocks have: it comes again and again.
    for _ in range(2):
        for number in range(100, 115):
            if cache.read(key(number), 0) is None:
                fill(cache, range(number, number + 1))
    assert len(present(cache, range(100, 115))) >= 12
    assert len(present(cache, range(18))) <= 8


def test_pinned_content_stays_until_it_is_unpinned(root: Path) -> None:
    cache = BlockCache(root, Quota(limit_bytes=10 * BLOCK, reserve_bytes=0))
    fill(cache, range(3))
    cache.pin("project/name:v0", [key(number) for number in range(3)])
    assert cache.layout.pinned() == {"project/name:v0": frozenset(key(n) for n in range(3))}
    fill(cache, range(100, 140))
    assert present(cache, range(3)) == [0, 1, 2]
    assert cache.unpin("project/name:v0")
    assert not cache.unpin("project/name:v0")
    fill(cache, range(200, 240))
    assert present(cache, range(3)) == []


def test_what_a_dead_process_was_writing_is_removed_and_what_somebody_holds_is_not(
    cache: BlockCache,
) -> None:
    cache.put(KEY, 0, b"zero")
    leftover = cache.layout.tmp / "abc"
    leftover.write_bytes(b"half a block")
    written = cache.layout.tmp / "abd"
    held = hold_new_file(written)
    # Whatever any clock says.
    os.utime(written, (1, 1))
    evict(cache.layout, cache.quota)
    assert not leftover.exists()
    assert written.exists()
    held.close()


def test_a_flight_excludes_other_threads_and_ends_in_time(cache: BlockCache) -> None:
    with cache.flight(KEY, 0, timeout_s=5):
        with cache.flight(KEY, 1, timeout_s=5), cache.flight(OTHER, 0, timeout_s=5):
            pass
        started_s = time.monotonic()
        with (
            pytest.raises(DeadlineExceeded, match="another process"),
            cache.flight(KEY, 0, timeout_s=0.2),
        ):
            pass
        assert time.monotonic() - started_s < 5
    with cache.flight(KEY, 0, timeout_s=0):
        pass


def test_a_flight_of_another_thread_does_not_go_on_in_a_forked_child(cache: BlockCache) -> None:
    taken, go_on = threading.Event(), threading.Event()

    def fetch() -> None:
        with cache.flight(KEY, 0, timeout_s=5):
            taken.set()
            go_on.wait()

    thread = threading.Thread(target=fetch)
    thread.start()
    taken.wait()
    with living_child():
        go_on.set()
        thread.join()
        with cache.flight(KEY, 0, timeout_s=0):
            pass


def test_a_flight_takes_and_releases_further_blocks(cache: BlockCache) -> None:
    with cache.flight(KEY, 0, timeout_s=1) as one:
        assert one.extend(1)
        with cache.flight(KEY, 5, timeout_s=1) as two:
            assert not two.extend(1)
            one.release(1)
            assert two.extend(1)


def _hold(root: Path, ready: multiprocessing.synchronize.Event) -> None:
    with BlockCache(root, ROOMY).flight(KEY, 0, timeout_s=5):
        ready.set()
        time.sleep(60)


def test_a_killed_process_lets_its_flight_go(root: Path, cache: BlockCache) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(root, ready), daemon=True)
    process.start()
    assert ready.wait(30)
    with pytest.raises(DeadlineExceeded), cache.flight(KEY, 0, timeout_s=0.1):
        pass
    process.kill()
    process.join()
    with cache.flight(KEY, 0, timeout_s=5):
        pass


def test_many_threads_use_one_cache(root: Path) -> None:
    cache = BlockCache(root, Quota(limit_bytes=30 * BLOCK, reserve_bytes=0))
    wrong: list[int] = []

    def work(seed: int) -> None:
        for step in range(60):
            number = (seed * 7 + step) % 50
            data = str(number).encode() * 1000
            found = cache.read(key(number), 0)
            if found is None:
                cache.put(key(number), 0, data)
            elif found != data:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not cache.bypassed
