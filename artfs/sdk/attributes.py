"""The attributes of an artifact, while it is built and once it is logged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from artfs.errors import ArtifactFinalizedError, ArtifactNotLoggedError
from artfs.model import VersionState
from artfs.sdk.draft import Draft
from artfs.sdk.logged import Logged
from artfs.sdk.metadata import Ttl, check_tags, normalize_metadata, ttl_seconds
from artfs.sdk.session import current_run
from artfs.settings import default_entity, default_project

DEFAULT_PROJECT = "uncategorized"


class ArtifactAttributes:
    """What an artifact says of itself; Artifact adds what can be done with it."""

    _state: Draft | Logged
    _use_as: str | None

    def __repr__(self) -> str:
        return f"<Artifact {self.name} ({self.type}, {self.state})>"

    def _draft(self, name: str) -> Draft:
        """The draft, where content can still be added. Raises: ArtifactFinalizedError."""
        if isinstance(self._state, Draft) and not self._state.is_final:
            return self._state
        raise ArtifactFinalizedError(
            f"artifact {self.name!r}",
            "Can't add to finalized artifact",
            hint="make a new Artifact of the same name for the next version",
            name=name,
            obj=self,
        )

    def _logged(self, name: str) -> Logged:
        """The version, once there is one. Raises: ArtifactNotLoggedError."""
        if isinstance(self._state, Logged):
            return self._state
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
        return self._state.record.id if isinstance(self._state, Logged) else None

    @property
    def name(self) -> str:
        """The artifact's name; once it is logged, with its version: `mnist:v3`."""
        if isinstance(self._state, Logged):
            return f"{self._state.record.name}:{self._state.record.version}"
        return self._state.name

    @property
    def qualified_name(self) -> str:
        """`entity/project/name`, with the version once it is logged."""
        return f"{self.entity}/{self.project}/{self.name}"

    @property
    def type(self) -> str:
        """The artifact's type."""
        return self._state.record.type if isinstance(self._state, Logged) else self._state.type

    @property
    def entity(self) -> str:
        """The entity that the artifact's store belongs to."""
        if isinstance(self._state, Logged):
            return self._state.repository.info.entity
        run = current_run()
        return default_entity() if run is None else run.entity

    @property
    def project(self) -> str:
        """The project that the artifact is in, or in a draft would be logged to now."""
        if isinstance(self._state, Logged):
            return self._state.record.project
        run = current_run()
        return (default_project() or DEFAULT_PROJECT) if run is None else run.project

    @property
    def version(self) -> str:
        """`v3`. Raises: ArtifactNotLoggedError in a draft."""
        return self._logged("version").record.version

    @property
    def source_version(self) -> str | None:
        """The version in the artifact that it was logged to, even when asked of a portfolio.

        None in a draft.
        """
        if isinstance(self._state, Logged):
            return f"v{self._state.record.source_index}"
        return None

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
        if isinstance(self._state, Logged):
            return self._state.record.state.value
        return VersionState.PENDING.value

    @property
    def digest(self) -> str:
        """The W&B digest: a checksum of the paths and contents. In a draft, reading it finalizes.

        Logging an artifact whose content is that of `latest` makes no new version.
        """
        if isinstance(self._state, Logged):
            return self._state.record.digest
        self._state.is_final = True
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
        if isinstance(self._state, Logged):
            return self._state.record.size_bytes
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
    def use_as(self) -> str | None:
        """The name under which the current run uses this artifact."""
        return self._use_as

    @property
    def incremental(self) -> bool:
        """Whether a draft builds on the version called `latest`."""
        return isinstance(self._state, Draft) and self._state.incremental

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
