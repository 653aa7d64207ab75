"""The public face of one file or reference of an artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

from artfs.errors import ArtifactNotLoggedError, InvalidArgument
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.manifest.wandb import ManifestEntry, manifest_digest, manifest_text, manifest_value
from artfs.model import StrPath
from artfs.sdk.draft_entries import manifest_entry

ARTIFACT_SCHEME = "wandb-artifact"
"""Of references to entries of other artifacts in the same store."""

ListEntries = Callable[[], Iterator[tuple[str, FileEntry | ReferenceEntry]]]
"""Gives all files and references with their paths, in path order."""


class EntryOwner(Protocol):
    """An artifact as its entries and values know it: Artifact is one."""

    @property
    def id(self) -> str | None:
        """See Artifact."""
        ...

    @property
    def name(self) -> str:
        """See Artifact."""
        ...

    def find_entry(self, name: StrPath) -> ArtifactManifestEntry | None:
        """See Artifact."""
        ...

    def get_path(self, name: StrPath) -> ArtifactManifestEntry:
        """See Artifact."""
        ...

    def add_reference(
        self, uri: ArtifactManifestEntry | str, name: StrPath | None = None
    ) -> list[ArtifactManifestEntry]:
        """See Artifact."""
        ...

    def add_bytes(
        self, data: bytes, name: StrPath, *, is_tmp: bool = False
    ) -> ArtifactManifestEntry:
        """See Artifact."""
        ...

    def discard_added(self, name: StrPath) -> None:
        """See Artifact."""
        ...

    def download_entry(self, name: str, root: str | None = None, *, link: bool = False) -> str:
        """See Artifact."""
        ...

    def read_entry(self, name: str) -> bytes:
        """See Artifact."""
        ...

    def of_id(self, version_id: str) -> Self:
        """See Artifact."""
        ...


@runtime_checkable
class ArtifactValue(Protocol):
    """An object that `Artifact.add` can store and `Artifact.get` can make again."""

    artifact_suffix: ClassVar[str]
    """It is stored as `<name>.<artifact_suffix>.json`; also its `_type` in most JSON."""

    artifact_home: tuple[Any, str] | None
    """The artifact that it was got from or first added to, with its path there."""

    def to_json(self, artifact: Any) -> Any:
        """Its JSON value, after adding the files that it needs to the draft `artifact`."""
        ...

    @classmethod
    def from_json(cls, value: Any, artifact: Any) -> Self:
        """Make it again from its JSON value and, when they are needed, files of `artifact`."""
        ...


class ArtifactManifestEntry:
    """A file or reference of an artifact: what `get_path` and the adding methods return."""

    __slots__ = ("_artifact", "_entry", "path")

    def __init__(self, artifact: EntryOwner, path: str, entry: FileEntry | ReferenceEntry) -> None:
        self._artifact = artifact
        self._entry = entry
        self.path = path

    def __repr__(self) -> str:
        return f"<ArtifactManifestEntry {self.path!r} digest={self.digest!r} size={self.size}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArtifactManifestEntry):
            return NotImplemented
        return self.path == other.path and self._entry == other._entry

    def __hash__(self) -> int:
        return hash((self.path, self.digest))

    @property
    def name(self) -> str:
        """The path in the artifact, again."""
        return self.path

    @property
    def digest(self) -> str:
        """The W&B digest: base64 of the md5 of a file, an ETag or the like of a reference."""
        return self._entry.digest

    @property
    def size(self) -> int | None:
        """Size in bytes; None for a reference whose size is unknown."""
        return self._entry.size_bytes

    @property
    def ref(self) -> str | None:
        """The URI of a reference; None for a file."""
        return self._entry.uri if isinstance(self._entry, ReferenceEntry) else None

    @property
    def extra(self) -> dict[str, Any]:
        """What the source of a reference said besides: `etag`, `versionID`."""
        return dict(self._entry.extra) if isinstance(self._entry, ReferenceEntry) else {}

    @property
    def birth_artifact_id(self) -> str | None:
        """The artifact in which these bytes first appeared: artfs shares them all, so None."""
        return None

    @property
    def local_path(self) -> str | None:
        """The local file behind an entry of W&B's drafts; artfs stores at once, so None."""
        return None

    def parent_artifact(self) -> Any:
        """The artifact that this is an entry of."""
        return self._artifact

    def download(
        self,
        root: str | None = None,
        skip_cache: bool | None = None,  # noqa: ARG002 - W&B's: what is cached is verified
        executor: object = None,  # noqa: ARG002 - W&B's: threads are artfs's own
        *,
        link: bool = False,
    ) -> str:
        """Write this file, or what this reference leads to, to `root` and return its path.

        `root` defaults to that of `Artifact.download`; the path in the artifact is kept below it.
        `link` is that of `Artifact.download` as well.
        Raises: ArtifactNotLoggedError in a draft; what `Artifact.download` raises.
        """
        return self._artifact.download_entry(self.path, root, link=link)

    def read_bytes(self) -> bytes:
        """All bytes of the file or of what the reference leads to, verified.

        Raises: ArtifactNotLoggedError in a draft; what `Artifact.download` raises.
        """
        return self._artifact.read_entry(self.path)

    def target(self) -> tuple[Any, str] | None:
        """The artifact and path that a reference to another artifact's entry leads to.

        None for everything else.
        """
        url = urlsplit(self.ref or "")
        if url.scheme != ARTIFACT_SCHEME:
            return None
        return self._artifact.of_id(url.netloc), url.path.lstrip("/")

    def ref_target(self) -> str:
        """The URI that a reference leads to. Raises: InvalidArgument (a ValueError) for a file."""
        if not isinstance(self._entry, ReferenceEntry):
            raise InvalidArgument(self.path, "is a file, only references have a target")
        return self._entry.uri

    def ref_url(self) -> str:
        """A URI that other artifacts can refer to this entry by; see `add_reference`.

        Raises: ArtifactNotLoggedError in a draft.
        """
        version_id = self._artifact.id
        if version_id is None:
            raise ArtifactNotLoggedError(
                f"entry {self.path!r}",
                "its artifact has not been logged",
                hint="log it before referring to its entries",
                name="ref_url",
                obj=self._artifact,
            )
        return f"{ARTIFACT_SCHEME}://{version_id}/{self.path}"


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
