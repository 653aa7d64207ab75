"""The public face of an artifact's W&B manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.manifest.wandb import ManifestEntry, manifest_digest, manifest_text, manifest_value
from artfs.sdk.contents import manifest_entry
from artfs.sdk.entry import ArtifactManifestEntry, EntryOwner

ListEntries = Callable[[], Iterator[tuple[str, FileEntry | ReferenceEntry]]]
"""Gives all files and references with their paths, in path order."""


class ArtifactManifest:
    """All files and references of an artifact, read when they are first asked for."""

    def __init__(self, artifact: EntryOwner, list_entries: ListEntries) -> None:
        self._artifact = artifact
        self._list_entries = list_entries

    def __repr__(self) -> str:
        return f"<ArtifactManifest of {self._artifact.name}>"

    @cached_property
    def entries(self) -> Mapping[str, ArtifactManifestEntry]:
        """Entries by path, in path order. Blocks: on the store, the first time."""
        return {
            path: ArtifactManifestEntry(self._artifact, path, entry)
            for path, entry in self._list_entries()
        }

    def get_entry_by_path(self, path: str) -> ArtifactManifestEntry | None:
        """The entry at `path`, or None."""
        return self.entries.get(path)

    def get_entries_in_directory(self, directory: str) -> list[ArtifactManifestEntry]:
        """All entries below a directory."""
        prefix = directory.rstrip("/") + "/"
        return [entry for path, entry in self.entries.items() if path.startswith(prefix)]

    def to_manifest_json(self) -> dict[str, Any]:
        """The value of `wandb_manifest.json`, as the wandb client 0.15.0 writes it."""
        return manifest_value(self._listed())

    def to_manifest_text(self) -> str:
        """The text of `wandb_manifest.json`, byte for byte."""
        return manifest_text(self._listed())

    def digest(self) -> str:
        """The artifact's W&B digest."""
        return manifest_digest((path, leaf.digest) for path, leaf in self._list_entries())

    def _listed(self) -> Iterator[ManifestEntry]:
        """What W&B's manifest lists: what has no digest is not in it."""
        return (manifest_entry(path, leaf) for path, leaf in self._list_entries() if leaf.digest)
