"""Targets: what people write to name a project, an artifact, a version or a path in one. No I/O.

The one grammar of the command line and of the SDK:

    [[ENTITY/]PROJECT/]NAME[:VERSION][/PATH]      as W&B writes it, and a path behind it
    [ENTITY/]PROJECT/NAME/VERSION[/PATH]          as the mount of a store shows it
    PROJECT                                       where a project can be meant

VERSION is an alias, `vN` or a W&B digest. A slash at the end says nothing.
"""

from __future__ import annotations

import msgspec

from artfs.errors import InvalidName
from artfs.model import check_alias, check_name, is_wandb_digest, split_entry_path, version_index

_HINT = "write [[entity/]project/]name[:alias|vN|digest]"


class ArtifactPath(msgspec.Struct, frozen=True):
    """What names an artifact, a version or a path in one; parts that it left out are None.

    `selector` is an alias, `vN` or a W&B digest of 32 hexadecimal digits.
    """

    entity: str | None
    project: str | None
    name: str
    selector: str | None
    path: str = ""
    """Inside the version; empty for its root."""

    def __str__(self) -> str:
        names = "/".join(part for part in (self.entity, self.project, self.name) if part)
        version = f"{names}:{self.selector}" if self.selector else names
        return f"{version}/{self.path}" if self.path else version


class Target(msgspec.Struct, frozen=True):
    """What a command that lists or mounts was asked for; all None: the whole store."""

    project: str | None = None
    name: str | None = None
    selector: str | None = None
    path: str = ""
    """Inside the version; empty for its root."""

    def __str__(self) -> str:
        if self.project is None or self.name is None:
            return self.project or ""
        return str(ArtifactPath(None, self.project, self.name, self.selector, self.path))


def parse_artifact_path(text: str, *, entity: str | None = None) -> ArtifactPath:
    """Read what names an artifact, a version or a path in one.

    `entity` is whose store it is for: of three parts without a version the first one is an entity
    only if it is this one. None: it always is, as in W&B.
    Raises: InvalidName.
    """
    return readings(text, entity=entity)[0]


def readings(text: str, *, entity: str | None = None) -> list[ArtifactPath]:
    """All that a text may mean, the likeliest first. Raises: InvalidName."""
    found: list[ArtifactPath] = []
    failure: InvalidName | None = None
    for split in (_with_colon, _with_entity, _as_path):
        try:
            reading = split(text, entity)
            if reading is not None:
                found.append(_checked(reading))
        except InvalidName as error:
            failure = failure or error
    if not found:
        raise failure or InvalidName(text, "not an artifact path", hint=_HINT)
    return found


def project_of(text: str) -> str | None:
    """The project, where a text names one and nothing in it. Raises: InvalidName."""
    word = text.removesuffix("/")
    if "/" in word or ":" in word:
        return None
    return check_name(word, kind="project")


def _with_colon(text: str, _entity: str | None) -> ArtifactPath | None:
    """`[[entity/]project/]name:selector[/path]`."""
    names, colon, rest = text.partition(":")
    parts = names.split("/")
    if not colon or len(parts) > 3:
        return None
    selector, _, path = rest.partition("/")
    if not selector:
        raise InvalidName(text, "not an artifact path", hint=_HINT)
    return _path(parts, selector, path)


def _with_entity(text: str, entity: str | None) -> ArtifactPath | None:
    """`[[entity/]project/]name`, and with this store's own entity what a mount shows."""
    parts = text.removesuffix("/").split("/")
    if ":" in "/".join(parts[:3]):
        return None
    is_own = entity is not None and parts[0] == entity
    if len(parts) > 3 and is_own:
        return _path(parts[:3], parts[3], "/".join(parts[4:]))
    if len(parts) > 3 or (len(parts) == 3 and not is_own and entity is not None):
        return None
    return _path(parts, None, "")


def _as_path(text: str, entity: str | None) -> ArtifactPath | None:
    """`project/name/version[/path]`, as the mount of a store shows it."""
    parts = text.removesuffix("/").split("/")
    if len(parts) < 3 or ":" in "/".join(parts[:3]) or entity is None:
        return None
    if not parts[2]:
        raise InvalidName(text, "not an artifact path", hint=_HINT)
    return _path(parts[:2], parts[2], "/".join(parts[3:]))


def _path(names: list[str], selector: str | None, path: str) -> ArtifactPath:
    entity = names[-3] if len(names) > 2 else None
    project = names[-2] if len(names) > 1 else None
    return ArtifactPath(entity, project, names[-1], selector, path.removesuffix("/"))


def _checked(read: ArtifactPath) -> ArtifactPath:
    """Raises: InvalidName."""
    check_name(read.name, kind="artifact")
    if read.project is not None:
        check_name(read.project, kind="project")
    if read.entity is not None:
        check_name(read.entity, kind="entity")
    selector = read.selector
    if selector and version_index(selector) is None and not is_wandb_digest(selector):
        check_alias(selector)
    if read.path and not _is_pattern(read.path):
        split_entry_path(read.path)
    return read


def _is_pattern(path: str) -> bool:
    """Whether a path may match several: what it says is looked at where it is matched."""
    return any(character in path for character in "*?[")
