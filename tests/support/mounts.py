"""Mounting stores in tests: real FUSE, or a loud failure."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from artfs.errors import MountError
from artfs.mounts import client, shared
from artfs.mounts.client import MountOptions, MountRequest, MountStatus
from artfs.repository.facade import Repository
from artfs.system.mountinfo import mounted_at
from tests.support.stores import new_store


@contextmanager
def own_runtime() -> Iterator[Path]:
    """A runtime and state directory for some tests alone; its path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="artfs-"))
    (path / "run").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(path / "run"))
        patch.setenv("XDG_STATE_HOME", str(path / "state"))
        yield path
    shutil.rmtree(path)


@contextmanager
def mounting(root: Path) -> Iterator[Mounter]:
    """Mounts below `root`, all of them ended at the end."""
    mounter = Mounter(root)
    try:
        yield mounter
    finally:
        mounter.stop_all()


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime and state directory of this test alone."""
    with own_runtime() as path:
        yield path


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """A new, empty store."""
    with new_store(tmp_path / "store") as repository:
        yield repository


class Mounter:
    """Mounts stores below one directory, and unmounts them at the end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.mounted: list[Path] = []

    def __call__(
        self, repository: Repository, target: str | None = None, **options: object
    ) -> Path:
        """Mount a target of a store with these MountOptions; return the mountpoint."""
        return self.start(repository, target, **options).mountpoint

    def start(
        self, repository: Repository, target: str | None = None, **options: object
    ) -> MountStatus:
        """As a call, but return the status."""
        mountpoint = self._root / f"mnt{len(self.mounted)}"
        mountpoint.mkdir()
        request = MountRequest(
            store=repository.info.location,
            target=target,
            mountpoint=mountpoint,
            options=MountOptions(**options),  # type: ignore[arg-type]
        )
        self.mounted.append(mountpoint)
        return client.start(request)

    def stop_all(self) -> None:
        """Unmount what is still mounted."""
        for mountpoint in self.mounted:
            if mounted_at(mountpoint) is not None:
                client.stop(mountpoint, force=True, timeout_s=10)


@pytest.fixture
def mounted(tmp_path: Path, runtime: Path) -> Iterator[Mounter]:
    """`mounted(store, target, **options)` gives a mountpoint that lives as long as the test."""
    with mounting(tmp_path) as mounter:
        yield mounter


@contextmanager
def ended_at_the_end(runtime: Path) -> Iterator[None]:
    """What `artfs.path` mounts below a runtime directory ends with the block."""
    try:
        yield
    finally:
        shared.let_go()
        for each in client.mounts():
            # An idle one may be ending just now.
            with suppress(MountError):
                if each.mountpoint.is_relative_to(runtime):
                    client.stop(each.mountpoint, force=True)


def must_fail(act: Callable[[], object]) -> MountError:
    """The MountError that `act` raises."""
    with pytest.raises(MountError) as caught:
        act()
    return caught.value
