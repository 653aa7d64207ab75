"""The note of files that are open for writing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from artfs import failpoints
from artfs.errors import StagingBusy
from artfs.repository.stores import open_store
from artfs.staging.area import Area
from artfs.staging.commit import commit_area
from artfs.staging.nodes import FileNode, StagedDirectory, StagedNode
from artfs.staging.writers import Writers
from tests.unit.staging.areafs import AreaFs, new_area, new_store


def nodes(count: int) -> dict[int, StagedNode]:
    root = StagedDirectory(1, base=None, mode=0o755, uid=0, gid=0, mtime_ns=0)
    made: dict[int, StagedNode] = {1: root}
    for node_id in range(2, count + 2):
        node = FileNode(node_id, content=None, mode=0o644, uid=0, gid=0, mtime_ns=0)
        node.add_place(root, str(node_id))
        made[node_id] = node
    return made


def files(found: dict[int, StagedNode]) -> list[FileNode]:
    return [node for node in found.values() if isinstance(node, FileNode)]


def reopened(path: Path, found: dict[int, StagedNode]) -> Writers:
    writers = Writers(path)
    writers.restore(found)
    return writers


def test_any_number_of_files_is_remembered_until_they_are_closed(tmp_path: Path) -> None:
    found = nodes(2000)
    writers = reopened(tmp_path / "writers", found)
    for node in files(found):
        writers.add(node)
        writers.add(node)
    for node in files(found)[::2]:
        writers.discard(node)
    assert set(writers) == set(files(found)[1::2])
    writers.sync()
    writers.close()
    later = reopened(tmp_path / "writers", found)
    assert list(later) == []
    assert set(later.unfinished()) == set(files(found)[1::2])
    later.accept_unfinished()
    assert later.unfinished() == []
    later.close()
    assert reopened(tmp_path / "writers", found).unfinished() == []


def test_a_file_that_is_opened_again_stays_noted_until_it_is_closed(tmp_path: Path) -> None:
    found = nodes(1)
    (node,) = files(found)
    for _ in range(2):
        writers = reopened(tmp_path / "writers", found)
        writers.add(node)
        assert writers.unfinished() == []
        writers.close()
    writers = reopened(tmp_path / "writers", found)
    assert writers.unfinished() == [node]
    writers.add(node)
    writers.discard(node)
    writers.close()
    assert reopened(tmp_path / "writers", found).unfinished() == []


def test_what_is_gone_or_was_never_written_is_not_unfinished(tmp_path: Path) -> None:
    found = nodes(2)
    writers = reopened(tmp_path / "writers", found)
    for node in files(found):
        writers.add(node)
    writers.close()
    del found[2]
    later = reopened(tmp_path / "writers", found)
    (left,) = later.unfinished()
    assert left.id == 3
    left.remove_place(next(left.places())[0], "3")
    assert later.unfinished() == []


def test_w5_what_an_fsync_makes_durable_is_noted_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_store(tmp_path / "store") as repository, new_area(repository) as area:
        AreaFs(area).create("synced", b"synced")
        writers = area.contents.writers
        area.tree.create(area.tree.root, "half", mode=0o644, uid=0, gid=0, writers=writers)
        note = (area.path / "writers").stat().st_ino
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
        # The index is about to name the half file.
        area.sync()
        area.sync()
        assert synced.count(note) == 1


def test_w5_a_file_whose_process_dies_while_it_is_made_is_not_committed_as_empty(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    with new_store(store) as repository, new_area(repository) as area:
        area_id = area.id
    child = os.fork()
    if child == 0:
        with open_store(str(store)) as repository, Area.open(repository, area_id) as area:
            failpoints.use("staging.changed=kill")
            AreaFs(area).put("half", b"all of it")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with open_store(str(store)) as repository, Area.open(repository, area_id) as area:
        assert AreaFs(area).read("half") == b""
        with pytest.raises(StagingBusy, match="half"):
            commit_area(area)


def test_w5_a_file_whose_content_a_dying_host_lost_is_not_committed_as_empty(
    tmp_path: Path,
) -> None:
    with new_store(tmp_path / "store") as repository:
        with new_area(repository) as area:
            AreaFs(area).put("deep/lost", b"never synced")
            area.sync()
            area_id, path = area.id, area.path
        (plain,) = (path / "files").iterdir()
        plain.unlink()
        for _ in range(2):
            with Area.open(repository, area_id) as area, pytest.raises(StagingBusy) as caught:
                commit_area(area)
            assert "deep/lost" in caught.value.reason
        with Area.open(repository, area_id) as area:
            AreaFs(area).put("deep/lost", b"again")
            assert commit_area(area).created
