"""A staging area behind path calls like those of `os`, so that it can be compared with a disk.

It does what the kernel does on the way to a file system: it walks paths.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from artfs.content.base import read_blocks
from artfs.manifest.entries import FileEntry, SymlinkEntry
from artfs.manifest.tree import walk
from artfs.repository.facade import Repository
from artfs.repository.stores import create_store, open_store
from artfs.staging.area import Area
from artfs.staging.meta import AreaMeta
from artfs.staging.nodes import FileNode, StagedDirectory, StagedNode, SymlinkNode


def new_store(root: Path) -> Repository:
    create_store(root, entity="team")
    return open_store(str(root))


def new_area(repository: Repository, *, base: str | None = None, name: str = "data") -> Area:
    version = None if base is None else repository.resolve(f"p/{name}:{base}")
    meta = AreaMeta(
        id="",
        store=repository.info.location,
        project="p",
        name=name,
        type="dataset",
        base_id=None if version is None else version.id,
        base_version=None if version is None else version.version,
        base_tree=None if version is None else version.tree,
        created_at_ns=1_700_000_000_000_000_000,
        uid=os.getuid(),
        gid=os.getgid(),
    )
    return Area.create(repository, meta)


class AreaFs:
    """Paths are relative to the root; symlinks are taken to lead nowhere."""

    def __init__(self, area: Area) -> None:
        self.area = area
        self.tree = area.tree
        self.contents = area.contents

    # --- changes -----------------------------------------------------------------------------

    def mkdir(self, path: str) -> None:
        parent, name = self._parent(path)
        self.tree.make_directory(parent, name, mode=0o755, uid=os.getuid(), gid=os.getgid())

    def rmdir(self, path: str) -> None:
        self.tree.remove_directory(*self._parent(path))

    def unlink(self, path: str) -> None:
        self.tree.unlink(*self._parent(path))

    def symlink(self, target: str, path: str) -> None:
        parent, name = self._parent(path)
        self.tree.make_symlink(parent, name, target, uid=os.getuid(), gid=os.getgid())

    def link(self, old: str, new: str) -> None:
        node = self._node(old)
        self.tree.link(node, *self._parent(new))

    def rename(self, old: str, new: str) -> None:
        self.tree.rename(*self._parent(old), *self._parent(new))

    def exchange(self, old: str, new: str) -> None:
        self.tree.exchange(*self._parent(old), *self._parent(new))

    def chmod(self, path: str, mode: int) -> None:
        self.tree.change(self._node(path), mode=mode)

    def utime(self, path: str, mtime_ns: int) -> None:
        self.contents.set_times(self._node(path), atime_ns=mtime_ns, mtime_ns=mtime_ns)

    def truncate(self, path: str, size_bytes: int) -> None:
        self.contents.truncate(self._file(path), size_bytes)

    def create(self, path: str, data: bytes) -> None:
        """As open with O_CREAT | O_EXCL, write and close."""
        parent, name = self._parent(path)
        uid, gid = os.getuid(), os.getgid()
        writers = self.contents.writers
        node = self.tree.create(parent, name, mode=0o644, uid=uid, gid=gid, writers=writers)
        self.contents.write(node, 0, data)
        self.contents.close(node, write=True)

    def write(self, path: str, offset: int, data: bytes) -> None:
        node = self._file(path)
        self.contents.open(node, write=True)
        try:
            self.contents.make_private(node)
            self.contents.write(node, offset, data)
        finally:
            self.contents.close(node, write=True)

    def put(self, path: str, data: bytes) -> None:
        """Make or replace a file, with the directories above it."""
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if self.tree.resolve(above) is None:
                self.mkdir(above)
        if self.tree.resolve(path) is None:
            self.create(path, data)
        else:
            self.truncate(path, 0)
            self.write(path, 0, data)

    # --- looking -----------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        node = self._file(path)
        if node.content is not None:
            content = self.area.repository.content(node.content)
            return b"".join(
                content.load_block(index) for index in range(-(-content.size_bytes // 2**22))
            )
        self.contents.open(node, write=False)
        try:
            return self.contents.read(node, 0, 2**30)
        finally:
            self.contents.close(node, write=False)

    def names(self, path: str) -> list[str]:
        node = self._node(path)
        if not isinstance(node, StagedDirectory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return sorted(name for _, name, _ in self.tree.listing(node).entries(0))

    def dump(self) -> dict[str, tuple[object, ...]]:
        """Everything there is, by path."""
        found: dict[str, tuple[object, ...]] = {}
        self._dump("", found)
        return found

    def _dump(self, path: str, found: dict[str, tuple[object, ...]]) -> None:
        for name in self.names(path):
            below = f"{path}/{name}" if path else name
            node = self._node(below)
            mode = stat.S_IMODE(node.full_mode)
            if isinstance(node, StagedDirectory):
                found[below] = ("directory", mode)
                self._dump(below, found)
            elif isinstance(node, SymlinkNode):
                found[below] = ("symlink", node.target)
            else:
                status = self.contents.status(node)
                data = self.read(below)
                assert len(data) == status.size_bytes
                found[below] = ("file", mode, status.link_count, data)

    def _node(self, path: str) -> StagedNode:
        node: StagedNode = self.tree.root
        for part in filter(None, path.split("/")):
            _check_directory(node, path)
            assert isinstance(node, StagedDirectory)
            child = self.tree.child(node, part)
            if child is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = child
        return node

    def _parent(self, path: str) -> tuple[StagedDirectory, str]:
        above, _, name = path.rpartition("/")
        node = self._node(above)
        _check_directory(node, path)
        assert isinstance(node, StagedDirectory)
        return node, name

    def _file(self, path: str) -> FileNode:
        node = self._node(path)
        if isinstance(node, StagedDirectory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not isinstance(node, FileNode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node


def _check_directory(node: StagedNode, path: str) -> None:
    if isinstance(node, SymlinkNode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if not isinstance(node, StagedDirectory):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


def dump_directory(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a real directory, as `AreaFs.dump` tells it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        below = str(path.relative_to(root))
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if path.is_symlink():
            found[below] = ("symlink", str(path.readlink()))
        elif path.is_dir():
            found[below] = ("directory", mode)
        else:
            found[below] = ("file", mode, status.st_nlink, path.read_bytes())
    return found


def dump_version(repository: Repository, selector: str) -> dict[str, bytes | str | None]:
    """A version: the bytes of files, `-> target` of symlinks, None of directories, by path."""
    version = repository.resolve(selector)
    found: dict[str, bytes | str | None] = {}
    for path, entry in walk(repository.directory, version.tree):
        if isinstance(entry, FileEntry):
            found[path] = b"".join(read_blocks(repository.content(entry)))
        elif isinstance(entry, SymlinkEntry):
            found[path] = f"-> {entry.target}"
        else:
            found[path] = None
    return found
