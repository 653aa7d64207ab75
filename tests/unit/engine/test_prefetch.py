from __future__ import annotations

import random

from artfs.engine.prefetch import (
    MAX_FILES_AHEAD,
    MAX_WINDOW_BLOCKS,
    FilePattern,
    ReadPattern,
)
from artfs.model import BLOCK_SIZE_BYTES

MIB = 1024 * 1024


def test_the_first_read_opens_no_window() -> None:
    assert ReadPattern().observe(0, 128 * 1024) == 0


def test_a_stream_doubles_its_window_up_to_the_limit() -> None:
    pattern = ReadPattern()
    windows = [pattern.observe(index * MIB, MIB) for index in range(7)]
    assert windows == [0, 1, 2, 4, 8, 8, 8]
    assert windows[-1] == MAX_WINDOW_BLOCKS


def test_requests_of_a_stream_may_arrive_out_of_order() -> None:
    pattern = ReadPattern()
    offsets = [0, 2, 1, 3, 5, 4, 7, 6, 8]
    windows = [pattern.observe(offset * MIB, MIB) for offset in offsets]
    assert windows[-1] == MAX_WINDOW_BLOCKS
    assert windows == sorted(windows)


def test_a_seek_closes_the_window() -> None:
    pattern = ReadPattern()
    for index in range(6):
        pattern.observe(index * MIB, MIB)
    assert pattern.observe(500 * MIB, MIB) == 0
    assert pattern.observe(501 * MIB, MIB) == 1


def test_random_small_reads_never_open_a_window() -> None:
    pattern = ReadPattern()
    source = random.Random(1)
    assert not any(pattern.observe(source.randrange(10**9), 4096) for _ in range(10_000))


def test_small_reads_near_each_other_never_open_a_window() -> None:
    pattern = ReadPattern()
    source = random.Random(1)
    assert not any(
        pattern.observe(source.randrange(BLOCK_SIZE_BYTES // 4096) * 8192, 4096)
        for _ in range(1000)
    )


def test_small_reads_in_a_row_open_a_window_where_they_enter_a_block() -> None:
    pattern = ReadPattern()
    windows = [pattern.observe(offset, 4096) for offset in range(0, BLOCK_SIZE_BYTES + 8192, 4096)]
    assert not any(windows[: BLOCK_SIZE_BYTES // 4096])
    assert windows[-1] == 1


def test_files_in_a_row_open_a_window_that_doubles() -> None:
    pattern = FilePattern()
    windows = [pattern.observe(position) for position in range(100, 110)]
    assert windows == [0, 0, 1, 2, 4, 8, 16, 16, 16, 16]
    assert windows[-1] == MAX_FILES_AHEAD


def test_readers_that_share_a_directory_may_be_out_of_order() -> None:
    pattern = FilePattern()
    order = [0, 2, 1, 3, 5, 4, 7, 6, 8, 8, 10, 9]
    windows = [pattern.observe(position) for position in order]
    assert windows[-1] == MAX_FILES_AHEAD
    assert windows == sorted(windows)


def test_a_file_far_away_closes_the_window() -> None:
    pattern = FilePattern()
    for position in range(6):
        pattern.observe(position)
    assert pattern.observe(500) == 0
    assert pattern.observe(3) == 0


def test_files_in_no_order_of_a_large_directory_seldom_open_a_window() -> None:
    pattern = FilePattern()
    source = random.Random(1)
    assert not any(pattern.observe(source.randrange(100_000)) for _ in range(10_000))
