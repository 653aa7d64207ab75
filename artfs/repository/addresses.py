"""What an address `artfs://PROJECT/NAME:VERSION/PATH` names.

The same place has a path form, as a mount shows it: `PROJECT/NAME/VERSION/PATH`. Listings tell
places in that form below `PROJECT/NAME`, for there a colon would be no level of its own.
"""

from __future__ import annotations

import msgspec

from artfs.errors import InvalidName
from artfs.model import check_name
from artfs.targets import ArtifactPath, parse_artifact_path

_URL_MARK = "artifacts"
"""The third part of `Artifact.url`: `ENTITY/PROJECT/artifacts/TYPE/NAME/VERSION`."""


class Address(msgspec.Struct, frozen=True):
    """A place in a store; parts that are None are below it."""

    project: str | None = None
    name: str | None = None
    selector: str | None = None
    path: str = ""
    """In the version; empty for its root."""

    @property
    def version(self) -> ArtifactPath:
        """Which version it is in. There must be one."""
        assert self.name is not None
        assert self.selector is not None
        return ArtifactPath(None, self.project, self.name, self.selector)


def plain(text: str) -> str:
    """An address without empty parts, and without slashes around it."""
    return "/".join(part for part in text.split("/") if part)


def parse_address(text: str, *, entity: str, project: str) -> Address:
    """Read a plain address without its scheme.

    `entity` is that of the store, and may stand before everything where a version follows;
    `project` that of `NAME:VERSION`, which mentions none. Raises: InvalidName.
    """
    parts = text.split("/") if text else []
    if not parts:
        return Address()
    if parts[0] == entity and len(parts) > 2:
        if ":" in parts[2]:
            return _version("/".join(parts[:3]), parts[3:], project)
        if parts[2] == _URL_MARK and len(parts) > 5:
            return _named(parts[1], parts[4], parts[5], parts[6:])
    if ":" in parts[0]:
        return _version(parts[0], parts[1:], project)
    if len(parts) > 1 and ":" in parts[1]:
        return _version("/".join(parts[:2]), parts[2:], project)
    return _named(parts[0], _at(parts, 1), _at(parts, 2), parts[3:])


def _at(parts: list[str], index: int) -> str | None:
    return parts[index] if len(parts) > index else None


def _named(project: str, name: str | None, selector: str | None, inside: list[str]) -> Address:
    check_name(project, kind="project")
    if name is not None:
        check_name(name, kind="artifact")
    return Address(project, name, selector, "/".join(inside))


def _version(text: str, inside: list[str], project: str) -> Address:
    parsed = parse_artifact_path(text)
    if parsed.selector is None:
        raise InvalidName(text, "names no version", hint="write PROJECT/NAME:VERSION")
    return Address(parsed.project or project, parsed.name, parsed.selector, "/".join(inside))
