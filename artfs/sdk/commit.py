"""From collected contents to a version."""

from __future__ import annotations

import msgspec

from artfs.catalog.records import CommitRequest, CommitResult, VersionRecord
from artfs.errors import AliasMoved, NotFound
from artfs.manifest.builder import TreeBuilder
from artfs.repository.facade import LATEST, Repository
from artfs.repository.ingest import Ingest
from artfs.sdk.contents import Contents

_MAX_ATTEMPTS = 20


def commit_contents(
    repository: Repository,
    ingest: Ingest,
    contents: Contents,
    request: CommitRequest,
    *,
    base: VersionRecord | None = None,
    incremental: bool = False,
) -> CommitResult:
    """Make what `contents` holds a version; on top of `base`, with `incremental` of `latest`.

    What is as in `latest` but for its mtime keeps its entry there, so that directories in which
    nothing changed are shared. Raises: what Repository.commit raises.
    """
    if incremental:
        return _commit_on_latest(repository, ingest, contents, request)
    builder = _builder(repository, ingest, base)
    contents.fill(builder)
    if base is None:
        base = latest(repository, request.project, request.name)
        if base is not None:
            builder.adopt(base.root)
    if base is not None:
        request = msgspec.structs.replace(request, base_ids=(base.id,))
    return repository.commit(ingest, builder.build(ingest.add_directory), request)


def _commit_on_latest(
    repository: Repository, ingest: Ingest, contents: Contents, request: CommitRequest
) -> CommitResult:
    for attempt in range(_MAX_ATTEMPTS):
        base = latest(repository, request.project, request.name)
        builder = _builder(repository, ingest, base)
        contents.fill(builder)
        attempted = msgspec.structs.replace(
            request,
            base_ids=(base.id,) if base else (),
            expect_latest=base.id if base else "",
        )
        try:
            return repository.commit(ingest, builder.build(ingest.add_directory), attempted)
        except AliasMoved:
            # Somebody else made a version meanwhile: ours shall be built on that one.
            if attempt == _MAX_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _builder(
    repository: Repository, ingest: Ingest, base: VersionRecord | None = None
) -> TreeBuilder:
    load = ingest.directory_loader(repository.directory)
    return TreeBuilder(load, None if base is None else base.root)


def latest(repository: Repository, project: str, name: str) -> VersionRecord | None:
    """The version called `latest`, if there is one. Raises: BackendUnavailable."""
    try:
        return repository.catalog.version(project, name, LATEST)
    except NotFound:
        return None
