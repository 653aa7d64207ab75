"""What references to entries of other versions lead to, so that gc leaves it where it is.

A version is for ever, and so is what it refers to in this store: the entry stays readable when the
version that it belongs to is deleted, for as long as somebody refers to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from artfs.catalog.base import Catalog
from artfs.catalog.records import VersionRecord
from artfs.errors import InvalidArgument, InvalidName, NotFound
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry
from artfs.manifest.tree import LoadDirectory
from artfs.model import Digest, split_entry_path
from artfs.references.artifact import ArtifactHandler, Versions, is_artifact_reference


class ReferenceTargets:
    """Finds the blobs behind such references. For one thread, and for a short while."""

    def __init__(self, catalog: Catalog, load: LoadDirectory, versions: Versions) -> None:
        self._catalog = catalog
        self._load = load
        self._handler = ArtifactHandler(versions)
        self._versions: dict[str, VersionRecord | None] = {}
        self._seen: set[tuple[str, str]] = set()
        self.found: set[Digest] = set()
        """Contents, block lists, and the directories on the way to them."""

    def follow(self, entries: Iterable[Entry]) -> None:
        """Add what these entries lead to, through all chains; what is not there is passed over.

        Blocks: on the catalog, and to read directories. Raises: BackendUnavailable,
        PermissionDenied; IntegrityError, InvalidManifest for a directory that is damaged.
        """
        for entry in entries:
            target: Entry | None = entry
            while isinstance(target, ReferenceEntry) and is_artifact_reference(target.uri):
                target = self._next(target)
            if target is not entry and isinstance(target, FileEntry):
                self.found.update(target.blobs)

    def _next(self, entry: ReferenceEntry) -> Entry | None:
        """What an entry refers to; None where that is not there, or was followed before."""
        try:
            version_id, path = self._handler.locate(entry.uri)
            if (version_id, path) in self._seen:
                return None
            self._seen.add((version_id, path))
            version = self._version(version_id)
            return None if version is None else self._descend(version.tree, split_entry_path(path))
        except (NotFound, InvalidName, InvalidArgument):
            return None

    def _descend(self, tree: Digest, parts: list[str]) -> Entry | None:
        directory = tree
        for part in parts[:-1]:
            below = self._load(directory).get(part)
            self.found.add(directory)
            if not isinstance(below, DirectoryEntry):
                return None
            directory = below.sha256
        entry = self._load(directory).get(parts[-1])
        self.found.add(directory)
        return entry

    def _version(self, version_id: str) -> VersionRecord | None:
        if version_id not in self._versions:
            try:
                self._versions[version_id] = self._catalog.version_by_id(version_id)
            except NotFound:
                self._versions[version_id] = None
        return self._versions[version_id]
