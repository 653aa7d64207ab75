"""Where a store's temporary files go on local disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from artfs.blobs.local import TemporaryFile


class Workspace(Protocol):
    """A directory on local disk; on the store's own file system where the store is local."""

    def new_temporary(self, prefix: str) -> Path:
        """A path that nothing else uses, for the caller to create something at."""
        ...

    def temporaries(self) -> Iterator[TemporaryFile]:
        """Everything that is there now; what has no living owner was left behind by a crash.

        Raises: PermissionDenied, BackendUnavailable.
        """
        ...
