"""The requests of a read-only mount: a thin adapter from pyfuse3 to a tree that never changes.

flush, fsync and fsyncdir stay undefined: the kernel hears ENOSYS once, takes it for success, and
then saves a request with every close().
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import cast

import pyfuse3

from artfs.errors import ArtfsError
from artfs.fuse.base import DOTS, MountOperations, text_of
from artfs.fuse.inodes import Inodes, Place
from artfs.fuse.replies import Ownership, fill_entry, new_entry, timeout_of
from artfs.model import MAX_ENTRY_NAME_BYTES
from artfs.mounts.messages import Counters
from artfs.vfs.lineage import Lineage
from artfs.vfs.tree import (
    Attributes,
    DirectoryNode,
    ListedName,
    Listing,
    MeasurableNode,
    Node,
    OpenFile,
    Tree,
)

XATTR_PREFIX = b"user.artfs."
_MAX_XATTR_BYTES = 65536
_STATFS_BLOCK_BYTES = 4096

MUTATIONS = (
    "setattr",
    "mknod",
    "mkdir",
    "unlink",
    "rmdir",
    "symlink",
    "rename",
    "link",
    "create",
    "write",
    "setxattr",
    "removexattr",
)
"""All of them are refused (promise R7). The kernel refuses most of them itself, for the mount is
`ro`; this is for what gets past it."""


class OpenDirectory:
    """A directory that is being listed: its names as of the last rewind."""

    __slots__ = ("_chunk", "_listing", "_start", "directory", "number")

    def __init__(self, number: int, directory: DirectoryNode) -> None:
        self.number = number
        self.directory = directory
        self._listing: Listing | None = None
        self._chunk: list[ListedName] = []
        self._start = 0

    async def rewind(self) -> None:
        """Take the names as they are now."""
        self._listing = await self.directory.listing()
        self._chunk, self._start = [], 0

    async def ttl_s(self) -> float:
        """For how long the names hold, from now."""
        return (await self._names()).ttl_s()

    async def names(self, start: int) -> list[ListedName]:
        """Some names from place `start` on; empty at the end."""
        offset = start - self._start
        if not 0 <= offset < len(self._chunk):
            # One request takes fewer names than a chunk has: the rest waits for the next one.
            self._chunk = await (await self._names()).chunk(start)
            self._start, offset = start, 0
        return self._chunk[offset:] if offset else self._chunk

    async def _names(self) -> Listing:
        if self._listing is None:
            await self.rewind()
        assert self._listing is not None
        return self._listing


class ReadOperations(
    MountOperations[OpenFile, OpenDirectory], refused=dict.fromkeys(MUTATIONS, errno.EROFS)
):
    """The handlers of a mount that cannot be changed."""

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
        super().__init__(ownership=ownership, counters=counters, on_ready=on_ready)
        self.tree = tree
        self.inodes = Inodes(tree.root)
        self._lineage = lineage

    async def node(self, inode: int) -> Node:
        """What has an inode number."""
        found = self.inodes.get(inode)
        return await found.directory.child(found.position) if isinstance(found, Place) else found

    def directory(self, inode: int) -> DirectoryNode:
        """The directory that has an inode number."""
        found = self.inodes.get(inode)
        if isinstance(found, Place) or not found.attributes.is_directory:
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
        answer = await directory.lookup(text_of(name, undecodable=errno.ENOENT))
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

    def forget_lookups(self, inode: int, lookups: int) -> None:
        """See MountOperations."""
        self.inodes.forget(inode, lookups)

    async def getattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """What stat says."""
        node = await self.node(inode)
        attributes = node.attributes
        if not attributes.size_is_known:
            attributes = await cast(MeasurableNode, node).measured()
        return self.entry(inode, attributes)

    async def readlink(self, inode: int, _ctx: pyfuse3.RequestContext) -> bytes:
        """Where a symlink points."""
        return (await self.node(inode)).readlink().encode(errors="surrogatepass")

    async def access(self, _inode: int, _mode: int, _ctx: pyfuse3.RequestContext) -> bool:
        """The kernel checks permissions itself, by the modes."""
        return True

    async def space(self) -> os.statvfs_result:
        """How much there is: none of it in use, for nothing of it can run out.

        Who watches disks acts on the share that is in use.
        """
        space = await self.tree.space()
        block, blocks = _STATFS_BLOCK_BYTES, -(-space.size_bytes // _STATFS_BLOCK_BYTES)
        of_blocks, of_files = (blocks,) * 3, (space.files,) * 3
        return os.statvfs_result((block, block, *of_blocks, *of_files, 0, MAX_ENTRY_NAME_BYTES))

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

    def directory_to_list(self, inode: int) -> OpenDirectory:
        """See MountOperations."""
        return OpenDirectory(inode, self.directory(inode))

    async def read_names(self, opened: OpenDirectory, *, again: bool) -> None:
        """See MountOperations."""
        if again:
            await opened.rewind()

    def fill_dot(self, opened: OpenDirectory, place: int) -> None:
        """See MountOperations."""
        number = opened.number if place == 1 else opened.directory.parent_number
        fill_entry(self.listed, number, opened.directory.attributes, self.ownership.umask)

    async def reply_names(
        self, opened: OpenDirectory, start: int, token: pyfuse3.ReaddirToken
    ) -> None:
        """See MountOperations."""
        timeout_s = timeout_of(await opened.ttl_s())
        first = start
        while found := await self._names_for(opened, start, first):
            if not self._reply_chunk(opened, found, start, timeout_s, token):
                return
            start += len(found)

    @staticmethod
    async def _names_for(opened: OpenDirectory, start: int, first: int) -> list[ListedName]:
        """Names for a reply that begins at place `first`; none for one that has to end here."""
        try:
            return await opened.names(start)
        except ArtfsError:
            if start == first:
                raise
            # The kernel gets names or an error. The names that the reply holds are counted as
            # known to it: they go out, and the next request, for what follows, gets the error.
            return []

    def _reply_chunk(
        self,
        opened: OpenDirectory,
        names: Sequence[ListedName],
        start: int,
        timeout_s: float,
        token: pyfuse3.ReaddirToken,
    ) -> bool:
        """Reply names from place `start` on; False once the reply is full."""
        # A million times for a million files: what is looked up here counts.
        reply, entry, directory = pyfuse3.readdir_reply, self.listed, opened.directory
        number_for, add, umask = self.inodes.number_for, self.inodes.add, self.ownership.umask
        entry.entry_timeout = timeout_s
        for next_id, found in enumerate(names, start + DOTS + 1):
            attributes = found.attributes
            number = number_for(directory, found)
            fill_entry(entry, number, attributes, umask)
            if not reply(token, found.name.encode(), entry, next_id):
                return False
            add(number, directory, found)
        return True

    # --- files -----------------------------------------------------------------------------

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
        # The pages of a file that never changes are kept from one open to the next. Where the
        # kernel does not know the end, it must ask for every byte.
        known = opened.size_is_known
        return self.opened(opened, keep_cache=known, direct_io=not known)
