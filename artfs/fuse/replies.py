"""What the kernel gets: attributes, and the space of a mount."""

from __future__ import annotations

import math
import os

import msgspec
import pyfuse3

from artfs.model import MAX_ENTRY_NAME_BYTES
from artfs.vfs.tree import Attributes

FOREVER_TIMEOUT_S = 365 * 24 * 3600
"""The kernel counts timeouts in jiffies of 64 bits; a year is for ever, too."""

_BLOCK_BYTES = 512
_TRANSFER_BYTES = 1024 * 1024


class Ownership(msgspec.Struct, frozen=True):
    """To whom everything in a mount belongs, and which permission bits are taken away."""

    uid: int
    gid: int
    umask: int = 0


def timeout_of(ttl_s: float) -> float:
    """A time to live as the kernel takes it."""
    return FOREVER_TIMEOUT_S if math.isinf(ttl_s) else ttl_s


def new_entry(ownership: Ownership) -> pyfuse3.EntryAttributes:
    """Entry attributes with everything set that is the same for all nodes."""
    entry = pyfuse3.EntryAttributes()
    entry.st_uid = ownership.uid
    entry.st_gid = ownership.gid
    entry.st_nlink = 1
    entry.st_blksize = _TRANSFER_BYTES
    entry.generation = 0
    entry.attr_timeout = FOREVER_TIMEOUT_S
    entry.entry_timeout = FOREVER_TIMEOUT_S
    return entry


def fill_entry(
    entry: pyfuse3.EntryAttributes, number: int, attributes: Attributes, umask: int
) -> None:
    """Set what differs from node to node."""
    entry.st_ino = number
    entry.st_mode = attributes.mode & ~umask
    size_bytes = attributes.size_bytes
    entry.st_size = size_bytes
    # Asked again before it is used: a listing shall not ask foreign servers for sizes.
    entry.attr_timeout = FOREVER_TIMEOUT_S if attributes.size_is_known else 0
    entry.st_blocks = -(-size_bytes // _BLOCK_BYTES) if attributes.is_file else 0
    mtime_ns = attributes.mtime_ns
    entry.st_mtime_ns = mtime_ns
    entry.st_ctime_ns = mtime_ns
    entry.st_atime_ns = mtime_ns


def statfs_reply(space: os.statvfs_result) -> pyfuse3.StatvfsData:
    """The space of a mount, as statvfs(3) tells that of a disk."""
    data = pyfuse3.StatvfsData()
    data.f_bsize, data.f_frsize = space.f_bsize, space.f_frsize
    data.f_blocks, data.f_bfree, data.f_bavail = space.f_blocks, space.f_bfree, space.f_bavail
    data.f_files, data.f_ffree, data.f_favail = space.f_files, space.f_ffree, space.f_favail
    data.f_namemax = MAX_ENTRY_NAME_BYTES
    return data
