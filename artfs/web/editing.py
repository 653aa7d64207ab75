"""Forms that change what is mutable of a version: aliases, tags, description, time to live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from artfs.catalog.records import VersionRecord, VersionUpdate
from artfs.errors import InvalidArgument, ReadOnly
from artfs.model import check_alias
from artfs.sdk.metadata import check_tags
from artfs.web.addresses import version_url
from artfs.web.context import Asked
from artfs.web.guard import require_proof
from artfs.web.rendering import SAFE_HEADERS

_MAX_DESCRIPTION_CHARS = 100_000
_MAX_TAGS = 1000
_DAY_S = 86_400
_MAX_DAYS = 36_500

Form = Mapping[str, str]


def edit(asked: Asked, form: Form) -> Response:
    """Change a version as a form says, and lead back to it.

    Raises: PermissionDenied, ReadOnly, InvalidName, InvalidArgument, and as
    Catalog.update_version does.
    """
    require_proof(asked.visitor, form.get("proof", ""))
    version = asked.version()
    # Both: where it was made, and the portfolio whose aliases they may be.
    for project in {version.source_project, version.project}:
        asked.visitor.access.require_write(project)
    if asked.repository.is_server:
        raise ReadOnly(version.path, "a W&B server is only read here")
    action = form.get("action", "")
    made = _ACTIONS.get(action)
    if made is None:
        raise InvalidArgument(f"action {action[:40]!r}", "is not known")
    portfolio = (version.project, version.name) if version.is_linked else None
    asked.repository.catalog.update_version(version.id, made(version, form), portfolio=portfolio)
    return RedirectResponse(version_url(version), 303, SAFE_HEADERS)


def _describe(_version: VersionRecord, form: Form) -> VersionUpdate:
    # Browsers send the ends of lines as the network has them.
    text = form.get("description", "").replace("\r\n", "\n").strip()
    if "\0" in text:
        raise InvalidArgument("description", "has NUL in it")
    if len(text) > _MAX_DESCRIPTION_CHARS:
        raise InvalidArgument("description", f"has more than {_MAX_DESCRIPTION_CHARS} characters")
    return VersionUpdate(description=text or None)


def _tag(_version: VersionRecord, form: Form) -> VersionUpdate:
    given = [each.strip() for each in form.get("tags", "").split(",")]
    tags = check_tags(each for each in given if each)
    if len(tags) > _MAX_TAGS:
        raise InvalidArgument("tags", f"are more than {_MAX_TAGS}")
    return VersionUpdate(tags=tuple(tags))


def _add_alias(_version: VersionRecord, form: Form) -> VersionUpdate:
    return VersionUpdate(add_aliases=(check_alias(form.get("alias", "").strip()),))


def _remove_alias(_version: VersionRecord, form: Form) -> VersionUpdate:
    return VersionUpdate(remove_aliases=(form.get("alias", ""),))


def _limit(_version: VersionRecord, form: Form) -> VersionUpdate:
    text = form.get("days", "").strip()
    if not text:
        return VersionUpdate(ttl_s=None)
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 1 / _DAY_S <= days <= _MAX_DAYS:
        raise InvalidArgument(
            f"days {text[:20]!r}",
            "is no time to live",
            hint=f"write 1 to {_MAX_DAYS}, or nothing",
        )
    return VersionUpdate(ttl_s=int(days * _DAY_S))


_ACTIONS: dict[str, Callable[[VersionRecord, Form], VersionUpdate]] = {
    "description": _describe,
    "tags": _tag,
    "add-alias": _add_alias,
    "remove-alias": _remove_alias,
    "ttl": _limit,
}


def shown_days(ttl_s: int | None) -> str:
    """A time to live as the form has it."""
    if ttl_s is None:
        return ""
    days: Any = ttl_s / _DAY_S
    return f"{days:g}" if days != int(days) else str(int(days))
