"""One request for a page: the store, who asks, and what the address names."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse

from artfs.catalog.records import ArtifactRecord, VersionRecord
from artfs.errors import ArtifactNotFound, InvalidArgument
from artfs.model import check_alias, check_name, is_wandb_digest, version_index
from artfs.repository.facade import Repository
from artfs.web.guard import Visitor, require_read
from artfs.web.rendering import page

_MAX_NUMBER = 10**9


class Asked(msgspec.Struct, frozen=True):
    """What every page is made from."""

    repository: Repository
    visitor: Visitor
    request: Request

    def page(self, template: str, **values: Any) -> HTMLResponse:
        """A page of a template, for this visitor."""
        return page(self.request, template, visitor=self.visitor, **values)

    def part(self, name: str) -> str:
        """A part of the address's path."""
        value: str = self.request.path_params[name]
        return value

    def text(self, name: str) -> str:
        """A value of the query; empty where it is not given."""
        return self.request.query_params.get(name, "").replace("\0", "").strip()[:1000]

    def number(self, name: str, default: int) -> int:
        """A count in the query. Raises: InvalidArgument."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdecimal()) or int(text[:12]) > _MAX_NUMBER:
            raise InvalidArgument(name, f"{text[:40]!r} is no number")
        return int(text)

    def project(self) -> str:
        """The project that the address names, if it may be seen.

        Raises: InvalidName, ArtifactNotFound.
        """
        project = check_name(self.part("project"), kind="project")
        require_read(self.visitor.access, project, ArtifactNotFound)
        return project

    def artifact(self) -> ArtifactRecord:
        """The artifact that the address names. Raises: InvalidName, ArtifactNotFound."""
        project = self.project()
        name = check_name(self.part("name"), kind="artifact")
        return self.repository.catalog.artifact(project, name)

    def version(self, selector: str | None = None) -> VersionRecord:
        """The version that the address names.

        Raises: InvalidName, ArtifactNotFound, VersionNotFound, AliasNotFound.
        """
        project = self.project()
        name = check_name(self.part("name"), kind="artifact")
        chosen = selector or self.part("selector")
        if version_index(chosen) is None and not is_wandb_digest(chosen):
            check_alias(chosen)
        return self.repository.catalog.version(project, name, chosen)

    def may_write(self, version: VersionRecord) -> bool:
        """Whether forms that change a version are shown."""
        access = self.visitor.access
        return not (
            access.read_only
            or access.key.read_only
            or self.repository.is_server
            or not access.reads(version.source_project)
        )
