"""References to entries of other versions of the same store.

They are stored as W&B writes them, `wandb-artifact://VERSION-ID/PATH`. `artfs://PROJECT/NAME:vN/PATH`
(also with an entity, an alias or a digest) is understood as well, and stored in that form: an
alias may move, the version that it named may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import basename
from typing import Protocol

from artfs.errors import InvalidArgument, NotFound, PathNotFound, ReferenceChanged, Unsupported
from artfs.manifest.entries import (
    DirectoryEntry,
    Entry,
    FileEntry,
    Pin,
    ReferenceEntry,
    SymlinkEntry,
)
from artfs.model import split_entry_path
from artfs.references.base import Described, Source, SourceGone, described

SCHEME = "wandb-artifact"
OWN_SCHEME = "artfs"
_MAX_CHAIN = 64


class Versions(Protocol):
    """What this scheme has to know of the store. Both methods block on the catalog."""

    def find_entry(self, version_id: str, path: str, *, deleted: bool) -> Entry:
        """The entry at a path of a version, with `deleted` also of one that was deleted.

        Raises: NotFound, InvalidName.
        """
        ...

    def version_id(self, artifact_path: str) -> str:
        """The id of the version that `[entity/]project/name[:selector]` names now.

        Raises: NotFound, InvalidName, InvalidArgument.
        """
        ...


class ArtifactHandler:
    """Implements ReferenceHandler and ForwardingHandler."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def describe(
        self,
        uri: str,
        *,
        name: str | None,
        checksum: bool,  # noqa: ARG002 - what is in a version is always known
        max_objects: int | None,  # noqa: ARG002 - and it is one entry
    ) -> Iterator[Described]:
        """See ReferenceHandler; chains end at the entry that is no such reference itself."""
        version_id, path = self.locate(uri)
        for link in range(_MAX_CHAIN):
            # What a version refers to stays, whoever deleted it; but nobody begins to refer to it.
            found = self._versions.find_entry(version_id, path, deleted=link > 0)
            entry = _readable(found, uri)
            if isinstance(entry, FileEntry) or not is_artifact_reference(entry.uri):
                break
            version_id, path = self.locate(entry.uri)
        else:
            raise InvalidArgument(uri, f"a chain of more than {_MAX_CHAIN} references")
        yield described(
            name or basename(path),
            f"{SCHEME}://{version_id}/{path}",
            entry.digest,
            size_bytes=entry.size_bytes,
            pin=Pin(md5=entry.md5) if isinstance(entry, FileEntry) else entry.pin,
            mtime_ns=entry.mtime_ns,
        )

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler: there is no source but what `target` answers."""
        raise Unsupported(entry.uri, "is read as the entry that it refers to")

    def target(self, entry: ReferenceEntry) -> FileEntry | ReferenceEntry:
        """See ForwardingHandler."""
        version_id, path = self.locate(entry.uri)
        try:
            found = _readable(self._versions.find_entry(version_id, path, deleted=True), entry.uri)
        except NotFound as error:
            raise SourceGone(entry.uri, f"it is gone ({error.reason})") from None
        if found.digest != entry.digest:
            raise ReferenceChanged(
                entry.uri, f"pinned with digest {entry.digest}, it now has {found.digest}"
            )
        return found

    def locate(self, uri: str) -> tuple[str, str]:
        """The version and the path that a URI names.

        Blocks: on the catalog, for a name. Raises: NotFound, InvalidName, InvalidArgument.
        """
        scheme, _, rest = uri.partition("://")
        if scheme.lower() == OWN_SCHEME:
            artifact, colon, rest = rest.partition(":")
            selector, slash, path = rest.partition("/")
            if not colon or not slash:
                raise InvalidArgument(
                    uri, "names no file", hint="write artfs://PROJECT/NAME:vN/PATH"
                )
            version = self._versions.version_id(f"{artifact}:{selector}")
        else:
            version, slash, path = rest.partition("/")
            if not version or not slash:
                raise InvalidArgument(uri, "names no file", hint=f"write {SCHEME}://ID/PATH")
        split_entry_path(path)
        return version, path


def is_artifact_reference(uri: str) -> bool:
    """Whether a URI leads to an entry of another version."""
    return uri.partition(":")[0].lower() in {SCHEME, OWN_SCHEME}


def _readable(entry: Entry, uri: str) -> FileEntry | ReferenceEntry:
    if isinstance(entry, (SymlinkEntry, DirectoryEntry)):
        raise PathNotFound(uri, "is not a file of that version")
    return entry
