"""The index of a staging area: its journal, its SQLite file, and what a crash leaves of them."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.errors import OutOfSpace, StoreFormatError
from artfs.staging.index import Index
from artfs.staging.journal import (
    Changes,
    Journal,
    LinkRow,
    NodeRow,
    Record,
    journals,
    merged,
    read_journals,
)
from tests.support.disks import small_file_system

IDS = st.integers(1, 5)
NAMES = st.sampled_from(["a", "b", "ü"])
NODES = st.builds(
    lambda node_id, mode: (node_id, "f", mode, 0, 0, 1, 2, None), IDS, st.integers(0, 0o777)
)
LINKS = st.builds(lambda *row: row, IDS, NAMES, st.none() | IDS)
RECORDS = st.tuples(
    st.lists(IDS, max_size=1),
    st.lists(st.tuples(IDS, NAMES), max_size=2),
    st.lists(IDS, max_size=1),
    st.lists(NODES, max_size=3),
    st.lists(LINKS, max_size=3),
)


class Model:
    """What rows there are after records, done one by one."""

    def __init__(self) -> None:
        self.nodes: dict[int, NodeRow] = {}
        self.links: dict[tuple[int, str], LinkRow] = {}

    def do(self, record: Record) -> None:
        vanished, removed_links, gone, nodes, links = record
        for parent in vanished:
            self.links = {key: link for key, link in self.links.items() if key[0] != parent}
        for key in removed_links:
            self.links.pop(key, None)
        for node_id in gone:
            self.nodes.pop(node_id, None)
        self.nodes.update({row[0]: row for row in nodes})
        self.links.update({link[:2]: link for link in links})


@given(st.lists(RECORDS, max_size=12), st.integers(0, 12))
def test_many_changes_made_one_do_what_they_do_one_by_one(
    records: list[Record], before: int
) -> None:
    one_by_one, at_once = Model(), Model()
    for record in records:
        one_by_one.do(record)
    for record in records[:before]:
        at_once.do(record)
    at_once.do(merged(records[before:]))
    assert (at_once.nodes, at_once.links) == (one_by_one.nodes, one_by_one.links)


def change(node_id: int, name: str = "name") -> Changes:
    changes = Changes()
    changes.nodes.append((node_id, "f", 0o644, 0, 0, 1, 2, b"\xff\x00"))
    changes.nodes.append((node_id + 100, "l", 0o777, 0, 0, 1, 2, "target ü"))
    changes.links.append((1, name, node_id))
    return changes


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "index.sqlite", create=True)
    yield index
    index.close()


def reopened(path: Path) -> tuple[list[int], list[str]]:
    """What an index says that another process opens: ids and names."""
    index = Index(path)
    try:
        return [row[0] for row in index.nodes()], [link[1] for link in index.links()]
    finally:
        index.close()


def copy_of_area(tmp_path: Path) -> Path:
    """The files as a process leaves them that is killed now."""
    target = tmp_path / "copy"
    target.mkdir()
    for path in tmp_path.iterdir():
        if path.is_file():
            shutil.copy(path, target)
    return target / "index.sqlite"


def test_w2_a_change_survives_a_killed_process_before_and_after_a_checkpoint(
    index: Index, tmp_path: Path
) -> None:
    index.apply(change(5, "first"))
    index.checkpoint()
    index.apply(change(6, "second"))
    assert reopened(copy_of_area(tmp_path)) == ([5, 6, 105, 106], ["first", "second"])


def test_a_checkpoint_leaves_one_empty_journal(index: Index, tmp_path: Path) -> None:
    for number in range(50):
        index.apply(change(5 + number, f"name {number}"))
    index.checkpoint()
    ((_, path),) = journals(tmp_path)
    assert list(read_journals([path])) == []
    assert len(index.links()) == 50


def test_a_journal_that_was_applied_already_changes_nothing(index: Index, tmp_path: Path) -> None:
    index.apply(change(5))
    ((_, journal),) = journals(tmp_path)
    kept = tmp_path / "kept"
    shutil.copy(journal, kept)
    index.checkpoint()
    kept.rename(journal)
    assert reopened(copy_of_area(tmp_path)) == ([5, 105], ["name"])


def test_a_journal_that_a_dying_host_brings_back_changes_nothing(
    index: Index, tmp_path: Path
) -> None:
    index.apply(change(5, "old"))
    ((_, first),) = journals(tmp_path)
    kept = tmp_path / "kept"
    shutil.copy(first, kept)
    index.replace("{}", [(1, "d", 0o755, 0, 0, 1, 2, None)], [])
    kept.rename(first)
    assert reopened(copy_of_area(tmp_path)) == ([1], [])


def test_a_journal_is_nothing_without_the_end_of_the_one_before(
    tmp_path: Path,
) -> None:
    first, second = Journal(tmp_path, 1), Journal(tmp_path, 2)
    first.append(change(5, "kept").record())
    whole_bytes = first.size_bytes
    first.append(change(6, "lost").record())
    second.follow(first)
    assert second.is_empty
    second.append(change(7, "later").record())

    def names() -> list[str]:
        records = read_journals([first.path, second.path])
        return [links[0][1] for _, _, _, _, links in records]

    assert names() == ["kept", "lost", "later"]
    os.truncate(first.path, whole_bytes)
    os.truncate(first.path, 1000)
    assert names() == ["kept"]


@pytest.mark.parametrize("lost_bytes", [1, 30])
def test_a_record_that_a_dying_host_wrote_half_is_as_if_it_never_was(
    index: Index, tmp_path: Path, lost_bytes: int
) -> None:
    index.apply(change(5, "whole"))
    index.apply(change(6, "half"))
    ((_, path),) = journals(tmp_path)
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[:-lost_bytes] + bytes(1000))
    assert reopened(copy_of_area(tmp_path)) == ([5, 105], ["whole"])


def test_a_record_that_was_written_damaged_is_an_error_and_not_the_end(
    index: Index, tmp_path: Path
) -> None:
    index.apply(change(5, "whole"))
    ((_, path),) = journals(tmp_path)
    body = b"\x91" * 100_000
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole + struct.pack("<II", len(body), crc32(body)) + body)
    with pytest.raises(StoreFormatError, match="a record is damaged"):
        list(read_journals([path]))


def test_a_failed_append_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, 1)
    journal.append(change(5).record())

    def half(fd: int, data: bytes, offset: int) -> int:
        os.lseek(fd, offset, os.SEEK_SET)
        os.write(fd, bytes(data[:20]))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="No space"):
            journal.append(change(6).record())
    journal.append(change(7).record())
    found = [nodes[0][0] for _, _, _, nodes, _ in read_journals([journal.path])]
    assert found == [5, 7]


def test_replacing_everything_leaves_nothing_to_come_back(index: Index, tmp_path: Path) -> None:
    index.apply(change(5, "old"))
    index.replace("{}", [(1, "d", 0o755, 0, 0, 1, 2, None)], [])
    assert reopened(copy_of_area(tmp_path)) == ([1], [])


def test_on_a_full_disk_changes_are_kept_and_nothing_is_lost(tmp_path: Path) -> None:
    with (
        small_file_system(tmp_path / "disk", size_mib=12) as disk,
        closing(Index(disk / "index.sqlite", create=True)) as index,
    ):
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(bytes(12 << 20))
        for number in range(100):
            index.apply(change(5 + number, f"name {number}"))
        with pytest.raises(OutOfSpace):
            index.checkpoint()
        index.apply(change(500, "after"))
        (disk / "filler").unlink()
        index.checkpoint()
        assert len(index.links()) == 101


@pytest.mark.parametrize(("version", "later"), [(1, ("journals", "removed")), (3, ("removed",))])
def test_an_index_of_an_earlier_format_is_taken_over(
    tmp_path: Path, version: int, later: tuple[str, ...]
) -> None:
    path = tmp_path / "index.sqlite"
    Index(path, create=True).close()
    with sqlite3.connect(path) as connection:
        for table in later:
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    looked_at = Index(path, writes=False)
    assert looked_at.meta() == ""
    looked_at.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    connection.close()
    index = Index(path)
    index.apply(change(5))
    index.close()
    assert reopened(path) == ([5, 105], ["name"])


def test_an_index_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    Index(path, create=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFormatError, match="format 99"):
        Index(path)
