"""Which files a host may have cut that died before they were durable."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.errors import StagingBusy
from artfs.repository.facade import Repository
from artfs.staging import hasher, meta
from artfs.staging.area import Area
from artfs.staging.commit import commit_area
from artfs.staging.hasher import Background
from artfs.staging.meta import Durable, read_durable, write_durable
from tests.support.faults import wait_until
from tests.unit.staging.areafs import AreaFs, new_area, new_store

LARGE_BYTES = 2 << 20


class Host:
    """A host that can be started again."""

    def __init__(self, boot_id: Path) -> None:
        self._boot_id = boot_id
        self._runs = 0
        self.restart()

    def restart(self) -> None:
        self._runs += 1
        self._boot_id.write_text(f"{self._runs:036}\n")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(meta, "_BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setattr(hasher, "SYNC_INTERVAL_S", 0.0)
    return Host(tmp_path / "boot_id")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with new_store(tmp_path / "store") as repository:
        yield repository


def plain_path(area: Area, name: str) -> str:
    node = area.tree.resolve(name)
    assert node is not None
    return area.plain.path(node.id)


def make_durable(area: Area) -> None:
    """What happens in the background in the end."""
    began = Durable.now().until_ns
    background = Background(area)
    try:
        background.changed()
        wait_until(lambda: noted(area).until_ns > began)
    finally:
        background.stop()


def noted(area: Area) -> Durable:
    found = read_durable(area.path / "durable")
    assert found is not None
    return found


def long_after(area: Area) -> None:
    """Let the clock of files be past what was noted."""
    written = area.path / "later"
    while True:
        written.touch()
        if written.stat().st_ctime_ns > noted(area).until_ns + 2 * meta._CLOCK_STEP_NS:
            break
        time.sleep(0.005)
    written.unlink()


def test_w5_what_a_dying_host_may_have_cut_is_not_committed(
    repository: Repository, host: Host
) -> None:
    with new_area(repository) as area:
        fs = AreaFs(area)
        fs.put("safe", b"made durable")
        long_after(area)
        make_durable(area)
        long_after(area)
        fs.put("cut", b"closed, and not durable")
        # tar, cp -p and rsync -t say when files were changed.
        os.utime(plain_path(area, "cut"), ns=(0, 0))
        area_id = area.id
    host.restart()
    for _ in range(2):
        with Area.open(repository, area_id) as area:
            assert area.contents.unfinished() == ["cut"]
            with pytest.raises(StagingBusy, match=r"cut.*--take-unfinished"):
                commit_area(area)
    with Area.open(repository, area_id) as area:
        AreaFs(area).put("cut", b"again")
        assert commit_area(area).created


def test_w2_a_killed_process_on_a_host_that_lives_cuts_nothing(
    repository: Repository, host: Host
) -> None:
    with new_area(repository) as area:
        AreaFs(area).put("file", b"closed, and not durable")
        area_id = area.id
    with Area.open(repository, area_id) as area:
        assert area.contents.unfinished() == []
        # The next sync makes durable what this process has not written, too.
        synced: list[bool] = []
        area.plain.sync_all = lambda: synced.append(True)  # type: ignore[method-assign]
        make_durable(area)
        assert synced
    host.restart()
    with Area.open(repository, area_id) as area:
        assert area.contents.unfinished() == []


def test_what_the_store_shares_was_durable_before(repository: Repository, host: Host) -> None:
    with new_area(repository) as area:
        fs = AreaFs(area)
        fs.put("shared", bytes(LARGE_BYTES))
        fs.put("own", bytes(LARGE_BYTES))
        os.link(plain_path(area, "shared"), area.path / "shared")
        area_id = area.id
    host.restart()
    with Area.open(repository, area_id) as area:
        assert area.contents.unfinished() == ["own"]


@pytest.mark.parametrize("note", [None, b"", b"{", b'{"boot_id":1}'])
def test_nothing_is_suspected_where_nothing_is_known(
    repository: Repository, host: Host, note: bytes | None
) -> None:
    with new_area(repository) as area:
        AreaFs(area).put("file", b"content")
        area_id, path = area.id, area.path / "durable"
    path.unlink()
    if note is not None:
        path.write_bytes(note)
    host.restart()
    with Area.open(repository, area_id) as area:
        assert area.contents.unfinished() == []


def test_a_note_that_is_written_again_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "durable"
    for until_ns in (1_800_000_000_000_000_000, 1_700_000_000_000_000_000):
        write_durable(path, Durable("b" * 36, until_ns))
        assert read_durable(path) == Durable("b" * 36, until_ns)
