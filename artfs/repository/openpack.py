"""The pack that an intake is writing, and what becomes of it in a fork of the process."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from artfs.blobs.packs import PACK_TARGET_BYTES, PackWriter
from artfs.blobs.temporaries import Temporaries
from artfs.errors import ArtfsError, OutOfSpace


class Workspace(Protocol):
    """A directory on local disk; on the store's own file system where the store is local."""

    temporaries: Temporaries


class OpenPack:
    """At most one pack that is being written. Not thread-safe: an intake has a lock."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._pack: PackWriter | None = None
        self._parents: PackWriter | None = None

    def writer(self) -> PackWriter:
        """What to add to; a new one, or in a fork a copy of the parent's, where there is none.

        Raises: OutOfSpace, PermissionDenied, BackendUnavailable.
        """
        if self._pack is None:
            path = self._workspace.temporaries.new("pack")
            parents, self._parents = self._parents, None
            if parents is None:
                self._pack = PackWriter(path)
            else:
                self._pack = parents.copy_to(path)
                parents.let_go()
        return self._pack

    @property
    def is_full(self) -> bool:
        """Whether it has reached the size at which packs are stored."""
        return self._pack is not None and self._pack.size_bytes >= PACK_TARGET_BYTES

    def take(self) -> PackWriter | None:
        """The pack, to be finished and stored by the caller; None if nothing was added.

        Raises: as `writer`, in a fork.
        """
        if self._parents is not None:
            self.writer()
        pack, self._pack = self._pack, None
        return pack

    def discard(self) -> None:
        """Remove what was written."""
        if self._parents is not None:
            self._parents.let_go()
            self._parents = None
        if self._pack is not None:
            self._pack.discard()
            self._pack = None

    def write_out(self) -> None:
        """Before a fork: what is in the file's buffer would be written by both sides."""
        if self._pack is not None:
            with suppress(ArtfsError):
                self._pack.flush()

    def leave_to_parent(self) -> None:
        """In the child of a fork: copy what is in the pack if it is used on here; mostly it is not.

        Raises: OutOfSpace where `write_out` could not write it.
        """
        pack, self._pack = self._pack, None
        if pack is None:
            return
        if not pack.is_written:
            pack.let_go()
            raise OutOfSpace(
                str(pack.path), "what was added before this process was forked is not stored"
            )
        self._parents = pack
