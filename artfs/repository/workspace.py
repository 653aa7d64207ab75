"""Where a store's temporary files go on local disk."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Workspace(Protocol):
    """A directory on local disk; on the store's own file system where the store is local."""

    def new_temporary(self, prefix: str) -> Path:
        """A path that nothing else uses, for the caller to create something at."""
        ...
