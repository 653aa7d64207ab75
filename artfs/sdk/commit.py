"""From collected contents to a version."""

from __future__ import annotations

import msgspec

from artfs.catalog.base import CommitOutcome, VersionRecord
from artfs.errors import AliasMoved, NotFound
from artfs.manifest.builder import TreeBuilder
from artfs.model import Digest
from artfs.repository.facade import LATEST, CommitRequest, Repository
from artfs.repository.ingest import Ingest
from artfs.sdk.contents import Contents

_MAX_ATTEMPTS = 20


def commit_contents(
    repository: Repository,
    ingest: Ingest,
    contents: Contents,
    request: CommitRequest,
    *,
    incremental: bool = False,
) -> CommitOutcome:
    """Make what `contents` holds a version; with `incremental` on top of `latest`.

    What is as in `latest` but for its mtime keeps its entry there, so that directories in which
    nothing changed are shared. Raises: what Repository.commit raises.
    """
    if incremental:
        return _commit_on_latest(repository, ingest, contents, request)
    builder = _builder(repository, ingest)
    contents.fill(builder)
    base = _latest(repository, request)
    if base is not None:
        builder.adopt(base.tree)
        request = msgspec.structs.replace(request, base_ids=(base.id,))
    return repository.commit(ingest, builder.build(ingest.add_directory), request)


def _commit_on_latest(
    repository: Repository, ingest: Ingest, contents: Contents, request: CommitRequest
) -> CommitOutcome:
    for attempt in range(_MAX_ATTEMPTS):
        base = _latest(repository, request)
        builder = _builder(repository, ingest, base.tree if base else None)
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


def _builder(repository: Repository, ingest: Ingest, base: Digest | None = None) -> TreeBuilder:
    return TreeBuilder(ingest.directory_loader(repository.directory), base)


def _latest(repository: Repository, request: CommitRequest) -> VersionRecord | None:
    try:
        return repository.catalog.version(request.project, request.name, LATEST)
    except NotFound:
        return None
