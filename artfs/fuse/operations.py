"""The requests that only read: a thin adapter from pyfuse3 to a tree.

Bytes, inode numbers, handles and errno end here; names are `str` below. Mutating requests are a
class of their own (artfs/fuse/readonly.py), so that a writable tree brings another one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import cast

import pyfuse3

from artfs.fuse.attributes import Ownership, fill_entry, new_entry, timeout_of
from artfs.fuse.guard import GuardedOperations
from artfs.fuse.handles import Handles, OpenDirectory
from artfs.fuse.inodes import Inodes, Place
from artfs.fuse.readonly import RefusedMutations
from artfs.mounts.counters import Counters
from artfs.vfs.lineage import Lineage
from artfs.vfs.tree import (
    Attributes,
    DirectoryNode,
    Found,
    MeasurableNode,
    Node,
    OpenFile,
    Tree,
)

XATTR_PREFIX = b"user.artfs."
_MAX_XATTR_BYTES = 65536
_STATFS_BLOCK_BYTES = 4096
_MAX_NAME_BYTES = 255
# `.` and `..` come before the names of a listing.
_DOTS = 2


class ReadOperations(GuardedOperations):
    """The handlers that every mount has."""

    def __init__(
        self,
        tree: Tree,
        *,
        ownership: Ownership,
        counters: Counters,
        on_ready: Callable[[], None],
        lineage: Lineage | None = None,
    ) -> None:
        """`on_ready` is called once the kernel talks to us; `lineage` hears who opens what."""
        super().__init__(counters)
        self.tree = tree
        self.inodes = Inodes(tree.root)
        self.ownership = ownership
        self.files: Handles[OpenFile] = Handles()
        self.directories: Handles[OpenDirectory] = Handles()
        self._on_ready = on_ready
        self._lineage = lineage
        # Every reply is written before the next await, so that one object serves all listings.
        self._listed = new_entry(ownership)

    def init(self) -> None:
        """The kernel has accepted the mount."""
        self._on_ready()

    async def node(self, inode: int) -> Node:
        """What has an inode number."""
        found = self.inodes.get(inode)
        return await found.directory.child(found.position) if isinstance(found, Place) else found

    def directory(self, inode: int) -> DirectoryNode:
        """The directory that has an inode number."""
        found = self.inodes.get(inode)
        if isinstance(found, Place) or not hasattr(found, "lookup"):
            raise pyfuse3.FUSEError(errno.ENOTDIR)
        return cast(DirectoryNode, found)

    def entry(self, number: int, attributes: Attributes) -> pyfuse3.EntryAttributes:
        """Attributes of a node, as a reply."""
        entry = new_entry(self.ownership)
        fill_entry(entry, number, attributes, self.ownership.umask)
        return entry

    # --- names and attributes --------------------------------------------------------------

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """What a name is; that it is nothing is an answer too, which the kernel keeps."""
        self.counters.lookups += 1
        directory = self.directory(parent_inode)
        entry = new_entry(self.ownership)
        if len(name) > _MAX_NAME_BYTES:
            raise pyfuse3.FUSEError(errno.ENAMETOOLONG)
        try:
            text = name.decode()
        except UnicodeDecodeError:
            # No tree has such names; nobody asks twice.
            raise pyfuse3.FUSEError(errno.ENOENT) from None
        answer = await directory.lookup(text)
        entry.entry_timeout = timeout_of(answer.ttl_s)
        found = answer.found
        if found is None:
            entry.st_ino = 0
            return entry
        number = self.inodes.number_for(directory, found)
        fill_entry(entry, number, found.attributes, self.ownership.umask)
        self.inodes.add(number, directory, found)
        if self._lineage is not None:
            self._lineage.looks(ctx.pid, directory)
        return entry

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """The kernel no longer knows these."""
        for inode, lookups in inode_list:
            self.inodes.forget(inode, lookups)

    async def getattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """What stat says."""
        node = await self.node(inode)
        attributes = node.attributes
        if not attributes.size_is_known and isinstance(node, MeasurableNode):
            attributes = await node.measured()
        return self.entry(inode, attributes)

    async def readlink(self, inode: int, _ctx: pyfuse3.RequestContext) -> bytes:
        """Where a symlink points."""
        return (await self.node(inode)).readlink().encode(errors="surrogatepass")

    async def access(self, _inode: int, _mode: int, _ctx: pyfuse3.RequestContext) -> bool:
        """The kernel checks permissions itself, by the modes."""
        return True

    async def statfs(self, _ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """How much there is: none of it in use, for nothing of it can run out.

        Who watches disks acts on the share that is in use.
        """
        space = await self.tree.space()
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _STATFS_BLOCK_BYTES
        blocks = -(-space.size_bytes // _STATFS_BLOCK_BYTES)
        data.f_blocks = data.f_bfree = data.f_bavail = blocks
        data.f_files = data.f_ffree = data.f_favail = space.files
        data.f_namemax = _MAX_NAME_BYTES
        return data

    # --- extended attributes ---------------------------------------------------------------

    async def getxattr(self, inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> bytes:
        """What artfs knows of a node, as `user.artfs.*`."""
        if not name.startswith(b"user."):
            # `ls -l` asks for ACLs and labels: with this answer once per mount, not per file.
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
        value = None
        if name.startswith(XATTR_PREFIX):
            key = name.removeprefix(XATTR_PREFIX).decode(errors="replace")
            value = (await self.node(inode)).xattrs().get(key)
        if value is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        if len(value) > _MAX_XATTR_BYTES:
            raise pyfuse3.FUSEError(errno.E2BIG)
        return value

    async def listxattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        """The names of what getxattr tells."""
        return [XATTR_PREFIX + name.encode() for name in (await self.node(inode)).xattrs()]

    # --- directories -----------------------------------------------------------------------

    async def opendir(self, inode: int, _ctx: pyfuse3.RequestContext) -> int:
        """Open a directory; its names are asked for with the first listing."""
        return self.directories.add(OpenDirectory(inode, self.directory(inode)))

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List names with attributes, as many as the reply takes."""
        self.counters.listings += 1
        opened = self.directories.get(fh)
        if start_id == 0:
            await opened.rewind()
        if start_id < _DOTS and not self._reply_dots(opened, start_id, token):
            return
        start = max(start_id - _DOTS, 0)
        timeout_s = timeout_of(await opened.ttl_s())
        while (found := await opened.names(start)) and self._reply_names(
            opened, found, start, timeout_s, token
        ):
            start += len(found)

    def _reply_names(
        self,
        opened: OpenDirectory,
        names: Sequence[Found],
        start: int,
        timeout_s: float,
        token: pyfuse3.ReaddirToken,
    ) -> bool:
        """Reply names from place `start` on; False once the reply is full."""
        # A million times for a million files: what is looked up here counts.
        reply, entry, directory = pyfuse3.readdir_reply, self._listed, opened.directory
        number_for, add, umask = self.inodes.number_for, self.inodes.add, self.ownership.umask
        entry.entry_timeout = timeout_s
        for next_id, found in enumerate(names, start + _DOTS + 1):
            attributes = found.attributes
            number = number_for(directory, found)
            fill_entry(entry, number, attributes, umask)
            if not reply(token, found.name.encode(), entry, next_id):
                return False
            add(number, directory, found)
        return True

    def _reply_dots(
        self, opened: OpenDirectory, start_id: int, token: pyfuse3.ReaddirToken
    ) -> bool:
        numbers = (opened.number, opened.directory.parent_number)
        for next_id in range(start_id + 1, _DOTS + 1):
            # The kernel counts no lookup for these two.
            attributes = opened.directory.attributes
            fill_entry(self._listed, numbers[next_id - 1], attributes, self.ownership.umask)
            if not pyfuse3.readdir_reply(token, b"." * next_id, self._listed, next_id):
                return False
        return True

    async def releasedir(self, fh: int) -> None:
        """A directory was closed."""
        self.directories.remove(fh)

    # --- files -----------------------------------------------------------------------------
    # flush, fsync and fsyncdir stay undefined: the kernel hears ENOSYS once, takes it for success,
    # and then saves a request with every close().

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file for reading; fetches nothing (promise R3)."""
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise pyfuse3.FUSEError(errno.EROFS)
        place = self.inodes.get(inode)
        if not isinstance(place, Place):
            raise pyfuse3.FUSEError(errno.EISDIR)
        opened = (await place.directory.child(place.position)).open()
        if self._lineage is not None:
            await self._lineage.opened(ctx.pid, place.directory)
        self.counters.opens += 1
        self.counters.open_files += 1
        # The pages of a file that never changes are kept from one open to the next. Where the
        # kernel does not know the end, it must ask for every byte.
        known = opened.size_is_known
        return pyfuse3.FileInfo(fh=self.files.add(opened), keep_cache=known, direct_io=not known)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Bytes of a file."""
        data = await self.files.get(fh).read(off, size)
        self.counters.reads += 1
        self.counters.bytes_served += len(data)
        # pyfuse3 replies from any buffer, whatever its annotations say.
        return cast(bytes, data)

    async def release(self, fh: int) -> None:
        """A file was closed."""
        self.files.remove(fh)
        self.counters.open_files -= 1


class ReadOnlyOperations(ReadOperations, RefusedMutations):
    """All handlers of a mount that cannot be changed."""
