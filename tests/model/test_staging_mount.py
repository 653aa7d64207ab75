"""A staging mount does what a plain directory does, whatever it is asked, and so does its version.

The same system calls go to both; trees, bytes, modes and errnos are compared.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from artfs.mounts import staging_client as stageclient
from tests.support.mounts import own_runtime
from tests.support.privileges import for_its_owner
from tests.support.staging import Stager
from tests.support.stores import new_store

NAMES = st.sampled_from(["a", "b", "c", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DATA = st.binary(min_size=1, max_size=40)
FLAGS = st.sampled_from(
    [
        os.O_WRONLY | os.O_CREAT,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        os.O_RDWR | os.O_CREAT | os.O_TRUNC,
        os.O_RDWR,
        os.O_WRONLY | os.O_APPEND,
        os.O_WRONLY | os.O_TRUNC,
    ]
)
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


def rename_with(flags: int, old: Path, new: Path) -> None:
    if _libc.renameat2(_AT_FDCWD, bytes(old), _AT_FDCWD, bytes(new), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class StagingMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._runtime = own_runtime()
        self._runtime.__enter__()
        self.top = Path(tempfile.mkdtemp(prefix="artfs-model-"))
        self.local = self.top / "local"
        self.local.mkdir()
        self.repository = new_store(self.top / "store")
        self.stager = Stager(self.top, self.repository)
        self.mount = self.stager()
        self.open: list[tuple[int, int]] = []

    def teardown(self) -> None:
        self._close_all()
        self.stager.end_all()
        self.repository.close()
        shutil.rmtree(self.top)
        self._runtime.__exit__(None, None, None)

    def both(self, operation: Callable[[Path], object]) -> None:
        assert _outcome(operation, self.mount) == _outcome(operation, self.local)

    @rule(path=PATHS, flags=FLAGS, offset=st.integers(0, 50), data=DATA)
    def write(self, path: str, flags: int, offset: int, data: bytes) -> None:
        def operation(root: Path) -> object:
            fd = os.open(root / path, flags, 0o644)
            try:
                written = os.pwrite(fd, data, offset)
                return written, os.fstat(fd).st_size
            finally:
                os.close(fd)

        self.both(operation)

    @rule(path=PATHS, flags=FLAGS)
    def open_and_keep(self, path: str, flags: int) -> None:
        def operation(root: Path) -> object:
            opened.append(os.open(root / path, flags & ~os.O_ACCMODE | os.O_RDWR, 0o644))
            return None

        opened: list[int] = []
        self.both(operation)
        if opened:
            self.open.append((opened[0], opened[1]))

    @rule(offset=st.integers(0, 50), data=DATA, number=st.integers(0, 3))
    def write_open(self, offset: int, data: bytes, number: int) -> None:
        if self.open:
            ours, theirs = self.open[number % len(self.open)]
            assert os.pwrite(ours, data, offset) == os.pwrite(theirs, data, offset)
            assert os.pread(ours, 200, 0) == os.pread(theirs, 200, 0)
            assert os.fstat(ours).st_nlink == os.fstat(theirs).st_nlink

    @rule()
    def close_all(self) -> None:
        self._close_all()

    def _close_all(self) -> None:
        for pair in self.open:
            for fd in pair:
                os.close(fd)
        self.open.clear()

    @rule(path=PATHS, size_bytes=st.integers(0, 60))
    def truncate(self, path: str, size_bytes: int) -> None:
        self.both(lambda root: os.truncate(root / path, size_bytes))

    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        self.both(lambda root: (root / path).mkdir())

    @rule(path=PATHS)
    def rmdir(self, path: str) -> None:
        self.both(lambda root: (root / path).rmdir())

    @rule(path=PATHS)
    def unlink(self, path: str) -> None:
        self.both(lambda root: (root / path).unlink())

    @rule(path=PATHS, where=NAMES)
    def symlink(self, path: str, where: str) -> None:
        self.both(lambda root: (root / path).symlink_to(where))

    @rule(old=PATHS, new=PATHS)
    def link(self, old: str, new: str) -> None:
        self.both(lambda root: os.link(root / old, root / new, follow_symlinks=False))

    @rule(old=PATHS, new=PATHS, flags=st.sampled_from([0, 0, 1, 2]))
    def rename(self, old: str, new: str, flags: int) -> None:
        self.both(lambda root: rename_with(flags, root / old, root / new))

    @rule(path=PATHS, mode=st.sampled_from([0o644, 0o755, 0o700, 0o640, 0o4755, 0o2711]))
    def chmod(self, path: str, mode: int) -> None:
        mode = for_its_owner(self.local / path, mode)
        self.both(lambda root: (root / path).chmod(mode))

    @rule(path=PATHS, mtime_ns=st.integers(0, 2**60))
    def utime(self, path: str, mtime_ns: int) -> None:
        def operation(root: Path) -> object:
            os.utime(root / path, ns=(mtime_ns, mtime_ns))
            return (root / path).stat().st_mtime_ns

        self.both(operation)

    @rule()
    def commit(self) -> None:
        self._close_all()
        stageclient.commit(self.mount)
        expected = _version_of(self.local)
        if expected or self.stager.version_count():
            assert self.stager.version() == expected

    @rule()
    def mount_again(self) -> None:
        self._close_all()
        self.stager.finish(self.mount)
        base = "latest" if self.stager.version_count() else None
        self.mount = self.stager(base=base)
        # A version keeps of a mode whether its owner may execute, and of hard links nothing.
        for path in [self.local, *sorted(self.local.rglob("*"))]:
            if path.is_symlink():
                continue
            executable = path.is_dir() or path.stat().st_mode & 0o100
            if path.is_file() and path.stat().st_nlink > 1:
                data, found = path.read_bytes(), path.stat()
                path.unlink()
                path.write_bytes(data)
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
            path.chmod(0o755 if executable else 0o644)

    @invariant()
    def same(self) -> None:
        assert _dump(self.mount) == _dump(self.local)


def _outcome(operation: Callable[[Path], object], root: Path) -> tuple[str, object]:
    try:
        return "returned", operation(root)
    except OSError as error:
        return "raised", errno.errorcode[error.errno or 0]


def _dump(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(root))
        if stat.S_ISLNK(status.st_mode):
            found[name] = str(path.readlink())
        elif stat.S_ISDIR(status.st_mode):
            found[name] = status.st_mode
        else:
            found[name] = (status.st_mode, status.st_nlink, status.st_size, path.read_bytes())
    return found


def _version_of(root: Path) -> dict[str, bytes | str | None]:
    found: dict[str, bytes | str | None] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


_SETTINGS = settings(
    max_examples=4,
    stateful_step_count=40,
    deadline=None,
    # Starting a mount for each step of shrinking takes longer than reading the example.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


class TestStagingMount(StagingMachine.TestCase):  # type: ignore[misc, valid-type]
    """What a merge waits for."""

    settings = _SETTINGS


class TestLongStagingMount(StagingMachine.TestCase):  # type: ignore[misc, valid-type]
    """What scripts/hunt looks at."""

    settings = settings(_SETTINGS, max_examples=40)
