"""What all mounts share: handles, counters, and the requests that are alike.

A mount is a thin adapter from pyfuse3 to a tree. Bytes, inode numbers, handles and errno end here;
names are `str` below. `reading.py` and `writing.py` are the two kinds of mount.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

import pyfuse3

from artfs.fuse.guard import GuardedOperations
from artfs.fuse.replies import Ownership, new_entry, statfs_reply
from artfs.model import MAX_ENTRY_NAME_BYTES
from artfs.mounts.messages import Counters
from artfs.vfs.tree import OpenFile

DOTS = 2
"""`.` and `..` come before the names of a listing."""

T = TypeVar("T")
FileT = TypeVar("FileT", bound=OpenFile)
DirectoryT = TypeVar("DirectoryT")


class Handles(Generic[T]):
    """Open things by number: reads and listings are told nothing else."""

    def __init__(self) -> None:
        self._open: dict[int, T] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, opened: T) -> int:
        """Give a handle to something that was opened."""
        self._last += 1
        self._open[self._last] = opened
        return self._last

    def get(self, handle: int) -> T:
        """What was opened. Raises: KeyError."""
        return self._open[handle]

    def remove(self, handle: int) -> T:
        """Forget what was closed, and return it. Raises: KeyError."""
        return self._open.pop(handle)


class MountOperations(GuardedOperations, ABC, Generic[FileT, DirectoryT]):
    """The requests that every mount answers alike; those with names and nodes are subclasses'."""

    def __init__(
        self, *, ownership: Ownership, counters: Counters, on_ready: Callable[[], None]
    ) -> None:
        """`on_ready` is called once the kernel talks to us."""
        super().__init__(counters)
        self.ownership = ownership
        self.files: Handles[FileT] = Handles()
        self.directories: Handles[DirectoryT] = Handles()
        # Every reply is written before the next await, so that one object serves all listings.
        self.listed = new_entry(ownership)
        self._on_ready = on_ready

    # --- what a kind of mount has to say -----------------------------------------------------

    @abstractmethod
    def forget_lookups(self, inode: int, lookups: int) -> None:
        """The kernel takes back that many lookups of a node."""

    @abstractmethod
    def directory_to_list(self, inode: int) -> DirectoryT:
        """A directory that is opened to list it. Raises: FUSEError for another node."""

    @abstractmethod
    async def read_names(self, opened: DirectoryT, *, again: bool) -> None:
        """Get ready to list; with `again` the names as they are now."""

    @abstractmethod
    def fill_dot(self, opened: DirectoryT, place: int) -> None:
        """Set `listed` to the attributes of `.`, at place 1, or `..`, at place 2."""

    @abstractmethod
    async def reply_names(
        self, opened: DirectoryT, start: int, token: pyfuse3.ReaddirToken
    ) -> None:
        """List the names behind the first `start` ones, as many as the reply takes."""

    @abstractmethod
    async def space(self) -> os.statvfs_result:
        """How much space there is."""

    def closed(self, opened: FileT) -> None:
        """A file was closed for the last time; nothing is to be done but to forget it."""

    # --- the mount as a whole ----------------------------------------------------------------

    def init(self) -> None:
        """The kernel has accepted the mount."""
        self._on_ready()

    async def statfs(self, _ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """What `df` says."""
        return statfs_reply(await self.space())

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """The kernel no longer knows these."""
        for inode, lookups in inode_list:
            self.forget_lookups(inode, lookups)

    # --- directories -------------------------------------------------------------------------

    async def opendir(self, inode: int, _ctx: pyfuse3.RequestContext) -> int:
        """Open a directory; its names are asked for with the first listing."""
        return self.directories.add(self.directory_to_list(inode))

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List names with attributes, as many as the reply takes."""
        self.counters.listings += 1
        opened = self.directories.get(fh)
        await self.read_names(opened, again=start_id == 0)
        for place in range(start_id + 1, DOTS + 1):
            # The kernel counts no lookup for these two.
            self.fill_dot(opened, place)
            if not pyfuse3.readdir_reply(token, b"." * place, self.listed, place):
                return
        await self.reply_names(opened, max(start_id - DOTS, 0), token)

    async def releasedir(self, fh: int) -> None:
        """A directory was closed."""
        self.directories.remove(fh)

    # --- files -------------------------------------------------------------------------------

    def opened(self, file: FileT, *, keep_cache: bool, direct_io: bool) -> pyfuse3.FileInfo:
        """Count an open file, and give it a handle."""
        self.counters.opens += 1
        self.counters.open_files += 1
        return pyfuse3.FileInfo(fh=self.files.add(file), keep_cache=keep_cache, direct_io=direct_io)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Bytes of a file."""
        data = await self.files.get(fh).read(off, size)
        self.counters.reads += 1
        self.counters.bytes_served += len(data)
        # pyfuse3 replies from any buffer, whatever its annotations say.
        return cast(bytes, data)

    async def release(self, fh: int) -> None:
        """A file was closed."""
        opened = self.files.remove(fh)
        self.counters.open_files -= 1
        self.closed(opened)


def text_of(name: bytes, *, undecodable: int) -> str:
    """A name as text.

    Raises: FUSEError: ENAMETOOLONG, or `undecodable` for one that is not UTF-8, as no name in a
    tree is.
    """
    if len(name) > MAX_ENTRY_NAME_BYTES:
        raise pyfuse3.FUSEError(errno.ENAMETOOLONG)
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise pyfuse3.FUSEError(undecodable) from None
