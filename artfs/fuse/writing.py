"""All requests of a mount that can be changed: a thin adapter from pyfuse3 to a staging area.

The kernel is the only one who changes the area, and checks permissions by the modes that it is
told. So it may keep every answer for ever: whatever it changes it invalidates by itself.

Extended attributes, locks and flush stay undefined. The kernel hears ENOSYS once; then it refuses
the first ones itself, which saves a request with every write(2), keeps locks on its own, and
saves a request with every close(2).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress

import pyfuse3

from artfs.errors import ArtfsError, Unsupported
from artfs.fuse.base import DOTS, MountOperations, text_of
from artfs.fuse.replies import FOREVER_TIMEOUT_S, Ownership, new_entry
from artfs.mounts.messages import Counters
from artfs.staging.nodes import FileNode, StagedDirectory, StagedNode, SymlinkNode
from artfs.staging.staged_files import Status
from artfs.staging.view import StagedListing
from artfs.vfs.staging_tree import OpenStaged, StagedFiles

_DROPS_WRITTEN_PAGES_FROM = (6, 18)
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_SET_ID = stat.S_ISUID | stat.S_ISGID


class _OpenDirectory:
    __slots__ = ("directory", "listing")

    def __init__(self, directory: StagedDirectory) -> None:
        self.directory = directory
        self.listing: StagedListing | None = None


class WriteOperations(MountOperations[OpenStaged, _OpenDirectory]):
    """The handlers of a staging mount."""

    def __init__(
        self,
        staged: StagedFiles,
        *,
        ownership: Ownership,
        counters: Counters,
        on_ready: Callable[[], None],
    ) -> None:
        """`on_ready` is called once the kernel talks to us."""
        super().__init__(ownership=ownership, counters=counters, on_ready=on_ready)
        self.staged = staged
        self.tree = staged.tree
        # Inodes of which the kernel was told that their size is not known.
        self._unmeasured: set[int] = set()
        self._writes_past_cache = drops_written_pages(os.uname().release)

    def planned_errno(self, error: Exception) -> int | None:
        """See GuardedOperations: what a disk would answer, a staging area answers, too."""
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        return super().planned_errno(error)

    # --- nodes -------------------------------------------------------------------------------

    def _directory(self, inode: int) -> StagedDirectory:
        node = self.tree.nodes[inode]
        if not isinstance(node, StagedDirectory):
            raise pyfuse3.FUSEError(errno.ENOTDIR)
        return node

    def _file(self, inode: int) -> FileNode:
        node = self.tree.nodes[inode]
        if not isinstance(node, FileNode):
            raise pyfuse3.FUSEError(errno.EINVAL)
        return node

    def _entry(self, node: StagedNode) -> pyfuse3.EntryAttributes:
        """Attributes of a node, as a reply."""
        entry = new_entry(self.ownership)
        self._fill(entry, node)
        return entry

    def _known(self, node: StagedNode) -> pyfuse3.EntryAttributes:
        """The same, for a reply with which the kernel refers to the node once more."""
        entry = self._entry(node)
        node.lookups += 1
        return entry

    def _fill(self, entry: pyfuse3.EntryAttributes, node: StagedNode) -> None:
        status = self.staged.status(node)
        _fill(entry, status)
        if status.size_is_known:
            if self._unmeasured:
                self._unmeasured.discard(status.node_id)
            entry.attr_timeout = entry.entry_timeout = FOREVER_TIMEOUT_S
        else:
            # Asked again by name before it is used: a listing shall not ask servers for sizes.
            self._unmeasured.add(status.node_id)
            entry.attr_timeout = entry.entry_timeout = 0

    async def _measure(self, node: StagedNode) -> None:
        """Know a node's size if its source tells it; what is wrong is told to who opens it."""
        node.lookups += 1
        try:
            with suppress(ArtfsError):
                await self.staged.measure(node)
        finally:
            node.lookups -= 1

    # --- names and attributes ----------------------------------------------------------------

    async def lookup(
        self, parent_inode: int, name: bytes, _ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """What a name is; that it is nothing is an answer too, which the kernel keeps."""
        self.counters.lookups += 1
        directory = self._directory(parent_inode)
        text = text_of(name, undecodable=errno.ENOENT)
        if text not in directory.children:
            await self.staged.load(directory)
        node = self.tree.child(directory, text)
        if node is None:
            entry = new_entry(self.ownership)
            entry.st_ino = 0
            return entry
        if self.staged.is_unmeasured(node):
            await self._measure(node)
        return self._known(node)

    def forget_lookups(self, inode: int, lookups: int) -> None:
        """See MountOperations."""
        node = self.tree.nodes.get(inode)
        if node is not None:
            node.lookups -= lookups
            self.tree.forget(node)
            if inode not in self.tree.nodes:
                self._unmeasured.discard(inode)

    async def getattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """What stat says."""
        node = self.tree.nodes[inode]
        # What cannot be read at all is still listed, and tells why when it is read.
        if self.staged.is_unmeasured(node):
            with suppress(Unsupported):
                await self.staged.measure(node)
        return self._entry(node)

    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        _fh: int | None,
        _ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change size, mode, owner and times; whether one may is the kernel's business."""
        node = self.tree.nodes[inode]
        if fields.update_size:
            await self.staged.truncate(self._file(inode), attr.st_size)
        await self.staged.change()
        if fields.update_mode or fields.update_uid or fields.update_gid:
            self.tree.change(
                node,
                mode=attr.st_mode if fields.update_mode else None,
                uid=attr.st_uid if fields.update_uid else None,
                gid=attr.st_gid if fields.update_gid else None,
            )
        if fields.update_atime or fields.update_mtime:
            self.staged.contents.set_times(
                node,
                atime_ns=attr.st_atime_ns if fields.update_atime else None,
                mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
            )
        return self._entry(node)

    async def access(self, inode: int, mode: int, _ctx: pyfuse3.RequestContext) -> bool:
        """Whether it may be used so.

        The kernel asks only where it does not check by itself: of root, who may do everything but
        execute what nobody can.
        """
        node = self.tree.nodes[inode]
        return not (mode & os.X_OK and isinstance(node, FileNode) and not node.mode & _EXECUTABLE)

    async def readlink(self, inode: int, _ctx: pyfuse3.RequestContext) -> bytes:
        """Where a symlink points."""
        node = self.tree.nodes[inode]
        if not isinstance(node, SymlinkNode):
            raise pyfuse3.FUSEError(errno.EINVAL)
        return node.target.encode()

    async def space(self) -> os.statvfs_result:
        """See MountOperations: that of the area's disk."""
        return self.staged.area.plain.space()

    # --- making and removing names -----------------------------------------------------------

    async def create(
        self,
        parent_inode: int,
        name: bytes,
        mode: int,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make a file and open it."""
        node = await self._created(parent_inode, name, mode, ctx)
        opened = self.staged.created(node)
        return self._reply_open(opened, flags), self._known(node)

    async def _created(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> FileNode:
        parent, text = self._directory(parent_inode), _text(name)
        await self.staged.change(parent)
        return self.tree.create(
            parent,
            text,
            mode=mode,
            uid=ctx.uid,
            gid=ctx.gid,
            writers=self.staged.contents.writers,
        )

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, _rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a regular file; devices, fifos and sockets cannot be in a version."""
        if not stat.S_ISREG(mode):
            raise pyfuse3.FUSEError(errno.EPERM)
        node = await self._created(parent_inode, name, mode, ctx)
        entry = self._known(node)
        self.staged.close(self.staged.created(node))
        return entry

    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        parent, text = self._directory(parent_inode), _text(name)
        await self.staged.change(parent)
        node = self.tree.make_directory(parent, text, mode=mode, uid=ctx.uid, gid=ctx.gid)
        return self._known(node)

    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a symbolic link."""
        parent, text, target_text = self._directory(parent_inode), _text(name), _target(target)
        await self.staged.change(parent)
        node = self.tree.make_symlink(parent, text, target_text, uid=ctx.uid, gid=ctx.gid)
        return self._known(node)

    async def link(
        self,
        inode: int,
        new_parent_inode: int,
        new_name: bytes,
        _ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Give a file one more name."""
        node = self.tree.nodes[inode]
        parent, text = self._directory(new_parent_inode), _text(new_name)
        await self.staged.change(parent)
        self.tree.link(node, parent, text)
        return self._known(node)

    async def unlink(self, parent_inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        """Remove a name."""
        parent, text = self._directory(parent_inode), _text(name)
        await self.staged.change(parent)
        self.tree.unlink(parent, text)

    async def rmdir(self, parent_inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        """Remove an empty directory."""
        parent, text = self._directory(parent_inode), _text(name)
        await self.staged.load(parent)
        node = self.tree.child(parent, text)
        await self.staged.change(parent, *((node,) if isinstance(node, StagedDirectory) else ()))
        self.tree.remove_directory(parent, text)

    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        _ctx: pyfuse3.RequestContext,
    ) -> None:
        """Give a node another name, or let two exchange theirs."""
        if flags & ~(pyfuse3.RENAME_EXCHANGE | pyfuse3.RENAME_NOREPLACE):
            raise pyfuse3.FUSEError(errno.EINVAL)
        old, new = self._directory(parent_inode_old), self._directory(parent_inode_new)
        text_old, text_new = _text(name_old), _text(name_new)
        await self.staged.load(new)
        target = self.tree.child(new, text_new)
        await self.staged.change(
            old, new, *((target,) if isinstance(target, StagedDirectory) else ())
        )
        if flags & pyfuse3.RENAME_EXCHANGE:
            self.tree.exchange(old, text_old, new, text_new)
        else:
            replace = not flags & pyfuse3.RENAME_NOREPLACE
            self.tree.rename(old, text_old, new, text_new, replace=replace)

    # --- directories -------------------------------------------------------------------------

    def directory_to_list(self, inode: int) -> _OpenDirectory:
        """See MountOperations."""
        return _OpenDirectory(self._directory(inode))

    async def read_names(self, opened: _OpenDirectory, *, again: bool) -> None:
        """See MountOperations."""
        await self.staged.load(opened.directory)
        if opened.listing is None or again:
            opened.listing = self.tree.listing(opened.directory)

    def fill_dot(self, opened: _OpenDirectory, place: int) -> None:
        """See MountOperations."""
        dot = opened.directory if place == 1 else opened.directory.parent
        self._fill(self.listed, dot or opened.directory)

    async def reply_names(
        self, opened: _OpenDirectory, start: int, token: pyfuse3.ReaddirToken
    ) -> None:
        """See MountOperations."""
        assert opened.listing is not None
        entry, reply = self.listed, pyfuse3.readdir_reply
        for place, name, node in opened.listing.entries(start):
            self._fill(entry, node)
            if not reply(token, name.encode(), entry, place + DOTS):
                self.tree.forget(node)
                return
            node.lookups += 1

    async def fsyncdir(self, _fh: int, _datasync: bool) -> None:
        """Make names survive the host."""
        await self.staged.sync()

    # --- files -------------------------------------------------------------------------------

    async def open(self, inode: int, flags: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file; fetches and copies nothing."""
        write = flags & os.O_ACCMODE != os.O_RDONLY
        truncate = bool(flags & os.O_TRUNC)
        node = self._file(inode)
        if inode in self._unmeasured and not truncate:
            # The kernel goes by the size that it was told, also when it appends: it must look the
            # name up again, which it does by itself.
            await self.staged.measure(node)
            raise pyfuse3.FUSEError(errno.ESTALE)
        opened = await self.staged.open(node, write=write, truncate=truncate)
        return self._reply_open(opened, flags)

    def _reply_open(self, opened: OpenStaged, flags: int) -> pyfuse3.FileInfo:
        is_written_only = flags & os.O_ACCMODE == os.O_WRONLY
        return self.opened(
            opened,
            # Only through the kernel can a file be changed: the pages that it has are right.
            keep_cache=True,
            # The kernel takes set-id bits away with a write through its cache only.
            direct_io=is_written_only
            and self._writes_past_cache
            and not opened.node.mode & _SET_ID,
        )

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Write bytes; in the area's plain file, and so safe from a killed process, on return."""
        return await self.staged.write(self.files.get(fh), off, buf)

    async def fsync(self, fh: int, _datasync: bool) -> None:
        """Make a file, with its name, survive the host."""
        await self.staged.sync(self.files.get(fh))

    def closed(self, opened: OpenStaged) -> None:
        """See MountOperations."""
        self.staged.close(opened)


def drops_written_pages(kernel_release: str) -> bool:
    """Whether the kernel drops cached pages of a file that another open writes past its cache.

    From 6.18 on it does so before and after each write; then whatever is opened for writing alone
    is spared a copy, and the mount no second copy of its pages (ADR 0007).
    """
    found = re.match(r"(\d+)\.(\d+)", kernel_release)
    return found is not None and tuple(map(int, found.groups())) >= _DROPS_WRITTEN_PAGES_FROM


def _fill(entry: pyfuse3.EntryAttributes, status: Status) -> None:
    entry.st_ino = status.node_id
    entry.st_mode = status.mode
    entry.st_nlink = status.link_count
    entry.st_uid = status.uid
    entry.st_gid = status.gid
    entry.st_size = status.size_bytes
    entry.st_blocks = status.block_count
    entry.st_atime_ns = status.atime_ns
    entry.st_mtime_ns = status.mtime_ns
    entry.st_ctime_ns = status.ctime_ns


def _text(name: bytes) -> str:
    """A name to be given. Raises: FUSEError for one that no version can have."""
    return text_of(name, undecodable=errno.EILSEQ)


def _target(raw: bytes) -> str:
    """Where a symlink is to point. Raises: FUSEError for what no version can hold."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise pyfuse3.FUSEError(errno.EILSEQ) from None
