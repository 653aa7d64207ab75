"""What happens to closed files in the background."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from threading import enumerate as enumerate_threads
from threading import main_thread

import pytest

from artfs.content.base import read_blocks
from artfs.manifest.entries import FileEntry
from artfs.staging import hasher
from artfs.staging.area import Area
from artfs.staging.commit import commit_area
from artfs.staging.hasher import Background, hash_node
from artfs.staging.nodes import FileNode
from tests.support.faults import wait_until
from tests.unit.staging.areafs import AreaFs, new_area, new_store

LONG_BYTES = 1 << 40


@pytest.fixture
def area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Area]:
    monkeypatch.setattr(hasher, "SYNC_INTERVAL_S", 0.0)
    repository = new_store(tmp_path / "store")
    with new_area(repository) as area:
        yield area
    repository.close()


def closed_file(area: Area, background: Background, name: str, size_bytes: int) -> FileNode:
    fs = AreaFs(area)
    fs.create(name, b"")
    fs.truncate(name, size_bytes)
    node = area.tree.resolve(name)
    assert isinstance(node, FileNode)
    background.changed()
    background.closed(node)
    return node


def nices() -> dict[str, int]:
    """The nice values of this process' threads, by name; of the first thread by none."""
    return {
        "" if thread is main_thread() else thread.name: os.getpriority(
            os.PRIO_PROCESS, thread.native_id
        )
        for thread in enumerate_threads()
        if thread.native_id is not None
    }


def is_durable(area: Area, name: str) -> bool:
    """Whether a name has come into the SQLite file."""
    with closing(sqlite3.connect(area.path / "index.sqlite")) as connection:
        found = connection.execute("SELECT count(*) FROM links WHERE name = ?", (name,))
        return bool(found.fetchone()[0])


def test_w2_what_is_closed_becomes_durable_while_a_large_file_is_hashed(area: Area) -> None:
    background = Background(area)
    try:
        # All zeros, and no end of them.
        large = closed_file(area, background, "large", LONG_BYTES)
        wait_until(lambda: is_durable(area, "large"))
        closed_file(area, background, "small", 3)
        wait_until(lambda: is_durable(area, "small"))
        assert large.hashed is None
    finally:
        background.stop()


def test_hashing_gives_way_and_syncing_does_not(area: Area) -> None:
    background = Background(area)
    try:
        closed_file(area, background, "large", LONG_BYTES)
        # The thread, and the two that it has for the digests of a large file.
        own = nices()[""]
        low = max(10, own)
        wait_until(lambda: list(nices().values()).count(low) >= 3)
        assert nices()[f"hash {area.id}"] == low
        assert nices()[f"sync {area.id}"] == own
    finally:
        background.stop()


def test_w2_what_could_not_be_made_durable_is_tried_again(
    area: Area, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[int] = []

    def fail_once(node_id: int) -> None:
        if not failed:
            failed.append(node_id)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        synced.append(node_id)

    synced: list[int] = []
    monkeypatch.setattr(area.plain, "sync", fail_once)
    background = Background(area)
    try:
        node = closed_file(area, background, "file", 3)
        wait_until(lambda: node.id in synced)
        assert failed == [node.id]
    finally:
        background.stop()


def test_what_was_hashed_is_hashed_again_where_its_file_was_changed_in_place(
    area: Area, tmp_path: Path
) -> None:
    fs = AreaFs(area)
    fs.create("large", b"right" * 400_000)
    node = area.tree.resolve("large")
    assert isinstance(node, FileNode)
    first = hash_node(area, node)
    assert first is not None
    assert hash_node(area, node) is first
    path = Path(area.plain.path(node.id))
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    version = commit_area(area).version
    assert version is not None
    entry = area.repository.find(version.tree, "large")
    assert isinstance(entry, FileEntry)
    expected = b"other" + b"right" * 399_999
    assert entry.sha256 == sha256(expected).digest()
    assert b"".join(read_blocks(area.repository.content(entry))) == expected
