"""The building state of an artifact: content is taken into the store at once, named at commit."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from artfs import forks
from artfs.blobs.base import Transfer
from artfs.catalog.records import CommitRequest, VersionRecord
from artfs.errors import EntryNotFound, InvalidArgument, PathNotFound
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry
from artfs.manifest.tree import LoadDirectory, walk
from artfs.manifest.wandb import manifest_digest
from artfs.model import (
    Digest,
    Metadata,
    VersionState,
    check_name,
    check_type,
    split_entry_path,
)
from artfs.references.base import Announced
from artfs.repository.facade import Repository
from artfs.repository.ingest import Ingest
from artfs.sdk.draft_entries import DraftEntries, commit_contents, latest
from artfs.sdk.intake import FileIntake, file_entry
from artfs.sdk.metadata import normalize_metadata
from artfs.sdk.referring import ReferenceRequest, Skipped, refer
from artfs.sdk.scan import Selection, measured
from artfs.sdk.session import active_repository, current_run
from artfs.sdk.values import AddedValues
from artfs.sdk.watching import watching
from artfs.settings import chosen_project, default_entity
from artfs.system.oserrors import translate_os_errors
from artfs.system.paths import local_name, name_of
from artfs.system.progress import ProgressMeter

logger = logging.getLogger(__name__)

_TMP_DIGEST_CHARS = 20


def check_same_process(generation: int, subject: str) -> None:
    """Refuse to end in a forked child what its parent began, and ends itself.

    Raises: InvalidArgument.
    """
    if generation != forks.generation():
        raise InvalidArgument(
            subject,
            "was begun by the process that this one was forked from",
            hint="leave a child by os._exit, or begin it there",
        )


@contextmanager
def written_file(path: Path, mode: str, encoding: str | None) -> Iterator[IO[str] | IO[bytes]]:
    """A new file in a new directory, both of which are gone after the block.

    Raises: PermissionDenied, OutOfSpace, BackendUnavailable.
    """
    begun_in = forks.generation()
    try:
        with translate_os_errors(path):
            path.parent.mkdir()
            file = path.open(mode, encoding=encoding)
        watched = _WrittenFile(file)
        with file:
            yield file
        del watched
    finally:
        if begun_in == forks.generation():
            shutil.rmtree(path.parent, ignore_errors=True)


class _WrittenFile:
    """Keeps children from writing to a file, what is in its buffer included."""

    def __init__(self, file: IO[str] | IO[bytes]) -> None:
        self._file = file
        forks.before_fork(self._flush)
        forks.in_child(self._leave_to_parent)

    def _flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def _leave_to_parent(self) -> None:
        if not self._file.closed:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, self._file.fileno(), inheritable=False)
            os.close(nowhere)


class Draft:
    """An artifact that is being built. Thread-safe where it adds content.

    What is added is frozen then: it goes into the store's packs and objects, which is where it
    will be needed, and no version can see it before `commit`. A draft that is dropped leaves
    nothing but orphans that gc removes.
    """

    def __init__(
        self,
        name: str,
        type_name: str,
        *,
        description: str | None = None,
        metadata: object = None,
        incremental: bool = False,
    ) -> None:
        self.name = check_name(name, kind="artifact")
        self.type = check_type(type_name)
        self.description = description
        self.metadata: Metadata = normalize_metadata(metadata)
        self.incremental = incremental
        self.tags: list[str] = []
        self.ttl_s: int | None = None
        self._is_final = False
        self.base: VersionRecord | None = None
        """The version that it was made of; with `incremental` that is `latest`, once logged."""
        self.contents = DraftEntries()
        self.local_names: dict[str, str] = {}
        self.values: AddedValues = {}
        self._new_files: set[str] = set()
        self._lock = forks.lock()
        self._repository: Repository | None = None
        self._ingest: Ingest | None = None

    @classmethod
    def of_version(cls, repository: Repository, base: VersionRecord) -> Draft:
        """A draft with the content of a version, for its artifact's next one."""
        draft = cls(
            base.source_name,
            base.type,
            description=base.description,
            metadata=base.metadata,
        )
        draft.base, draft._repository = base, repository
        return draft

    # --- as every state of an artifact: see ArtifactState ----------------------------------

    @property
    def draft(self) -> Draft | None:
        """See ArtifactState."""
        return None if self._is_final else self

    @property
    def logged(self) -> None:
        """See ArtifactState."""

    @property
    def id(self) -> None:
        """See ArtifactState."""

    @property
    def source_version(self) -> None:
        """See ArtifactState."""

    @property
    def state(self) -> VersionState:
        """See ArtifactState."""
        return VersionState.PENDING

    @property
    def entity(self) -> str:
        """That of the current run's store, else of the settings."""
        run = current_run()
        return default_entity() if run is None else run.entity

    @property
    def project(self) -> str:
        """Where it would be logged to now."""
        run = current_run()
        return chosen_project() if run is None else run.project

    def finalize(self) -> None:
        """See ArtifactState."""
        self._is_final = True

    def added_as(self, local_path: str) -> str | None:
        """See ArtifactState."""
        return self.local_names.get(local_path)

    def find(self, path: str) -> FileEntry | ReferenceEntry | None:
        """The file or reference at a path, in the version that it was made of, too."""
        found: Entry | None = self.contents.get(path)
        if found is None and self.base is not None and not self.contents.hides(path):
            with suppress(PathNotFound):
                found = self.repository().find(self.base.tree, path)
        return found if isinstance(found, FileEntry | ReferenceEntry) else None

    def entries(self) -> Iterator[tuple[str, FileEntry | ReferenceEntry]]:
        """Files and references with their paths, in path order. Blocks: where there is a base."""
        if self.base is None:
            yield from self.contents.entries()
            return
        load, root = self._tree(self.base)
        for path, entry in walk(load, root.sha256):
            if isinstance(entry, FileEntry | ReferenceEntry):
                yield path, entry

    def digest(self) -> str:
        """The W&B digest of `entries`."""
        return manifest_digest((path, entry.digest) for path, entry in self.entries())

    def size_bytes(self) -> int:
        """The sum over all files and references; those of unknown size count 0."""
        if self.base is None:
            return self.contents.size_bytes
        return self._tree(self.base)[1].size_bytes

    def _tree(self, base: VersionRecord) -> tuple[LoadDirectory, DirectoryEntry]:
        """The tree that it would become, in memory alone."""
        made: dict[Digest, Directory] = {}
        load_stored = self.repository().directory

        def load(digest: Digest) -> Directory:
            return found if (found := made.get(digest)) is not None else load_stored(digest)

        def keep(digest: Digest, encoded: bytes) -> None:
            made[digest] = Directory(encoded)

        builder = TreeBuilder(load, base.root)
        self.contents.fill(builder)
        return load, builder.build(keep)

    # --- adding and removing ---------------------------------------------------------------

    def add_file(
        self, local_path: str, name: str | None, *, is_tmp: bool, overwrite: bool = False
    ) -> tuple[str, FileEntry]:
        """Take in one file; its path in the artifact and its entry.

        It takes the place of another content of its path only where it may `overwrite` that.

        Raises: InvalidArgument where it is no file; what Intake raises.
        """
        with translate_os_errors(local_path):
            if not Path(local_path).is_file():
                raise InvalidArgument(local_path, "is not a file")
        path = name_of(Path(local_path).name) if name is None or name == "" else name
        if is_tmp:
            # Its name depends on its content: taken in apart, then named.
            entry = FileIntake(self.ingest(), DraftEntries()).add_file(local_path, "content")
            path = _tmp_name(path, entry)
            self.contents.add(path, entry)
        else:
            with watching(f"storing {local_path}") as report:
                meter = ProgressMeter(report)
                if report is not None:
                    with translate_os_errors(local_path):
                        meter.expect(files=1, size_bytes=Path(local_path).stat().st_size)
                intake = FileIntake(self.ingest(), self.contents, overwrite=overwrite, meter=meter)
                entry = intake.add_file(local_path, path)
        self.local_names[local_path] = path
        return path, entry

    def add_bytes(self, data: bytes, path: str, *, is_tmp: bool) -> tuple[str, FileEntry]:
        """Take in bytes that are in memory; the path in the artifact and the entry."""
        content = self.ingest().add_bytes(data)
        entry = file_entry("content", content, executable=False, mtime_ns=time.time_ns())
        path = _tmp_name(path, entry) if is_tmp else path
        self.contents.add(path, entry)
        return path, entry

    def add_directory(self, local_path: str, name: str | None, *, overwrite: bool = False) -> None:
        """Take in all that is below a directory; see `add_file`.

        Raises: InvalidArgument where it is none; what Intake raises.
        """
        with translate_os_errors(local_path):
            if not Path(local_path).is_dir():
                raise InvalidArgument(local_path, "is not a directory")
        prefix = (name or "").rstrip("/")
        selection = Selection(follow_links=True)
        with watching(f"storing {local_path}") as report:
            meter = ProgressMeter(report)
            if report is not None:
                # Totals cost a second look at every file: only where somebody watches.
                files, size_bytes = measured(local_path, selection)
                meter.expect(files=files, size_bytes=size_bytes)
            intake = FileIntake(self.ingest(), self.contents, overwrite=overwrite, meter=meter)
            self.local_names.update(intake.add_directory(local_path, prefix, selection))

    def add_references(
        self,
        request: ReferenceRequest,
        *,
        on_skipped: Callable[[Skipped], None],
        on_announced: Callable[[Announced], None],
    ) -> list[tuple[str, ReferenceEntry]]:
        """Pin what a URI names. Raises: what `refer` raises."""
        return refer(
            self.repository().references,
            self.contents,
            request,
            on_skipped=on_skipped,
            on_announced=on_announced,
        )

    def remove(self, path: str, *, project: str) -> None:
        """Remove a file or reference, or a directory with all that is in it.

        With `incremental` it is removed from `project`'s `latest` when the draft is logged.
        Raises: EntryNotFound, InvalidName. Blocks: on directories of the base.
        """
        split_entry_path(path)
        was_added = self.contents.remove(path)
        base = self.base
        if base is None and self.incremental:
            base = latest(self.repository(), project, self.name)
        if base is not None and not self.contents.hides(path):
            with suppress(PathNotFound):
                self.repository().find(base.tree, path)
                self.contents.hide(path)
                return
        if not was_added:
            raise EntryNotFound(path, f"is not in the artifact {self.name!r}")

    @contextmanager
    def new_file(self, name: str, mode: str, encoding: str | None) -> Iterator[IO[str] | IO[bytes]]:
        """A new file that is taken in when the block ends without an error.

        Raises: InvalidArgument for a name that was made before; what Intake raises.
        """
        parts = split_entry_path(name)
        with self._lock:
            if name in self._new_files:
                raise InvalidArgument(f"File with name {name!r} already exists")
            self._new_files.add(name)
        if "b" not in mode and encoding is None:
            encoding = "utf-8"
        # In a directory of its own it keeps its name: writers look at the suffix.
        directory = self.repository().workspace.temporaries.new("new")
        path = directory / local_name(parts[-1])
        generation = forks.generation()
        try:
            with written_file(path, mode, encoding) as file:
                with file:
                    yield file
                check_same_process(generation, name)
                intake = FileIntake(self.ingest(), self.contents, transfer=Transfer.MOVE)
                intake.add_file(str(path), name)
        except BaseException:
            self._new_files.discard(name)
            raise

    def repository(self) -> Repository:
        """The store that this draft's content goes to: chosen once, when it is first needed."""
        with self._lock:
            if self._repository is None:
                self._repository = active_repository()
            return self._repository

    def ingest(self) -> Ingest:
        """The intake of this draft's content."""
        with self._lock:
            if self._ingest is None:
                self._ingest = self.repository().ingest()
                forks.finalize(self, self._ingest.abandon)
            return self._ingest

    # --- committing ------------------------------------------------------------------------

    def commit(
        self,
        repository: Repository,
        project: str,
        *,
        aliases: tuple[str, ...],
        run_id: str | None,
        dedupe_all: bool,
    ) -> VersionRecord:
        """Make it a version. Raises: InvalidArgument where its content is in another store;
        what Repository.commit raises.
        """
        self._is_final = True
        self._use(repository)
        request = CommitRequest(
            project=project,
            name=self.name,
            type=self.type,
            description=self.description,
            metadata=normalize_metadata(self.metadata),
            aliases=aliases,
            dedupe_all=dedupe_all,
            run_id=run_id,
            tags=tuple(self.tags),
            ttl_s=self.ttl_s,
        )
        outcome = commit_contents(
            repository,
            self.ingest(),
            self.contents,
            request,
            base=self.base,
            incremental=self.incremental,
        )
        if not outcome.created and _says_otherwise(request, outcome.version):
            logger.warning(
                "%s has the same content and stays as it is: "
                "change its description and metadata with save()",
                outcome.version.path,
            )
        return outcome.version

    def _use(self, repository: Repository) -> None:
        with self._lock:
            if self._repository is None:
                self._repository = repository
            elif self._repository is not repository:
                raise InvalidArgument(
                    f"artifact {self.name!r}",
                    f"its content is in the store {self._repository.info.location}, "
                    f"not in {repository.info.location}",
                    hint="call artfs.init() before adding to it",
                )


def _says_otherwise(request: CommitRequest, version: VersionRecord) -> bool:
    described = request.description not in {None, version.description}
    return described or bool(request.metadata and request.metadata != version.metadata)


def _tmp_name(path: str, entry: FileEntry) -> str:
    """`dir/x.tar.gz` → `dir/5d41402abc4b2a76b971.tar.gz`, after the content's md5."""
    directory, slash, name = path.rpartition("/")
    _, dot, suffix = name.partition(".")
    return f"{directory}{slash}{entry.md5.hex()[:_TMP_DIGEST_CHARS]}{dot}{suffix}"
