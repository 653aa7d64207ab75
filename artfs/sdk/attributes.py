"""The attributes of an artifact, while it is built and once it is logged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Protocol

from artfs.catalog.records import VersionRecord
from artfs.errors import ArtifactFinalizedError, ArtifactNotLoggedError
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import Metadata, VersionState
from artfs.repository.facade import Repository
from artfs.repository.filters import time_text
from artfs.sdk.draft import Draft
from artfs.sdk.logged import Logged
from artfs.sdk.metadata import Ttl, check_tags, normalize_metadata, ttl_seconds
from artfs.sdk.notebook import draft_html, version_html
from artfs.settings import URL_SCHEME


class ArtifactState(Protocol):
    """What an artifact is at the moment: a Draft, or one version of the store, which is Logged."""

    description: str | None
    metadata: Metadata
    tags: list[str]
    ttl_s: int | None

    @property
    def draft(self) -> Draft | None:
        """The draft, while content can be added to it."""

    @property
    def logged(self) -> Logged | None:
        """The version, once there is one."""

    @property
    def id(self) -> str | None:
        """The version's id in the store."""

    @property
    def name(self) -> str:
        """The artifact's name, with its version once there is one."""

    @property
    def type(self) -> str:
        """The artifact's type."""

    @property
    def entity(self) -> str:
        """The entity of the store that it is in, or would be logged to."""

    @property
    def project(self) -> str:
        """The project that it is in, or would be logged to."""

    @property
    def source_version(self) -> str | None:
        """The version in the artifact that it was logged to."""

    @property
    def state(self) -> VersionState:
        """PENDING in a draft."""

    @property
    def incremental(self) -> bool:
        """Whether it is a draft that builds on the version called `latest`."""

    def finalize(self) -> None:
        """Let nothing be added any more."""

    def digest(self) -> str:
        """The W&B digest."""

    def size_bytes(self) -> int:
        """The sum over all files and references; those of unknown size count 0."""

    def entries(self) -> Iterator[tuple[str, FileEntry | ReferenceEntry]]:
        """All files and references by path, in path order. Blocks: on the store."""

    def find(self, path: str) -> FileEntry | ReferenceEntry | None:
        """The file or reference at a path. Raises: InvalidName."""

    def added_as(self, local_path: str) -> str | None:
        """The path of a file that was added as exactly this local path, in a draft."""

    def commit(
        self,
        repository: Repository,
        project: str,
        *,
        aliases: tuple[str, ...],
        run_id: str | None,
        dedupe_all: bool,
    ) -> VersionRecord:
        """Make it a version; see Draft.commit."""


class ArtifactAttributes:
    """What an artifact says of itself; Artifact adds what can be done with it."""

    _state: ArtifactState
    _use_as: str | None

    def __repr__(self) -> str:
        return f"<Artifact {self.name} ({self.type}, {self.state})>"

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        logged = self._state.logged
        if logged is not None:
            return version_html(logged.record)
        count = sum(1 for _ in self._state.entries())
        return draft_html(self.name, self.type, self._state.size_bytes(), count)

    def _draft(self, name: str) -> Draft:
        """The draft, where content can still be added. Raises: ArtifactFinalizedError."""
        draft = self._state.draft
        if draft is not None:
            return draft
        raise ArtifactFinalizedError(
            f"artifact {self.name!r}",
            "Can't add to finalized artifact",
            hint="make a new Artifact of the same name for the next version",
            name=name,
            obj=self,
        )

    def _logged(self, name: str) -> Logged:
        """The version, once there is one. Raises: ArtifactNotLoggedError."""
        logged = self._state.logged
        if logged is not None:
            return logged
        raise ArtifactNotLoggedError(
            f"artifact {self.name!r}",
            f"{name!r} can only be used once it is logged",
            hint="call log_artifact() or save() first",
            name=name,
            obj=self,
        )

    @property
    def id(self) -> str | None:
        """The version's id in the store; None in a draft."""
        return self._state.id

    @property
    def name(self) -> str:
        """The artifact's name; once it is logged, with its version: `mnist:v3`."""
        return self._state.name

    @property
    def qualified_name(self) -> str:
        """`entity/project/name`, with the version once it is logged."""
        return f"{self.entity}/{self.project}/{self.name}"

    @property
    def type(self) -> str:
        """The artifact's type."""
        return self._state.type

    @property
    def entity(self) -> str:
        """The entity that the artifact's store belongs to."""
        return self._state.entity

    @property
    def project(self) -> str:
        """The project that the artifact is in, or in a draft would be logged to now."""
        return self._state.project

    @property
    def version(self) -> str:
        """`v3`. Raises: ArtifactNotLoggedError in a draft."""
        return self._logged("version").record.version

    @property
    def source_version(self) -> str | None:
        """The version in the artifact that it was logged to, even when asked of a portfolio.

        None in a draft.
        """
        return self._state.source_version

    @property
    def aliases(self) -> list[str]:
        """The version's aliases: change the list and call `save`.

        Raises: ArtifactNotLoggedError in a draft.
        """
        return self._logged("aliases").aliases

    @aliases.setter
    def aliases(self, aliases: list[str]) -> None:
        self._logged("aliases").aliases = list(aliases)

    @property
    def state(self) -> str:
        """PENDING while it is a draft, then COMMITTED, and DELETED at the end."""
        return self._state.state.value

    @property
    def digest(self) -> str:
        """The W&B digest: a checksum of the paths and contents. In a draft, reading it finalizes.

        Logging an artifact whose content is that of `latest` makes no new version.
        """
        self._state.finalize()
        return self._state.digest()

    @property
    def commit_hash(self) -> str:
        """The SHA-256 of the version's directory tree, which names all of its content.

        Raises: ArtifactNotLoggedError in a draft.
        """
        return self._logged("commit_hash").record.tree.hex()

    @property
    def size(self) -> int:
        """The total size in bytes, references included as far as their size is known."""
        return self._state.size_bytes()

    @property
    def description(self) -> str | None:
        """Free text; `save` sends a change of a logged artifact."""
        return self._state.description

    @description.setter
    def description(self, description: str | None) -> None:
        self._state.description = description

    @property
    def metadata(self) -> dict[str, Any]:
        """The user's structured data; `save` sends a change of a logged artifact."""
        return self._state.metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Any] | None) -> None:
        self._state.metadata = normalize_metadata(metadata)

    @property
    def tags(self) -> list[str]:
        """Words to find the version by; `save` sends a change of a logged artifact."""
        return self._state.tags

    @tags.setter
    def tags(self, tags: list[str]) -> None:
        self._state.tags = check_tags(tags)

    @property
    def ttl(self) -> timedelta | None:
        """How long the version lives from its creation; None: for ever. `artfs gc` removes it.

        Set a timedelta, None, or `ArtifactTTL.INHERIT` for what the store says of all its
        versions, which is for ever.
        """
        return None if self._state.ttl_s is None else timedelta(seconds=self._state.ttl_s)

    @ttl.setter
    def ttl(self, ttl: Ttl) -> None:
        self._state.ttl_s = ttl_seconds(ttl)

    @property
    def created_at(self) -> str:
        """When the version was made: UTC, as `2026-01-31T23:59:59`.

        Raises: ArtifactNotLoggedError in a draft.
        """
        return time_text(self._logged("created_at").record.created_at_ns)

    @property
    def updated_at(self) -> str:
        """When the version was made: the time of later changes is not kept.

        Raises: ArtifactNotLoggedError in a draft.
        """
        return time_text(self._logged("updated_at").record.created_at_ns)

    @property
    def file_count(self) -> int:
        """How many files and references the version has.

        Raises: ArtifactNotLoggedError in a draft.
        """
        return self._logged("file_count").record.file_count

    @property
    def url(self) -> str:
        """A name for the version that is spelled like an address; no web page is there.

        Raises: ArtifactNotLoggedError in a draft.
        """
        record = self._logged("url").record
        return (
            f"{URL_SCHEME}://{self.entity}/{record.project}/artifacts/"
            f"{record.type}/{record.name}/{record.version}"
        )

    @property
    def history_step(self) -> None:
        """None: there is no history that a version could be a step of.

        Raises: ArtifactNotLoggedError in a draft.
        """
        self._logged("history_step")

    @property
    def distributed_id(self) -> None:
        """None: what several processes make together is a draft of one of them."""

    @property
    def digest_algorithm(self) -> str:
        """ "MD5": how W&B's digests are computed here."""
        return "MD5"

    def is_draft(self) -> bool:
        """Whether it is a draft still."""
        return self._state.logged is None

    # --- where it was made -----------------------------------------------------------------

    @property
    def is_link(self) -> bool:
        """Whether it was asked of a portfolio that it is linked to."""
        logged = self._state.logged
        return logged is not None and logged.is_link

    @property
    def source_entity(self) -> str:
        """The entity of the artifact that it was logged to.

        Raises: ArtifactNotLoggedError in a draft.
        """
        self._logged("source_entity")
        return self.entity

    @property
    def source_project(self) -> str:
        """The project of the artifact that it was logged to.

        Raises: ArtifactNotLoggedError in a draft.
        """
        return self._logged("source_project").record.source_project

    @property
    def source_name(self) -> str:
        """The name of the artifact that it was logged to, once it is logged with the version."""
        logged = self._state.logged
        if logged is None:
            return self.name
        return f"{logged.record.source_name}:v{logged.record.source_index}"

    @property
    def source_qualified_name(self) -> str:
        """`entity/project/name:v3` of the artifact that it was logged to.

        Raises: ArtifactNotLoggedError in a draft.
        """
        return f"{self.source_entity}/{self.source_project}/{self.source_name}"

    @property
    def use_as(self) -> str | None:
        """The name under which the current run uses this artifact."""
        return self._use_as

    @property
    def incremental(self) -> bool:
        """Whether a draft builds on the version called `latest`."""
        return self._state.incremental

    def json_encode(self) -> dict[str, Any]:
        """The JSON value that stands for the artifact in a run's config or history.

        Raises: ArtifactNotLoggedError in a draft.
        """
        record = self._logged("json_encode").record
        return {
            "_type": "artifactVersion",
            "_version": "v0",
            "id": record.id,
            "version": f"v{record.source_index}",
            "sequenceName": record.source_name,
            "usedAs": self._use_as,
        }
