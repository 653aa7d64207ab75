"""A disk that fails on purpose: a directory seen through FUSE, by whoever runs the tests.

It runs as a process of its own. What fails is said by rules in a file that it reads anew for each
request, so that a test may let a disk go bad under the feet of whoever has files open.
"""

# What the kernel asks for is passed on as it is.
# ruff: noqa: PTH101, PTH102, PTH104, PTH115, PTH116, PTH208, PTH211, SIM905

from __future__ import annotations

import errno
import fnmatch
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyfuse3
import trio

from artfs.system.mountinfo import mounted_at

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")

EVERY = (
    "access create fsync fsyncdir getattr link lookup mkdir mknod open opendir read readdir"
    " readlink rename rmdir setattr statfs symlink unlink write"
).split()
"""What can be made to fail; `chmod` is the part of `setattr` that changes a mode."""


class FaultDisk:
    """The mounted disk, and what is wrong with it."""

    def __init__(self, path: Path, backing: Path, rules: Path) -> None:
        self.path = path
        """The disk as it is used."""
        self.backing = backing
        """Its content, sound, behind its back."""
        self._rules = rules

    def fail(self, error: int, *operations: str, paths: str = "*") -> None:
        """From now on let these operations fail on paths, of the disk, that match the pattern."""
        self._write([[list(operations), paths, error]])

    def heal(self) -> None:
        """Let everything work again."""
        self._write([])

    @contextmanager
    def failing(self, error: int, *operations: str, paths: str = "*") -> Iterator[None]:
        """`fail` for a while."""
        self.fail(error, *operations, paths=paths)
        try:
            yield
        finally:
            self.heal()

    def _write(self, rules: list[list[Any]]) -> None:
        new = self._rules.with_suffix(".new")
        new.write_text(json.dumps(rules))
        new.rename(self._rules)


@contextmanager
def fault_disk(directory: Path) -> Iterator[FaultDisk]:
    """A sound disk below `directory`."""
    backing, path, rules = directory / "backing", directory / "disk", directory / "rules"
    for each in (backing, path):
        each.mkdir(parents=True)
    rules.write_text("[]")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.faultdisk", str(backing), str(path), str(rules)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n", "the faulty disk could not be mounted"
        yield FaultDisk(path, backing, rules)
    finally:
        if mounted_at(path) is not None:
            subprocess.run(["fusermount3", "-u", "-z", str(path)], check=False)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class _Operations(pyfuse3.Operations):
    """A directory, by paths relative to it; an inode is that of the backing file system."""

    def __init__(self, backing: Path, rules: Path) -> None:
        super().__init__()
        self._backing = backing
        self._rules = rules
        self._names: dict[int, list[str]] = {pyfuse3.ROOT_INODE: [""]}
        self._root_inode = backing.stat().st_ino
        self._files: dict[int, set[int]] = {}
        self._owners: dict[int, int] = {}
        self._lock = threading.Lock()

    # --- what is wrong -----------------------------------------------------------------------

    def _do(self, operation: str, inode: int, name: str, work: Callable[[], T]) -> T:
        path = self._joined(inode, name)
        if operation == "read" and path.endswith("-shm"):
            # SQLite maps it into memory: a page that cannot be read is a signal and no error.
            return work()
        for operations, pattern, number in json.loads(self._rules.read_text()):
            if operation in operations and fnmatch.fnmatchcase(path, pattern):
                raise pyfuse3.FUSEError(number)
        try:
            return work()
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None

    # --- names -------------------------------------------------------------------------------

    def _joined(self, inode: int, name: str = "") -> str:
        names = self._names.get(inode) or ["(gone)"]
        return f"{names[0]}/{name}".strip("/")

    def _path(self, inode: int, name: str = "") -> str:
        if not self._names.get(inode):
            for fd in self._files.get(inode, ()):
                return f"/proc/self/fd/{fd}"
            raise FileNotFoundError(errno.ENOENT, "gone")
        return str(self._backing / self._joined(inode, name))

    def _attributes(self, path: str, fd: int | None = None) -> pyfuse3.EntryAttributes:
        follow = path.startswith("/proc/self/fd/")
        found = os.fstat(fd) if fd is not None else os.stat(path, follow_symlinks=follow)
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = pyfuse3.ROOT_INODE if found.st_ino == self._root_inode else found.st_ino
        for name in "mode nlink uid gid rdev size atime_ns mtime_ns ctime_ns".split():
            setattr(entry, f"st_{name}", getattr(found, f"st_{name}"))
        entry.st_blksize, entry.st_blocks = 4096, found.st_blocks
        entry.attr_timeout = entry.entry_timeout = 0
        return entry

    def _found(self, parent: int, name: str) -> pyfuse3.EntryAttributes:
        relative = self._joined(parent, name)
        entry = self._attributes(str(self._backing / relative))
        known = self._names.setdefault(entry.st_ino, [])
        if relative not in known:
            known.append(relative)
        return entry

    def _lose(self, relative: str) -> None:
        for names in self._names.values():
            while relative in names:
                names.remove(relative)

    # --- requests ----------------------------------------------------------------------------

    async def lookup(self, parent: int, name: bytes, _ctx: Any) -> pyfuse3.EntryAttributes:
        text = os.fsdecode(name)
        return self._do("lookup", parent, text, lambda: self._found(parent, text))

    async def getattr(self, inode: int, _ctx: Any) -> pyfuse3.EntryAttributes:
        return self._do("getattr", inode, "", lambda: self._attributes(self._path(inode)))

    async def setattr(
        self, inode: int, attr: Any, fields: Any, fh: int | None, _ctx: Any
    ) -> pyfuse3.EntryAttributes:
        def work() -> pyfuse3.EntryAttributes:
            path = self._path(inode)
            if fields.update_size:
                os.truncate(path if fh is None else fh, attr.st_size)
            if fields.update_mode:
                os.chmod(path, attr.st_mode & 0o7777)
            if fields.update_uid or fields.update_gid:
                os.chown(
                    path,
                    attr.st_uid if fields.update_uid else -1,
                    attr.st_gid if fields.update_gid else -1,
                )
            if fields.update_atime or fields.update_mtime:
                now = os.stat(path)
                os.utime(
                    path,
                    ns=(
                        attr.st_atime_ns if fields.update_atime else now.st_atime_ns,
                        attr.st_mtime_ns if fields.update_mtime else now.st_mtime_ns,
                    ),
                )
            return self._attributes(path)

        if fields.update_mode:
            self._do("chmod", inode, "", lambda: None)
        return self._do("setattr", inode, "", work)

    async def readlink(self, inode: int, _ctx: Any) -> bytes:
        return self._do("readlink", inode, "", lambda: os.fsencode(os.readlink(self._path(inode))))

    async def opendir(self, inode: int, _ctx: Any) -> int:
        def work() -> int:
            # As long as it is open here no other directory gets its inode, and its locks.
            return os.open(self._path(inode), os.O_RDONLY | os.O_DIRECTORY)

        fd = self._do("opendir", inode, "", work)
        self._owners[fd] = inode
        return fd

    async def releasedir(self, fh: int) -> None:
        del self._owners[fh]
        os.close(fh)

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        inode = self._owners[fh]
        names = self._do("readdir", inode, "", lambda: sorted(os.listdir(self._path(inode))))
        for number, name in enumerate(names[start_id:], start_id + 1):
            try:
                entry = self._found(inode, name)
            except OSError:
                continue
            if not pyfuse3.readdir_reply(token, os.fsencode(name), entry, number):
                break

    async def unlink(self, parent: int, name: bytes, _ctx: Any) -> None:
        self._remove("unlink", parent, os.fsdecode(name), os.unlink)

    async def rmdir(self, parent: int, name: bytes, _ctx: Any) -> None:
        self._remove("rmdir", parent, os.fsdecode(name), os.rmdir)

    def _remove(self, what: str, parent: int, name: str, remove: Callable[[str], None]) -> None:
        relative = self._joined(parent, name)
        self._do(what, parent, name, lambda: remove(str(self._backing / relative)))
        self._lose(relative)

    async def mkdir(self, parent: int, name: bytes, mode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        def work() -> pyfuse3.EntryAttributes:
            os.mkdir(self._path(parent, text), mode & ~ctx.umask)
            return self._found(parent, text)

        text = os.fsdecode(name)
        return self._do("mkdir", parent, text, work)

    async def symlink(
        self, parent: int, name: bytes, target: bytes, _ctx: Any
    ) -> pyfuse3.EntryAttributes:
        def work() -> pyfuse3.EntryAttributes:
            os.symlink(os.fsdecode(target), self._path(parent, text))
            return self._found(parent, text)

        text = os.fsdecode(name)
        return self._do("symlink", parent, text, work)

    async def link(
        self, inode: int, parent: int, name: bytes, _ctx: Any
    ) -> pyfuse3.EntryAttributes:
        def work() -> pyfuse3.EntryAttributes:
            os.link(self._path(inode), self._path(parent, text))
            return self._found(parent, text)

        text = os.fsdecode(name)
        return self._do("link", parent, text, work)

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int, _ctx: Any
    ) -> None:
        source, target = os.fsdecode(name), os.fsdecode(new_name)
        if flags:
            raise pyfuse3.FUSEError(errno.EINVAL)
        before, after = self._joined(parent, source), self._joined(new_parent, target)
        self._do(
            "rename",
            parent,
            source,
            lambda: os.rename(self._backing / before, self._backing / after),
        )
        self._lose(after)
        for names in self._names.values():
            for number, each in enumerate(names):
                if each == before or each.startswith(f"{before}/"):
                    names[number] = after + each[len(before) :]

    async def open(self, inode: int, flags: int, _ctx: Any) -> pyfuse3.FileInfo:
        flags &= ~(os.O_CREAT | os.O_EXCL | os.O_DIRECT | os.O_NOFOLLOW)
        fd = self._do("open", inode, "", lambda: os.open(self._path(inode), flags))
        return self._opened(inode, fd)

    async def create(
        self, parent: int, name: bytes, mode: int, flags: int, ctx: Any
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        text = os.fsdecode(name)
        path = self._path(parent, text)
        flags = (flags | os.O_CREAT) & ~(os.O_DIRECT | os.O_NOFOLLOW)
        fd = self._do("create", parent, text, lambda: os.open(path, flags, mode & ~ctx.umask))
        entry = self._found(parent, text)
        return self._opened(entry.st_ino, fd), entry

    def _opened(self, inode: int, fd: int) -> pyfuse3.FileInfo:
        self._files.setdefault(inode, set()).add(fd)
        self._owners[fd] = inode
        # Nothing comes from the page cache of an earlier opening.
        return pyfuse3.FileInfo(fh=fd, keep_cache=False)

    async def read(self, fh: int, offset: int, size: int) -> bytes:
        return self._do("read", self._owners[fh], "", lambda: os.pread(fh, size, offset))

    async def write(self, fh: int, offset: int, data: bytes) -> int:
        return self._do("write", self._owners[fh], "", lambda: os.pwrite(fh, data, offset))

    async def fsync(self, fh: int, _datasync: bool) -> None:
        self._do("fsync", self._owners[fh], "", lambda: os.fsync(fh))

    async def fsyncdir(self, fh: int, _datasync: bool) -> None:
        self._do("fsyncdir", self._owners[fh], "", lambda: None)

    async def release(self, fh: int) -> None:
        self._files[self._owners.pop(fh)].discard(fh)
        os.close(fh)

    async def statfs(self, _ctx: Any) -> pyfuse3.StatvfsData:
        def work() -> pyfuse3.StatvfsData:
            found = os.statvfs(self._backing)
            data = pyfuse3.StatvfsData()
            for name in "bsize frsize blocks bfree bavail files ffree favail".split():
                setattr(data, f"f_{name}", getattr(found, f"f_{name}"))
            return data

        return self._do("statfs", pyfuse3.ROOT_INODE, "", work)


def _main(backing: str, mountpoint: str, rules: str) -> None:
    operations = _Operations(Path(backing), Path(rules))
    pyfuse3.init(operations, mountpoint, {"fsname=faultdisk", "default_permissions"})

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pyfuse3.main)
            sys.stdout.write("ready\n")
            sys.stdout.flush()

    try:
        trio.run(serve)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
