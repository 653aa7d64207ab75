"""The content of a staging area's files: opened, read, written, cut, and taken from the base.

A file shows content of a version until it is written for the first time; then that content is
copied into a plain file of the area. A plain file that a commit gave to the store is *sealed*,
and is copied in the same way before it is written again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition

import msgspec

from artfs.content.base import Content
from artfs.failpoints import reach
from artfs.model import block_count, block_range, storable_time_ns
from artfs.staging.nodes import BaseContent, FileNode, StagedDirectory, StagedNode, SymlinkNode
from artfs.staging.plain import ContentLost
from artfs.staging.staged_tree import StagedTree
from artfs.staging.writers import Writers
from artfs.system.files import pwrite_full

OpenContent = Callable[[BaseContent], Content]
"""The verified bytes of a version's file or reference; it may block and raise any ArtfsError."""

_STAT_BLOCK_BYTES = 512
_DIRECTORY_SIZE_BYTES = 4096
_WRITABLE = 0o200


class Status(msgspec.Struct, frozen=True, gc=False):
    """What stat(2) says of a node."""

    node_id: int
    mode: int
    link_count: int
    uid: int
    gid: int
    size_bytes: int
    block_count: int
    """Of 512 bytes."""
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    size_is_known: bool = True
    """A reference of the base may not say its size: then `size_bytes` is 0, and means nothing."""


class StagedFiles:
    """The files of a tree. Thread-safe."""

    def __init__(self, tree: StagedTree, open_content: OpenContent, writers: Writers) -> None:
        self._tree = tree
        self._plain = tree.plain
        self._open_content = open_content
        self._busy: set[int] = set()
        self._idle = Condition(tree.lock)
        self.writers = writers

    # --- attributes --------------------------------------------------------------------------

    def status(self, node: StagedNode) -> Status:
        """The attributes of a node. Raises: OSError."""
        mtime_ns, ctime_ns = node.mtime_ns, node.ctime_ns
        atime_ns = mtime_ns if node.atime_ns is None else node.atime_ns
        blocks, is_known = 0, True
        if isinstance(node, StagedDirectory):
            size_bytes = _DIRECTORY_SIZE_BYTES
        elif isinstance(node, SymlinkNode):
            size_bytes = len(node.target.encode())
        else:
            assert isinstance(node, FileNode)
            if node.content is None:
                found = self._plain_status(node)
                size_bytes, blocks = found.st_size, found.st_blocks
                atime_ns, mtime_ns = found.st_atime_ns, found.st_mtime_ns
                ctime_ns = max(ctime_ns, found.st_ctime_ns)
            else:
                is_known = node.content.size_bytes is not None
                size_bytes = node.content.size_bytes or 0
                blocks = stat_blocks(size_bytes)
        return Status(
            node.id,
            node.full_mode,
            node.link_count,
            node.uid,
            node.gid,
            size_bytes,
            blocks,
            atime_ns,
            mtime_ns,
            ctime_ns,
            is_known,
        )

    def set_times(self, node: StagedNode, *, atime_ns: int | None, mtime_ns: int | None) -> None:
        """Set times; None leaves one as it is. Raises: OSError, OutOfSpace."""
        with self._tree.lock:
            if isinstance(node, FileNode) and node.content is None:
                found = self._plain_status(node)
                times = (
                    found.st_atime_ns if atime_ns is None else atime_ns,
                    found.st_mtime_ns if mtime_ns is None else mtime_ns,
                )
                os.utime(self._plain_handle(node), ns=times)
            else:
                self._tree.change(
                    node,
                    atime_ns=None if atime_ns is None else storable_time_ns(atime_ns),
                    mtime_ns=None if mtime_ns is None else storable_time_ns(mtime_ns),
                )

    # --- opening -----------------------------------------------------------------------------

    def is_busy(self, node: FileNode) -> bool:
        """Whether opening it for writing, or cutting it, has to wait for a thread."""
        return node.id in self._busy

    def open(self, node: FileNode, *, write: bool) -> None:
        """Count one more open. Blocks: while `is_busy`, where it is for writing.

        Raises: OSError.
        """
        with self._tree.lock:
            if write:
                while node.id in self._busy:
                    self._idle.wait()
            if node.content is None and node.plain is None:
                self._open_plain(node)
            node.opens += 1
            if write:
                node.writers += 1
                self.writers.add(node)

    def close(self, node: FileNode, *, write: bool) -> None:
        """Count one open less; the last one lets a removed file go."""
        with self._tree.lock:
            node.opens -= 1
            if write:
                node.writers -= 1
                if node.writers == 0:
                    self.writers.discard(node)
            if node.opens == 0:
                node.plain = None
                self._tree.forget(node)

    @contextmanager
    def held(self, node: FileNode) -> Iterator[None]:
        """Keep a file's content for a while, though its last name be removed. Raises: OSError."""
        self.open(node, write=False)
        try:
            yield
        finally:
            self.close(node, write=False)

    # --- reading and writing -----------------------------------------------------------------

    def needs_copy(self, node: FileNode) -> bool:
        """Whether the file must be made private before it can be written."""
        return node.content is not None or node.sealed

    def read(self, node: FileNode, offset: int, length: int) -> bytes:
        """Bytes of an open file's plain file. Blocks: disk. Raises: OSError."""
        plain = node.plain
        assert plain is not None
        return os.pread(plain.fd, length, offset)

    def write(self, node: FileNode, offset: int, data: bytes | memoryview) -> int:
        """Write into an open, private file. Blocks: disk. Raises: OSError.

        How much was written: less than all where the disk is full in the middle.
        """
        plain = node.plain
        assert plain is not None
        node.generation += 1
        reach("staging.writing")
        written = os.pwrite(plain.fd, data, offset)
        node.most_bytes = max(node.most_bytes, offset + written)
        return written

    def truncate(self, node: FileNode, size_bytes: int) -> None:
        """Cut or extend a file. Blocks: disk, and while it is copied. Raises: OSError, ArtfsError.

        Cutting to nothing copies nothing, cutting to something only what stays.
        """
        while not self.try_truncate(node, size_bytes):
            if self.needs_copy(node):
                self.make_private(node, limit_bytes=size_bytes)
            else:
                with self._tree.lock:
                    while node.id in self._busy:
                        self._idle.wait()

    def try_truncate(self, node: FileNode, size_bytes: int) -> bool:
        """The same where nothing has to be copied or waited for; else False."""
        with self._tree.lock:
            # A commit that is taking the file in must not see it change.
            if node.id in self._busy:
                return False
            if node.content is None and node.plain is None:
                # Nobody looked since the area was opened, and a commit may have been killed before.
                node.sealed = is_sealed(self._plain_status(node))
            if self.needs_copy(node):
                if size_bytes:
                    return False
                self._replace_by_nothing(node)
            else:
                node.generation += 1
                os.truncate(self._plain_handle(node), size_bytes)
                node.most_bytes = max(node.most_bytes, size_bytes)
            return True

    def make_private(self, node: FileNode, *, limit_bytes: int | None = None) -> None:
        """Give a file a plain file that may be written, with the content that it shows.

        `limit_bytes`: more than that is not needed.
        Blocks: to fetch and write the content. Raises: OSError, ArtfsError.
        """
        if not self.needs_copy(node):
            return
        with self.exclusive(node):
            content = node.content
            if content is not None:
                self._copy_content(node, content, limit_bytes)
            elif node.sealed:
                self._copy_sealed(node)
            else:
                return
            with self._tree.lock:
                if content is not None:
                    self._tree.set_content(node, None)
                node.sealed = False
                node.generation += 1
                if node.opens:
                    self._open_plain(node)

    def writing(self) -> list[str]:
        """The paths of files that are open for writing; those without a name do not count."""
        with self._tree.lock:
            return sorted(node.path() for node in self.writers if node.link_count)

    def unfinished(self) -> list[str]:
        """The paths of files that were open for writing when an earlier mount ended."""
        with self._tree.lock:
            return sorted(node.path() for node in self.writers.unfinished())

    def accept_unfinished(self) -> None:
        """Take these files for what they are to be."""
        with self._tree.lock:
            self.writers.accept_unfinished()

    # --- commits -----------------------------------------------------------------------------

    @contextmanager
    def exclusive(self, node: FileNode) -> Iterator[None]:
        """Be the only one to replace, or to take away, a file's plain file. Blocks."""
        with self._tree.lock:
            while node.id in self._busy:
                self._idle.wait()
            self._busy.add(node.id)
        try:
            yield
        finally:
            with self._tree.lock:
                self._busy.discard(node.id)
                self._idle.notify_all()

    def check_sealed(self, node: FileNode) -> None:
        """Find out whether the store shares the plain file now. Raises: OSError."""
        with self._tree.lock:
            node.sealed = is_sealed(self._plain_status(node))

    # --- parts -------------------------------------------------------------------------------

    def _plain_handle(self, node: FileNode) -> int | str:
        return self._plain.path(node.id) if node.plain is None else node.plain.fd

    def _plain_status(self, node: FileNode) -> os.stat_result:
        plain = node.plain
        if plain is not None:
            return os.fstat(plain.fd)
        try:
            return self._plain.stat(node.id)
        except ContentLost as error:
            raise _if_named(node, error) from None

    def _open_plain(self, node: FileNode) -> None:
        try:
            node.plain = self._plain.open(node.id)
        except ContentLost as error:
            raise _if_named(node, error) from None
        found = os.fstat(node.plain.fd)
        node.sealed = is_sealed(found)
        node.most_bytes = found.st_size

    def _copy_content(self, node: FileNode, entry: BaseContent, limit_bytes: int | None) -> None:
        content = self._open_content(entry)
        size_bytes = content.size_bytes
        if limit_bytes is not None:
            size_bytes = min(size_bytes, limit_bytes)
        scratch = self._plain.scratch(node.id)
        try:
            fd = self._plain.open_scratch(scratch)
            try:
                for index in range(block_count(size_bytes)):
                    span = block_range(index, size_bytes)
                    block = memoryview(content.load_block(index))
                    pwrite_full(fd, block[: span.length], span.start)
            finally:
                os.close(fd)
            reach("staging.copied")
            self._tree.expect_plain(node)
            self._plain.install(node.id, scratch, mtime_ns=node.mtime_ns)
        except BaseException:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise

    def _copy_sealed(self, node: FileNode) -> None:
        scratch = self._plain.scratch(node.id)
        found = self._plain_status(node)
        try:
            self._plain.copy(node.id, scratch)
            self._plain.install(node.id, scratch, mtime_ns=found.st_mtime_ns)
        except BaseException:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise

    def _replace_by_nothing(self, node: FileNode) -> None:
        # Never cut the old file itself: the store may share it.
        self._plain.remove(node.id)
        opened = self._plain.create(node.id)
        self._tree.set_content(node, None)
        node.sealed = False
        node.generation += 1
        if node.opens:
            node.plain = opened


def _if_named(node: FileNode, error: ContentLost) -> OSError:
    """What is wrong where a file has no content: it was removed a moment ago, or it is lost."""
    return error if node.link_count else FileNotFoundError(errno.ENOENT, "removed", error.filename)


def stat_blocks(size_bytes: int) -> int:
    """How many blocks stat(2) says that content has."""
    return -(-size_bytes // _STAT_BLOCK_BYTES)


def is_sealed(found: os.stat_result) -> bool:
    """Whether the store shares a plain file of this status."""
    # The store keeps a second name of what it shares, and takes away the right to write.
    return found.st_nlink > 1 or not found.st_mode & _WRITABLE
