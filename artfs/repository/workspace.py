"""Where a store's temporary files go on local disk."""

from __future__ import annotations

from typing import Protocol

from artfs.blobs.temporaries import Temporaries


class Workspace(Protocol):
    """A directory on local disk; on the store's own file system where the store is local."""

    temporaries: Temporaries
