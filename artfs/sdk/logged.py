"""The reading state of an artifact: one version, and changes to it that wait for `save`."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from artfs.catalog.records import CommitRequest, VersionRecord, VersionUpdate
from artfs.content.base import read_blocks
from artfs.errors import ArtifactNotFound, EntryNotFound, InvalidArgument, PathNotFound
from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry, SymlinkEntry
from artfs.manifest.tree import walk
from artfs.model import VersionState, check_alias, check_name
from artfs.repository.facade import Repository
from artfs.sdk.checkout import prune_directory, verify_directory
from artfs.sdk.download import download_one, download_tree
from artfs.sdk.entry import ARTIFACT_SCHEME
from artfs.sdk.materialize import Placements
from artfs.sdk.metadata import check_tags, chosen_aliases, normalize_metadata
from artfs.system.paths import local_name
from artfs.system.progress import OnProgress, ProgressMeter

logger = logging.getLogger(__name__)


def link_artifact(
    repository: Repository,
    version_id: str,
    target_path: str,
    *,
    project: str,
    aliases: str | Sequence[str] | None,
) -> VersionRecord:
    """Put a version into the portfolio `[[entity/]project/]portfolio`; see `Artifact.link`.

    `project` is that of a path that names none. Returns the version as the portfolio shows it.
    Raises: InvalidArgument for a path with a version or alias, InvalidName, ArtifactNotFound for
    another entity, VersionExists where the name belongs to an artifact.
    """
    if ":" in target_path:
        raise InvalidArgument(
            target_path, "names a version", hint="write [[entity/]project/]portfolio"
        )
    parts = target_path.split("/")
    if len(parts) > 3:
        raise InvalidArgument(
            target_path, "is not a portfolio", hint="write [[entity/]project/]portfolio"
        )
    portfolio = check_name(parts[-1], kind="portfolio")
    if len(parts) > 1:
        project = check_name(parts[-2], kind="project")
    if len(parts) > 2 and parts[0] != repository.info.entity:
        raise ArtifactNotFound(
            target_path, f"this store belongs to the entity {repository.info.entity!r}"
        )
    return repository.catalog.link(version_id, project, portfolio, chosen_aliases(aliases))


class Logged:
    """One version of the store, as it was seen last, with what the user changed since."""

    def __init__(self, repository: Repository, record: VersionRecord) -> None:
        self.repository = repository
        self._take(record)

    def _take(self, record: VersionRecord) -> None:
        self.record = record
        self.aliases = list(record.aliases)
        self.description = record.description
        self.metadata = copy.deepcopy(record.metadata)
        self.tags = list(record.tags)
        self.ttl_s = record.ttl_s

    # --- as every state of an artifact: see ArtifactState ----------------------------------

    @property
    def draft(self) -> None:
        """See ArtifactState."""

    @property
    def logged(self) -> Logged:
        """See ArtifactState."""
        return self

    @property
    def id(self) -> str:
        """See ArtifactState."""
        return self.record.id

    @property
    def name(self) -> str:
        """See ArtifactState."""
        return f"{self.record.name}:{self.record.version}"

    @property
    def type(self) -> str:
        """See ArtifactState."""
        return self.record.type

    @property
    def entity(self) -> str:
        """See ArtifactState."""
        return self.repository.info.entity

    @property
    def project(self) -> str:
        """See ArtifactState."""
        return self.record.project

    @property
    def source_version(self) -> str:
        """See ArtifactState."""
        return f"v{self.record.source_index}"

    @property
    def state(self) -> VersionState:
        """See ArtifactState."""
        return self.record.state

    @property
    def incremental(self) -> bool:
        """See ArtifactState."""
        return False

    def finalize(self) -> None:
        """Nothing is ever added to a version."""

    def digest(self) -> str:
        """See ArtifactState."""
        return self.record.digest

    def size_bytes(self) -> int:
        """See ArtifactState."""
        return self.record.size_bytes

    def added_as(self, local_path: str) -> None:
        """See ArtifactState: the store does not know where its files came from."""

    def find(self, path: str) -> FileEntry | ReferenceEntry | None:
        """See ArtifactState."""
        try:
            return self.entry(path)
        except EntryNotFound:
            return None

    @property
    def is_link(self) -> bool:
        """Whether it was asked of a portfolio that it is linked to."""
        record = self.record
        return (record.project, record.name) != (record.source_project, record.source_name)

    def entries(self) -> Iterator[tuple[str, FileEntry | ReferenceEntry]]:
        """All files and references by path, in path order. Blocks: on the store."""
        for path, entry in walk(self.repository.directory, self.record.tree):
            if isinstance(entry, FileEntry | ReferenceEntry):
                yield path, entry

    def entry(self, path: str) -> FileEntry | ReferenceEntry:
        """The file or reference at `path`. Raises: EntryNotFound, InvalidName."""
        try:
            found = self.repository.find(self.record.tree, path)
        except PathNotFound as error:
            raise EntryNotFound(path, f"is not in {self.record.path}") from error
        if isinstance(found, DirectoryEntry | SymlinkEntry):
            kind = "a directory" if isinstance(found, DirectoryEntry) else "a symbolic link"
            raise EntryNotFound(path, f"is {kind}, not a file, in {self.record.path}")
        return found

    def save(self) -> None:
        """Send what was changed to the catalog, and read it again.

        Raises: InvalidName for a bad alias, VersionNotFound, BackendUnavailable.
        """
        record, catalog = self.record, self.repository.catalog
        added = tuple(check_alias(alias) for alias in _new(self.aliases, record.aliases))
        removed = _new(record.aliases, self.aliases)
        if removed:
            # One that moved to another version meanwhile stays there.
            still = catalog.version(record.project, record.name, record.version).aliases
            removed = tuple(alias for alias in removed if alias in still)
        update = VersionUpdate(add_aliases=added, remove_aliases=removed)
        changes: dict[str, object] = {}
        if self.description != record.description:
            changes["description"] = self.description
        if self.metadata != record.metadata:
            changes["metadata"] = normalize_metadata(self.metadata)
        if sorted(set(self.tags)) != sorted(record.tags):
            changes["tags"] = tuple(check_tags(self.tags))
        if self.ttl_s != record.ttl_s:
            changes["ttl_s"] = self.ttl_s
        update = msgspec.structs.replace(update, **changes)
        if update != VersionUpdate():
            portfolio = (record.project, record.name) if self.is_link else None
            self._take(catalog.update_version(record.id, update, portfolio=portfolio))

    def delete(self, *, delete_aliases: bool) -> None:
        """Delete the version, or where it was asked of a portfolio take it out of that.

        Raises: Conflict where it has aliases that should stay.
        """
        record = self.record
        if self.is_link:
            self.repository.catalog.unlink(record.id, record.project, record.name)
        else:
            self.repository.catalog.delete_version(record.id, delete_aliases=delete_aliases)
        self._take(msgspec.structs.replace(self.record, state=VersionState.DELETED, aliases=()))

    def commit(
        self,
        repository: Repository,
        project: str,
        *,
        aliases: tuple[str, ...],
        run_id: str | None,
        dedupe_all: bool,
    ) -> VersionRecord:
        """Log the same content once more. Raises: InvalidArgument where it is in another store;
        what Repository.commit raises.
        """
        record = self.record
        if repository is not self.repository:
            raise InvalidArgument(record.path, f"is not in the store {repository.info.location}")
        request = CommitRequest(
            project=project,
            name=record.source_name,
            type=record.type,
            description=self.description,
            metadata=normalize_metadata(self.metadata),
            aliases=aliases,
            base_ids=(record.id,),
            dedupe_all=dedupe_all,
            run_id=run_id,
            tags=tuple(self.tags),
            ttl_s=self.ttl_s,
        )
        return repository.commit(repository.ingest(), record.root, request).version

    # --- local directories -----------------------------------------------------------------

    def download(
        self,
        root: str | None,
        *,
        recursive: bool = False,
        path_prefix: str = "",
        skip_missing: bool = False,
        link: bool = False,
        on_progress: OnProgress | None = None,
    ) -> str:
        """See Artifact.download."""
        target = root or self._default_root()
        record = self.record
        meter = ProgressMeter(on_progress)
        if not path_prefix:
            meter.expect(files=record.file_count, size_bytes=record.size_bytes)
        done = download_tree(
            self.repository,
            record.tree,
            Path(target),
            path_prefix=path_prefix,
            skip_missing=skip_missing,
            link=link,
            meter=meter,
        )
        _warn_of_copies(target, done)
        if recursive:
            for version_id in self._referred_versions(path_prefix):
                other = Logged(self.repository, self.repository.catalog.version_by_id(version_id))
                other.download(
                    None,
                    recursive=True,
                    skip_missing=skip_missing,
                    link=link,
                    on_progress=on_progress,
                )
        return target

    def download_entry(self, path: str, root: str | None, *, link: bool = False) -> str:
        """Write the one file or reference at `path` below the root; where it then is."""
        target = root or self._default_root()
        done = download_one(self.repository, self.record.tree, Path(target), path, link=link)
        _warn_of_copies(target, done)
        return f"{target}/{local_name(path)}"

    def read_entry(self, path: str) -> bytes:
        """All bytes at a path. Raises: as `entry` does; what Content.load_block raises."""
        return b"".join(read_blocks(self.repository.content(self.entry(path))))

    def checkout(self, root: str | None) -> str:
        """See Artifact.checkout."""
        target = root or f"./artifacts/{self.record.name}"
        if Path(target).exists():
            prune_directory(self.repository, self.record.tree, Path(target))
        download_tree(self.repository, self.record.tree, Path(target))
        return target

    def verify(self, root: str | None) -> bool:
        """See Artifact.verify."""
        if root is None:
            root = self.download(None)
        verify_directory(self.repository, self.record.tree, Path(root))
        return True

    def _default_root(self) -> str:
        return f"./artifacts/{self.record.name}:{self.record.version}"

    def _referred_versions(self, path_prefix: str) -> list[str]:
        found: dict[str, None] = {}
        for path, entry in self.entries():
            if isinstance(entry, ReferenceEntry) and path.startswith(path_prefix):
                url = urlsplit(entry.uri)
                if url.scheme == ARTIFACT_SCHEME and url.netloc != self.record.id:
                    found[url.netloc] = None
        return list(found)


def _warn_of_copies(target: str, done: Placements) -> None:
    """Say once that what should have been linked was copied."""
    if done.not_linked:
        logger.warning(
            "%s: %d large files were copied in place of being hard-linked: %s",
            target,
            done.not_linked,
            done.why_not_linked,
        )


def _new(items: list[str] | tuple[str, ...], known: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for item in items if item not in known))
