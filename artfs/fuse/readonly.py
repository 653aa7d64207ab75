"""Every mutation of a read-only mount: refused.

The kernel refuses most of them itself, for the mount is `ro`; these are for what gets past it.
"""

from __future__ import annotations

import errno
from typing import Any, NoReturn

import pyfuse3

from artfs.fuse.guard import GuardedOperations


class RefusedMutations(GuardedOperations):
    """The mutating handlers: all of them answer EROFS (promise R7)."""

    async def setattr(self, *_request: Any) -> NoReturn:
        """Refuse chmod, chown, utimens, truncate."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def mknod(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def mkdir(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def unlink(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def rmdir(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def symlink(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def rename(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def link(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def create(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def write(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def setxattr(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    async def removexattr(self, *_request: Any) -> NoReturn:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)
