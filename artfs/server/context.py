"""What a request is answered with: the store, who asks, and the addresses that are given out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from artfs import forks
from artfs.catalog.base import Catalog
from artfs.catalog.records import ArtifactRecord, RunRecord, VersionRecord
from artfs.catalog.serving_records import ContentRecord
from artfs.errors import (
    ArtfsError,
    ArtifactNotFound,
    InvalidArgument,
    InvalidName,
    NotFound,
    RunNotFound,
)
from artfs.manifest.entries import FileEntry
from artfs.model import VersionState, check_name
from artfs.repository.facade import LATEST, Repository
from artfs.repository.runnames import find_run, new_run_id
from artfs.server import ids
from artfs.server.auth import Access
from artfs.server.contents import VersionContents
from artfs.server.tokens import (
    DOWNLOAD_LIFE_S,
    UPLOAD_LIFE_S,
    ContentDownload,
    ContentUpload,
    ManifestDownload,
    ManifestUpload,
    Right,
    RunFileUpload,
    Tokens,
)
from artfs.settings import default_project

FALLBACK_PROJECT = "uncategorized"

SILENCE_S = 300.0
"""A client that is not heard of for so long has crashed; it says something each half minute."""


_OTHER_REQUEST_S = 2.0
_LOOK_EACH_S = 0.05


class RunHolds:
    """Holds runs for clients: they are running as long as they are heard of.

    Thread-safe; blocks on the catalog.
    """

    def __init__(self, catalog: Catalog, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._clock = clock
        self._lock = forks.lock()
        self._heard: dict[str, float] = {}

    def hear(self, run_id: str) -> None:
        """Note that a run goes on. Raises: RunNotFound, BackendUnavailable."""
        with self._lock:
            is_new = run_id not in self._heard
            self._heard[run_id] = self._clock()
        if is_new:
            try:
                self._catalog.join_run(run_id)
            except NotFound:
                self.forget(run_id)
                raise

    def forget(self, run_id: str) -> None:
        """Hold a run no more, which has ended or whose client is silent."""
        with self._lock:
            self._heard.pop(run_id, None)
        with suppress(ArtfsError):
            self._catalog.leave_run(run_id)

    def leave_silent(self) -> None:
        """Let go of the runs whose clients are not heard of any more."""
        limit = self._clock() - SILENCE_S
        with self._lock:
            silent = [run_id for run_id, heard in self._heard.items() if heard < limit]
        for run_id in silent:
            self.forget(run_id)


class NamedNode(Protocol):
    """What GraphQL shows of a project."""

    @property
    def name(self) -> str:
        """The project's."""
        ...


class NodeMaker(Protocol):
    """Makes the nodes that nodes of artifacts lead to, and which lead back to these."""

    def project(self, context: Context, name: str) -> NamedNode:
        """A project; it need not hold anything yet."""
        ...

    def runs(self, context: Context, records: Sequence[RunRecord]) -> Sequence[object]:
        """The runs that may be seen."""
        ...


class Context(msgspec.Struct, frozen=True):
    """One request of one client."""

    repository: Repository
    access: Access
    tokens: Tokens
    contents: VersionContents
    holds: RunHolds
    nodes: NodeMaker
    base_url: str

    @property
    def entity(self) -> str:
        """The entity of the store, the only one there is."""
        return self.repository.info.entity

    # --- names -----------------------------------------------------------------------------

    def require_entity(self, name: str | None) -> None:
        """Raises: ArtifactNotFound for another entity than the store's."""
        if name not in {None, "", self.entity}:
            raise ArtifactNotFound(
                f"entity {name!r}", f"this server's store belongs to {self.entity!r}"
            )

    def project(self, name: str | None, entity: str | None) -> str:
        """The checked name of a project, where none is given the default one.

        Raises: InvalidName, ArtifactNotFound.
        """
        self.require_entity(entity)
        return check_name(name or default_project() or FALLBACK_PROJECT, kind="project")

    def readable_project(self, name: str | None, entity: str | None) -> str | None:
        """The same; None where there is none that the key may read."""
        with suppress(InvalidName, NotFound):
            project = self.project(name, entity)
            if self.access.reads(project):
                return project
        return None

    # --- versions --------------------------------------------------------------------------

    def version(self, project: str, text: str) -> VersionRecord | None:
        """The version that `NAME[:SELECTOR]` names in a readable project, or None."""
        name, _, selector = text.partition(":")
        if not self.access.reads(project):
            return None
        with suppress(InvalidName, InvalidArgument, NotFound):
            check_name(name, kind="artifact")
            return self.repository.catalog.version(project, name, selector or LATEST)
        return None

    def latest(self, project: str, name: str) -> VersionRecord | None:
        """The version called `latest` of an artifact, if there is one."""
        return self.version(project, f"{name}:{LATEST}")

    def version_by_id(self, version_id: str) -> VersionRecord:
        """A committed version that the key may read. Raises: VersionNotFound."""
        catalog = self.repository.catalog
        version = catalog.version_by_id(version_id)
        if version.state is VersionState.COMMITTED:
            for seen in catalog.memberships(version_id):
                if self.access.reads(seen.project):
                    return version if self.access.reads(version.project) else seen
        raise _no_artifact()

    def reached(self, version_id: str) -> VersionRecord:
        """As `version_by_id`, of what was so a moment ago. Raises: VersionNotFound."""
        for seen in self.contents.reached(version_id):
            if self.access.reads(seen.project):
                return seen
        raise _no_artifact()

    def memberships(self, version_id: str) -> list[VersionRecord]:
        """A version as seen through all that hold it and may be read."""
        found = self.repository.catalog.memberships(version_id)
        return [each for each in found if self.access.reads(each.project)]

    def collection(self, project: str, name: str) -> ArtifactRecord | None:
        """An artifact or portfolio of a readable project, or None."""
        if not self.access.reads(project):
            return None
        with suppress(NotFound):
            return self.repository.catalog.artifact(project, name)
        return None

    def collection_by_id(self, gid: str) -> ArtifactRecord | None:
        """The same by its id for clients. Raises: InvalidArgument for what is no id."""
        project, name, number = ids.collection_parts(gid)
        found = self.collection(project, name)
        if number is None or (found is not None and found.id == number):
            return found
        if not self.access.reads(project):
            return None
        # Its name has changed since.
        listed = self.repository.catalog.artifacts(project=project, finds_lost=False)
        return next((each for each in listed if each.id == number), None)

    def collection_names(self, gid: str) -> tuple[str, str]:
        """Project and name, as it is now, of what has an id, or had it. Raises: InvalidArgument."""
        found = self.collection_by_id(gid)
        return (found.project, found.name) if found is not None else ids.collection_parts(gid)[:2]

    # --- runs ------------------------------------------------------------------------------

    def run(self, project: str, name: str) -> RunRecord | None:
        """The run that a client calls `name` in a readable project, or None."""
        if not self.access.reads(project):
            return None
        return find_run(self.repository.catalog, project, name)

    def run_by_id(self, run_id: str) -> RunRecord:
        """A run of a readable project. Raises: RunNotFound."""
        with suppress(RunNotFound):
            run = self.repository.catalog.run(run_id)
            if self.access.reads(run.project):
                return run
        raise RunNotFound("run", "there is none of this id that you may see")

    def content(self, version: VersionRecord, md5: bytes) -> ContentRecord:
        """Content of a version that may be read. Raises: EntryNotFound."""
        # Who may read a version alone, for it is linked, may not read what is beside it.
        beside = self.access.reads(version.source_project)
        return self.contents.content(version, md5, beside=beside)

    def new_run_id(self, project: str, name: str) -> str:
        """The id for a run that a client calls `name`. Raises: InvalidName."""
        return new_run_id(self.repository.catalog, project, name)

    # --- addresses -------------------------------------------------------------------------

    def upload_url(self, right: ContentUpload | ManifestUpload | RunFileUpload) -> str:
        """Where something is sent to."""
        return f"{self.base_url}/uploads/{self._token(right, UPLOAD_LIFE_S)}"

    def content_url(self, path: str, entry: FileEntry) -> str:
        """Where a file is read."""
        right = ContentDownload(entry.sha256, entry.size_bytes, entry.blocks)
        name = quote(path.rpartition("/")[2], safe="")
        return f"{self.base_url}/contents/{self._token(right, DOWNLOAD_LIFE_S)}/{name}"

    def manifest_url(self, version_id: str) -> str:
        """Where a version's manifest is read."""
        token = self._token(ManifestDownload(version_id), DOWNLOAD_LIFE_S)
        return f"{self.base_url}/manifests/{token}/wandb_manifest.json"

    def _token(self, right: Right, life_s: int) -> str:
        return self.tokens.sign(right, life_s=life_s)


def awaited(is_so: Callable[[], bool]) -> bool:
    """Whether something is so, or becomes so in a moment.

    Clients send requests side by side, and one may need what another one is about to do.
    Blocks: for two seconds at most.
    """
    until_s = time.monotonic() + _OTHER_REQUEST_S
    while not is_so():
        if time.monotonic() > until_s:
            return False
        time.sleep(_LOOK_EACH_S)
    return True


def _no_artifact() -> ArtifactNotFound:
    return ArtifactNotFound("artifact", "there is none of this id that you may read")


def as_json(text: str | None) -> Any:
    """The value of a JSONString; None where it is left out. Raises: InvalidArgument."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidArgument("a JSONString", f"is not JSON ({error})") from None
