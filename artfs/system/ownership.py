"""Whose something is, and who may use it: what all below a directory keeps, whoever writes.

The mode and group of a directory hold for all that is made below it, whatever the umask. A
directory of 0700 has files of 0600; one of 2770 is a group's, and its files are of that group and
0660; one that others may read has files that they may read. Nothing is ever writable for others.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Self

import msgspec

from artfs.system.files import set_mode

_OWNER = 0o700
_GROUP_WRITE = 0o020


class Ownership(msgspec.Struct, frozen=True):
    """What is made below a directory belongs to whom, and who may use it."""

    uid: int
    """The directory's owner. Who writes owns the files; only what root writes is given to them."""
    gid: int
    is_shared: bool
    """Whether the members of the group may write."""
    directory_mode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """As the mode of a directory says."""
        mode = status.st_mode
        is_shared = bool(mode & stat.S_ISGID and mode & _GROUP_WRITE)
        kept = _OWNER | mode & 0o055
        if is_shared:
            kept |= stat.S_ISGID | _GROUP_WRITE
        return cls(status.st_uid, status.st_gid, is_shared, kept)

    @property
    def file_mode(self) -> int:
        """Of files that change."""
        return self.directory_mode & 0o666

    @property
    def sealed_mode(self) -> int:
        """Of files that never change."""
        return self.directory_mode & 0o444

    def claim(self, fd: int, mode: int) -> None:
        """Make an open file or directory one that belongs here, with the permissions `mode`.

        It must be ours. File systems without owners or modes keep what they have.
        Raises: OSError.
        """
        found = os.fstat(fd)
        # First the owner: changing that takes bits from the mode.
        gid = self.gid if self.is_shared and found.st_gid != self.gid else -1
        uid = self.uid if os.geteuid() == 0 and found.st_uid != self.uid else -1
        if uid != -1 and not self.is_shared:
            gid = self.gid
        if (uid, gid) != (-1, -1):
            # Root of a container, or of a host that a server does not trust, may not.
            with suppress(PermissionError):
                os.fchown(fd, uid, gid)
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            set_mode(fd, mode)

    def differs(self, status: os.stat_result) -> bool:
        """Whether a file or directory keeps somebody out who belongs here, or lets others write.

        Who writes into a shared store owns what they write; only the owner of a private one does.
        """
        mode = stat.S_IMODE(status.st_mode)
        if status.st_gid != self.gid if self.is_shared else status.st_uid != self.uid:
            return True
        needed = self.directory_mode if stat.S_ISDIR(status.st_mode) else self.sealed_mode
        # Who may write to what is not sealed, all may that should.
        if not stat.S_ISDIR(status.st_mode) and mode & 0o200:
            needed = self.file_mode
        return mode & needed != needed or bool(mode & 0o022 & ~self.directory_mode)
