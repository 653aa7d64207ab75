"""Putting files and directories into a store as one version: what `artfs put` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from artfs.blobs.base import Transfer
from artfs.catalog.records import CommitRequest, CommitResult
from artfs.errors import ArtifactNotFound, InvalidArgument
from artfs.model import Metadata
from artfs.repository.commits import set_labels
from artfs.repository.facade import Repository
from artfs.repository.ignore import (
    IGNORE_FILE,
    MAX_IGNORE_BYTES,
    IsIgnored,
    ignore_rules,
    matches_patterns,
    own_names_ignored,
)
from artfs.repository.ingest import Ingest
from artfs.sdk.draft_entries import DraftEntries, commit_contents
from artfs.sdk.intake import FileIntake
from artfs.sdk.referring import ReferenceRequest, Skipped, refer
from artfs.sdk.scan import OnLeftOut, Scan, Selection, check_regular, log_left_out, measured
from artfs.settings import default_project
from artfs.system.oserrors import translate_os_errors
from artfs.system.paths import name_of
from artfs.system.progress import OnProgress, ProgressMeter

DEFAULT_TYPE = "dataset"


class PutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the new version should be, besides its content."""

    name: str
    """`[[entity/]project/]name`."""
    type: str | None = None
    """None: that of the artifact, or `new_type` for a new one."""
    new_type: str = DEFAULT_TYPE
    description: str | None = None
    metadata: Metadata = {}
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ttl_s: int | None = None
    run_id: str | None = None
    """The run that makes it."""
    references: tuple[ReferenceRequest, ...] = ()
    """What it refers to, besides what is stored in it."""
    exclude: tuple[str, ...] = ()
    """What is left out besides what `.artfsignore` names; the syntax is the same."""
    one_file_system: bool = True
    """Of a directory, take nothing that is on another file system."""


def put(
    repository: Repository,
    sources: Sequence[str | os.PathLike[str]],
    request: PutRequest,
    *,
    transfer: Transfer = Transfer.COPY,
    on_progress: OnProgress | None = None,
    on_references: Callable[[int], None] | None = None,
    on_skipped: Callable[[Skipped], None] | None = None,
    on_left_out: OnLeftOut = log_left_out,
) -> CommitResult:
    """Make a version of references, and of local files and directories with their links.

    The content of a single directory comes into the root; of several sources each one goes under
    its base name. `on_references` hears how many references there are so far, `on_skipped` what a
    request that may skip what is invalid left out, `on_left_out` which directories are not taken
    in, as mounts of artfs. What the `.artfsignore` in a directory's root names is left out.
    Blocks: on disk and network. Raises: InvalidArgument for two sources of one name, and for
    sockets and the like; PathNotFound, SourceChanged, PermissionDenied, OutOfSpace, Conflict,
    InvalidName, BackendUnavailable. Nothing is visible before it succeeds.
    """
    commit = commit_request(repository, request)
    named = _named(sources, required=not request.references)
    ingest, contents = repository.ingest(), DraftEntries()
    try:
        selections = {source: _selection(source, request, on_left_out) for _, source in named}
        meter = _meter(named, selections, on_progress)
        intake = FileIntake(ingest, contents, transfer=transfer, meter=meter)
        for path, source in named:
            if Path(source).is_dir() and (path == "" or not Path(source).is_symlink()):
                intake.add_directory(source, path, selections[source])
            elif Path(source).is_symlink():
                intake.add_link(source, path)
            else:
                intake.add_file(source, path)
        _add_references(repository, contents, request.references, on_references, on_skipped)
        return commit_put(repository, ingest, contents, commit)
    finally:
        ingest.discard()


def commit_put(
    repository: Repository, ingest: Ingest, contents: DraftEntries, commit: CommitRequest
) -> CommitResult:
    """Make it the next version, or set on the one that is there what was asked for.

    Raises: what commit_contents raises.
    """
    outcome = commit_contents(repository, ingest, contents, commit)
    if outcome.created:
        return outcome
    version, changed = set_labels(repository.catalog, outcome.version, commit)
    return CommitResult(version, created=False, changed=changed)


def _add_references(
    repository: Repository,
    contents: DraftEntries,
    wanted: Sequence[ReferenceRequest],
    on_references: Callable[[int], None] | None,
    on_skipped: Callable[[Skipped], None] | None,
) -> None:
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1
        if on_references is not None:
            on_references(count)

    for each in wanted:
        refer(
            repository.references,
            contents,
            each,
            on_skipped=on_skipped or (lambda _: None),
            on_entry=counted,
        )


def commit_request(repository: Repository, request: PutRequest) -> CommitRequest:
    """What the store is to be asked for. Blocks: on the catalog. Raises: InvalidArgument."""
    path = repository.parse(request.name, project=default_project())
    assert path.project is not None
    if path.selector is not None:
        raise InvalidArgument(
            request.name, "names a version", hint="the store chooses the number of a new one"
        )
    return CommitRequest(
        project=path.project,
        name=path.name,
        type=request.type or _type_of(repository, path.project, path.name, request.new_type),
        description=request.description,
        metadata=request.metadata,
        aliases=request.aliases,
        tags=request.tags,
        ttl_s=request.ttl_s,
        run_id=request.run_id,
    )


def _type_of(repository: Repository, project: str, name: str, new_type: str) -> str:
    try:
        return repository.catalog.artifact(project, name, on_damage=lambda _: None).type
    except ArtifactNotFound:
        return new_type


def _named(sources: Sequence[str | os.PathLike[str]], *, required: bool) -> list[tuple[str, str]]:
    """The path in the version and the local path of each source."""
    if not sources and required:
        raise InvalidArgument("put", "no file, directory or reference is named")
    local = [os.fspath(source) for source in sources]
    for source in local:
        with translate_os_errors(source):
            os.lstat(source)
    if len(local) == 1 and Path(local[0]).is_dir():
        return [("", local[0])]
    named: dict[str, str] = {}
    for source in local:
        place = Path(source)
        name = name_of((place.resolve() if source in {".", ".."} else place.absolute()).name)
        if name in named:
            raise InvalidArgument(
                source, f"has the same name as {named[name]}", hint="put them one by one"
            )
        named[name] = source
    return list(named.items())


def planned(
    repository: Repository | None,
    sources: Sequence[str | os.PathLike[str]],
    request: PutRequest,
    *,
    on_left_out: OnLeftOut,
) -> Iterator[tuple[str, int | None]]:
    """The paths that `put` would take in, with their sizes in bytes; a link has none.

    `repository`: None where the store would only be made. Blocks: on the disk. Raises: as `put`.
    """
    if repository is not None:
        commit_request(repository, request)
    for path, source in _named(sources, required=not request.references):
        place = Path(source)
        if place.is_dir() and (path == "" or not place.is_symlink()):
            prefix = f"{path}/" if path else ""
            for found in Scan(source, _selection(source, request, on_left_out)):
                below = f"{prefix}{found.path}/" if found.path else prefix
                yield from ((below + each.name, each.size_bytes) for each in found.files)
                yield from ((below + each.name, None) for each in found.links)
        else:
            status = place.lstat()
            if not place.is_symlink():
                check_regular(source, status.st_mode)
            yield path, None if place.is_symlink() else status.st_size


def _selection(source: str, request: PutRequest, on_left_out: OnLeftOut) -> Selection:
    is_ignored: IsIgnored = own_names_ignored
    path = Path(source, IGNORE_FILE)
    if path.is_file():
        with translate_os_errors(path), path.open("rb") as file:
            is_ignored = ignore_rules(file.read(MAX_IGNORE_BYTES))
    return Selection(
        follow_links=False,
        is_ignored=_excluding(is_ignored, request.exclude),
        one_file_system=request.one_file_system,
        on_left_out=on_left_out,
    )


def _excluding(is_ignored: IsIgnored, patterns: Sequence[str]) -> IsIgnored:
    if not patterns:
        return is_ignored
    excluded = matches_patterns(patterns)
    return lambda path, is_directory: is_ignored(path, is_directory) or excluded(path, is_directory)


def _meter(
    named: Sequence[tuple[str, str]],
    selections: dict[str, Selection],
    on_progress: OnProgress | None,
) -> ProgressMeter:
    """A meter with totals; they are only counted where somebody looks."""
    if on_progress is None:
        return ProgressMeter()
    files = size_bytes = 0
    for _, source in named:
        if Path(source).is_dir():
            found_files, found_bytes = measured(source, selections[source])
            files += found_files
            size_bytes += found_bytes
        elif Path(source).is_file():
            files += 1
            size_bytes += Path(source).stat().st_size
    meter = ProgressMeter(on_progress)
    meter.expect(files=files, size_bytes=size_bytes)
    return meter
