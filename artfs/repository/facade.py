"""The repository: names → versions → trees → bytes, and commits. The one facade of a store.

Everything above (SDK, staging, engine, command line) goes through it. It blocks, and it is safe
to use from many threads; several processes may have the same store open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from artfs.blobs.base import ObjectStore, RecordStore
from artfs.blobs.cache import BlockCache
from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import OnDamage
from artfs.catalog.records import (
    ArtifactRecord,
    BlobRecord,
    CommitRequest,
    CommitResult,
    PackRecord,
    VersionRecord,
)
from artfs.content.base import Content
from artfs.content.blobs import BlobReader, stored_object
from artfs.content.directory_cache import DirectoryCache, DirectorySource
from artfs.content.references import ReferenceReader
from artfs.content.remote import open_cache
from artfs.errors import (
    ArtifactNotFound,
    DamagedRecord,
    InvalidArgument,
    StoreFormatError,
    VersionNotFound,
)
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry
from artfs.manifest.tree import LoadDirectory, find
from artfs.manifest.wandb import TreeDigests, tree_digests
from artfs.model import (
    Digest,
    VersionState,
)
from artfs.references.artifact import OWN_SCHEME, SCHEME, ArtifactHandler
from artfs.references.base import ReferenceHandler
from artfs.references.registry import References
from artfs.repository.commits import Commits
from artfs.repository.ingest import Ingest
from artfs.repository.near_misses import closest, named_near_misses
from artfs.repository.openpack import Workspace
from artfs.repository.presence import Presence, require_objects
from artfs.repository.recovery import Recovery
from artfs.repository.reference_targets import ReferenceTargets
from artfs.settings import file_references
from artfs.targets import ArtifactPath, Target, parse_artifact_path, project_of, readings
from artfs.wandbstore.address import server_schemes
from artfs.wandbstore.refusals import refusal

LATEST = "latest"
STORE_FORMAT = 1
"""Of embedded and shared stores alike."""
_WRITABLE_FOR_OTHERS = 0o022


class StoreInfo(msgspec.Struct, frozen=True):
    """What a store says of itself."""

    location: str
    """The directory that names the store, or the URL without its password: it may be shown."""
    entity: str
    root: Path | None
    """The directory of an embedded store; None for a shared one."""
    id: str = ""
    """Of a shared store: the same by whatever URL it is reached."""
    alias_ttl_s: float = 1.0
    """How long a mount takes an alias to be where it was, unless it is told otherwise."""


def check_format(subject: str, found: int) -> None:
    """Raises: StoreFormatError where a newer artfs made the store."""
    if found > STORE_FORMAT:
        raise StoreFormatError(
            subject,
            f"has format {found}, this artfs knows {STORE_FORMAT}",
            hint="use a newer artfs",
        )


class StoreVersions:
    """The versions of a store as references to them need them; implements Versions."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def find_entry(self, version_id: str, path: str, *, deleted: bool) -> Entry:
        """See Versions."""
        version = self._repository.catalog.version_by_id(version_id)
        if not (deleted or version.state is VersionState.COMMITTED):
            raise VersionNotFound(version.path, "it was deleted")
        return self._repository.find(version.tree, path)

    def version_id(self, artifact_path: str) -> str:
        """See Versions."""
        return self._repository.resolve(artifact_path).id


def _without_path(path: ArtifactPath) -> ArtifactPath:
    """Raises: InvalidArgument for a path in a version."""
    if path.path:
        version = msgspec.structs.replace(path, path="")
        raise InvalidArgument(str(path), "names a path in a version", hint=f"write {version}")
    return path


class Repository:
    """One open store."""

    def __init__(  # noqa: PLR0913 - what a store is made of
        self,
        info: StoreInfo,
        *,
        catalog: Catalog,
        objects: ObjectStore,
        workspace: Workspace,
        records: RecordStore | None = None,
        cache: BlockCache | None = None,
        references: References | None = None,
        server_handler: ReferenceHandler | None = None,
        trees: DirectorySource | None = None,
        address: str | None = None,
        read_directly: bool = False,
        is_new: bool = False,
    ) -> None:
        """`cache` and `references` stand in for this user's cache and all known schemes.

        `server_handler` reads files of W&B servers, where this store is one, and `trees` has its
        directory objects, which are no blobs. `records` are where it is left what a lost catalog is
        rebuilt from; None: nowhere. `address` opens the store again, where the location alone
        does not. `read_directly`: what is large is read past the page cache. `is_new`: it was
        made for whoever opens it.
        """
        self.info = info
        self.is_new = is_new
        self.is_server = trees is not None
        """Whether it is a W&B server, which is only read, and has references for files."""
        self.address = address or info.location
        """What opens this store in another process. It may hold a password: never show it."""
        self.catalog = catalog
        self.objects = objects
        self.workspace = workspace
        self.records = records
        self.recovery = None if records is None else Recovery(catalog, records, entity=info.entity)
        self._cache = cache
        self._references = references
        self._server_handler = server_handler
        self._read_directly = read_directly
        # The objects of an embedded store are read in place.
        self.blobs = BlobReader(
            catalog,
            objects,
            cache=self.cache if info.root is None else None,
            read_directly=read_directly,
        )
        self.directories = DirectoryCache(trees or self.blobs)
        self._commits = Commits(
            catalog,
            load=self.directory,
            confirm=self.require_objects,
            delete=self.delete_object,
            linked_blobs=self.linked_blobs,
            recovery=self.recovery,
            heals=info.root is not None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release connections and files. Blocks: on the store, where names were changed."""
        if self.recovery is not None:
            self.recovery.note_end()
        self.catalog.close()

    # --- names -----------------------------------------------------------------------------

    def parse(self, path: str | ArtifactPath, *, project: str | None = None) -> ArtifactPath:
        """Read the name of an artifact that need not exist, or of a version of it.

        `project` stands in where the path names none. The result always has a project.
        Raises: InvalidName; InvalidArgument for a path in a version; ArtifactNotFound for another
        entity.
        """
        if isinstance(path, str):
            path = parse_artifact_path(path, entity=self.info.entity)
        return _without_path(self._placed(path, project))

    def meant(self, path: str | ArtifactPath, *, project: str | None = None) -> ArtifactPath:
        """Read what names an artifact that exists, a version of it or a path in one.

        Where a text can be read in two ways, it is the one that leads to an artifact.
        Blocks: on the catalog, where it can. Raises: as `parse`, but for a path in a version.
        """
        if not isinstance(path, str):
            return self._placed(path, project)
        first, *others = readings(path, entity=self.info.entity)
        if self.is_server:
            # Each look is a request; its names are W&B's.
            others = []
        likeliest = self._placed(first, project)
        for other in others:
            if self._exists(likeliest):
                break
            second = self._placed(other, project)
            if self._exists(second):
                return second
        return likeliest

    def target(self, text: str | None, *, project: str | None = None) -> Target:
        """Read what may name the whole store, a project, or what `meant` reads.

        Raises: as `meant`.
        """
        if text is None:
            return Target()
        alone = project_of(text)
        if alone is not None:
            return Target(alone)
        path = self.meant(text, project=project)
        return Target(path.project, path.name, path.selector, path.path)

    def locate(
        self, path: str | ArtifactPath, *, project: str | None = None
    ) -> tuple[VersionRecord, str]:
        """The COMMITTED version that a target names, and the path in it; empty: all of it.

        Without a selector it is `latest`. Raises: as `resolve`.
        """
        parsed = self.meant(path, project=project)
        assert parsed.project is not None
        with self._naming_near_misses(parsed):
            found = self.catalog.version(parsed.project, parsed.name, parsed.selector or LATEST)
        return found, parsed.path

    def resolve(self, path: str | ArtifactPath, *, project: str | None = None) -> VersionRecord:
        """The COMMITTED version that a path names; without a selector it is `latest`.

        Raises: InvalidName, InvalidArgument, ArtifactNotFound, VersionNotFound, AliasNotFound,
        BackendUnavailable.
        """
        return self.locate(_without_path(self.meant(path, project=project)))[0]

    def artifact(
        self, path: str | ArtifactPath, *, project: str | None = None, on_damage: OnDamage | None
    ) -> ArtifactRecord:
        """The artifact or portfolio that a path names, whichever version it may name.

        Raises: InvalidName, InvalidArgument, ArtifactNotFound, DamagedRecord, BackendUnavailable.
        """
        parsed = _without_path(self.meant(path, project=project))
        assert parsed.project is not None
        with self._naming_near_misses(parsed):
            return self.catalog.artifact(parsed.project, parsed.name, on_damage=on_damage)

    def require_project(self, project: str) -> None:
        """Blocks: on the catalog. Raises: ArtifactNotFound, DamagedRecord, BackendUnavailable."""
        damaged: list[DamagedRecord] = []
        names = {each.name for each in self.catalog.projects(on_damage=damaged.append)}
        if project in names:
            return
        for error in damaged:
            if not error.names or project in error.names:
                raise error
        near = closest(project, names)
        hint = f"did you mean {near}?" if near else "`artfs ls` lists them"
        raise ArtifactNotFound(project, "there is no such project", hint=hint)

    def _placed(self, path: ArtifactPath, project: str | None) -> ArtifactPath:
        """Raises: ArtifactNotFound for another entity, InvalidArgument without a project."""
        if path.entity not in {None, self.info.entity}:
            raise ArtifactNotFound(
                str(path), f"this store belongs to the entity {self.info.entity!r}"
            )
        found_project = path.project or project
        if found_project is None:
            raise InvalidArgument(str(path), "names no project", hint="write PROJECT/NAME")
        return msgspec.structs.replace(path, entity=self.info.entity, project=found_project)

    def _naming_near_misses(self, path: ArtifactPath) -> AbstractContextManager[None]:
        # A W&B server would be asked for all its names.
        if self.is_server:
            return nullcontext()
        return named_near_misses(self.catalog, path, entity=self.info.entity)

    def _exists(self, path: ArtifactPath) -> bool:
        assert path.project is not None
        try:
            self.catalog.artifact(path.project, path.name, on_damage=lambda _: None)
        except ArtifactNotFound:
            return False
        return True

    # --- trees and bytes -------------------------------------------------------------------

    def directory(self, digest: Digest) -> Directory:
        """A verified directory object; blocks and raises as DirectoryCache.load does."""
        return self.directories.load(digest)

    def find(self, tree: Digest, path: str) -> Entry:
        """The entry at `path` in a tree. Raises: PathNotFound, InvalidName."""
        return find(self.directory, tree, path)

    def prepare(self, entries: Iterable[Entry]) -> None:
        """Find out in one query where the blobs of these files are, before they are read.

        Blocks: on the catalog. Raises: BackendUnavailable.
        """
        files = (entry for entry in entries if isinstance(entry, FileEntry))
        self.blobs.prepare(digest for entry in files for digest in entry.blobs)

    def content(self, entry: FileEntry | ReferenceEntry) -> Content:
        """The bytes of a file or reference.

        Blocks: on the catalog; on the source of a reference whose size or pin is not known.
        Raises: BlobNotFound, IntegrityError, BackendUnavailable, PermissionDenied;
        ReferenceChanged, and Unsupported for a reference that cannot be read.
        """
        if isinstance(entry, FileEntry):
            return self.blobs.content(entry)
        target = self.references.resolve(entry)
        if isinstance(target, FileEntry):
            return self.blobs.content(target)
        return self.reference_reader.content(target)

    @cached_property
    def cache(self) -> BlockCache:
        """What was fetched from elsewhere; shared by all processes of this user."""
        return self._cache or open_cache(read_directly=self._read_directly)

    @cached_property
    def references(self) -> References:
        """All schemes that can be referred to, among them other versions of this store."""
        if self._references is not None:
            return self._references
        artifacts = ArtifactHandler(StoreVersions(self))
        references = References(
            {SCHEME: artifacts, OWN_SCHEME: artifacts},
            makers=dict.fromkeys(server_schemes(), self._handler_of_servers),
        )
        allowed = file_references()
        if allowed is False:
            references.refuse(
                "file", "local files are not read", hint="ARTFS_FILE_REFERENCES=on reads them"
            )
        elif allowed is None and not self._is_own():
            # Whoever writes a version chooses the files, and whoever reads it lends the rights.
            references.limit_files(only_public=True)
        return references

    def _handler_of_servers(self) -> ReferenceHandler:
        if self._server_handler is None:
            from artfs.wandbstore.files import WandbHandler  # noqa: PLC0415 - few need it

            self._server_handler = WandbHandler(cache=self.cache)
        return self._server_handler

    def _is_own(self) -> bool:
        """Whether nobody but this user can write to the store."""
        if self.info.root is None:
            return False
        status = self.info.root.stat()
        if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_FOR_OTHERS:
            return False
        # Who was given a key of `artfs serve` writes as we do.
        return not self.catalog.serving.lets_others_write()

    @cached_property
    def reference_reader(self) -> ReferenceReader:
        """Reads references to foreign objects."""
        return ReferenceReader(self.references, self.cache)

    # --- changes ---------------------------------------------------------------------------

    def ingest(self) -> Ingest:
        """A new intake of content, to be handed to `commit` or discarded.

        Raises: ReadOnly for a W&B server.
        """
        if self.is_server:
            raise refusal(self.info.location)
        # A request for each object of a store that is elsewhere would cost too much.
        local = self.info.root is not None
        presence = Presence(self.catalog, self.objects) if local else None
        return Ingest(self.catalog, self.objects, self.workspace, presence=presence)

    def digests(self, tree: Digest) -> TreeDigests:
        """The digests of a stored tree, by walking it."""
        return tree_digests(self.directory, tree)

    def commit(
        self,
        ingest: Ingest,
        tree: DirectoryEntry,
        request: CommitRequest,
        *,
        digests: TreeDigests | None = None,
    ) -> CommitResult:
        """Make `tree` a version: blobs first, then directories, then one catalog transaction.

        The directory objects of `tree` must have gone through `ingest`, or be in the store; its
        `digests` are computed where they are not given.
        Raises: InvalidName, InvalidArgument, Conflict, OutOfSpace, BackendUnavailable.
        """
        return self._commits.commit(ingest, tree, request, digests=digests)

    def require_objects(self, packs: Sequence[PackRecord], blobs: Sequence[BlobRecord]) -> None:
        """Prove that what was stored is there: a Confirm, as everything needs that names objects.

        Blocks: on the store. Raises: BlobsGone; BackendUnavailable, PermissionDenied.
        """
        require_objects(self.objects, packs, blobs)

    def linked_blobs(self, load: LoadDirectory | None = None) -> ReferenceTargets:
        """Finds what references to entries of other versions lead to."""
        return ReferenceTargets(self.catalog, load or self.directory, StoreVersions(self))

    def delete_object(self, record: BlobRecord | PackRecord) -> None:
        """Delete an object that was doomed, for `Catalog.sweep`. Blocks: on the store.

        Raises: BackendUnavailable, PermissionDenied.
        """
        self.objects.delete(stored_object(record))
