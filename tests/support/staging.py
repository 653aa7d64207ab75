"""Staging mounts in tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.content.base import read_blocks
from artfs.manifest.entries import FileEntry, SymlinkEntry
from artfs.manifest.tree import walk
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.mounts.contact import ended
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.repository.facade import Repository
from artfs.staging.listing import AreaOutcome
from artfs.system.mountinfo import mounted_at

ARTIFACT = "p/data"


class Stager:
    """Mounts staging areas of one store below a directory, and ends them at last."""

    def __init__(self, root: Path, repository: Repository) -> None:
        self._root = root
        self._mounted: list[Path] = []
        self.repository = repository

    def __call__(self, **order: object) -> Path:
        """A new staging mount; the arguments are those of StageOrder."""
        mountpoint = self._root / f"staged{len(self._mounted)}"
        mountpoint.mkdir()
        self.start(mountpoint, **order)
        return mountpoint

    def start(self, mountpoint: Path, **order: object) -> None:
        """Mount at a directory that is there."""
        request = MountRequest(
            store=self.repository.info.location,
            target=ARTIFACT,
            mountpoint=mountpoint,
            stage=StageOrder(**order),  # type: ignore[arg-type]
        )
        self._mounted.append(mountpoint)
        client.start(request)

    def finish(self, mountpoint: Path) -> AreaOutcome:
        """Unmount and wait for the version."""
        return stageclient.finish(mountpoint)

    def kill(self, mountpoint: Path) -> str:
        """kill -9 the mount's process, and clean up the mountpoint; the id of its area."""
        status = client.status(mountpoint)
        assert status.pid is not None
        assert status.staging is not None
        pidfd = os.pidfd_open(status.pid)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert ended(pidfd, 10)
        os.close(pidfd)
        client.stop(mountpoint)
        return status.staging.id

    def put(self, content: dict[str, bytes]) -> None:
        """Make a version of these files, without a mount."""
        mountpoint = self(base=None)
        for path, data in content.items():
            target = mountpoint / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        self.finish(mountpoint)

    def version(self, selector: str = "latest") -> dict[str, bytes | str | None]:
        """A version: bytes of files, `-> target` of symlinks, None of directories, by path."""
        version = self.repository.resolve(f"{ARTIFACT}:{selector}")
        found: dict[str, bytes | str | None] = {}
        for path, entry in walk(self.repository.directory, version.tree):
            if isinstance(entry, FileEntry):
                found[path] = b"".join(read_blocks(self.repository.content(entry)))
            elif isinstance(entry, SymlinkEntry):
                found[path] = f"-> {entry.target}"
            else:
                found[path] = None
        return found

    def version_count(self) -> int:
        """How many versions there are."""
        catalog = self.repository.catalog
        found = [each for each in catalog.artifacts() if each.path == ARTIFACT]
        return found[0].version_count if found else 0

    def end_all(self) -> None:
        """End what is still mounted."""
        for mountpoint in self._mounted:
            if mounted_at(mountpoint) is not None:
                client.stop(mountpoint, force=True, timeout_s=10)


@pytest.fixture
def staged(tmp_path: Path, repository: Repository, runtime: Path) -> Iterator[Stager]:
    """`staged(base=…)` gives a staging mount that lives as long as the test."""
    stager = Stager(tmp_path, repository)
    try:
        yield stager
    finally:
        stager.end_all()
