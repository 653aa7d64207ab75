"""The page that compares two versions: files, counts, bytes, metadata."""

from __future__ import annotations

from itertools import islice

import msgspec
from starlette.responses import Response

from artfs.catalog.records import VersionRecord
from artfs.errors import ArtifactNotFound
from artfs.manifest.diff import Change, ChangeKind, diff_trees
from artfs.manifest.entries import LeafEntry, SymlinkEntry
from artfs.web.addresses import files_url
from artfs.web.context import Asked
from artfs.web.guard import require_read
from artfs.web.metadata import flat

CHANGES_SHOWN = 500
CHANGES_COUNTED = 100_000
_KEYS = 500
_CHOICES = 200


class Count(msgspec.Struct, frozen=True):
    """How much changed in one way."""

    kind: str
    files: int
    size_bytes: int
    """Of what is there afterwards, or was before."""


class Line(msgspec.Struct, frozen=True):
    """A file that differs."""

    kind: str
    path: str
    before: int | None
    after: int | None
    url: str


class Pair(msgspec.Struct, frozen=True):
    """A value of the metadata that differs."""

    key: str
    before: str | None
    after: str | None


def compare_page(asked: Asked) -> Response:
    """What changed from another version to this one; without another one, from the one before."""
    after = asked.version()
    choices = _choices(asked, after)
    before = _other(asked, after, choices)
    values: dict[str, object] = {"version": after, "before": before, "choices": choices}
    if before is None:
        return asked.page("compare.html", **values, counts=[], lines=[], pairs=[], is_cut=False)
    load = asked.repository.directory
    changes = list(islice(diff_trees(load, before.tree, after.tree), CHANGES_COUNTED + 1))
    return asked.page(
        "compare.html",
        **values,
        counts=_counts(changes[:CHANGES_COUNTED]),
        lines=[_line(each, before, after) for each in changes[:CHANGES_SHOWN]],
        is_cut=len(changes) > CHANGES_COUNTED,
        pairs=_pairs(before, after),
    )


def _choices(asked: Asked, version: VersionRecord) -> list[VersionRecord]:
    """Versions of the same artifact to compare with, newest first."""
    catalog = asked.repository.catalog
    artifact = catalog.artifact(version.project, version.name)
    found = catalog.versions(artifact.id, limit=_CHOICES, on_damage=lambda _error: None)
    return [each for each in found if each.index != version.index]


def _other(
    asked: Asked, version: VersionRecord, choices: list[VersionRecord]
) -> VersionRecord | None:
    """The version that is asked for, of whatever artifact.

    Raises: InvalidName, ArtifactNotFound, VersionNotFound, AliasNotFound.
    """
    wanted = asked.text("with")
    if not wanted:
        older = (each for each in choices if each.index < version.index)
        return next(older, choices[0] if choices else None)
    if "/" not in wanted and ":" not in wanted:
        wanted = f"{version.name}:{wanted}"
    parsed = asked.repository.parse(wanted, project=version.project)
    assert parsed.project is not None
    require_read(asked.visitor.access, parsed.project, ArtifactNotFound)
    return asked.repository.resolve(parsed)


def _counts(changes: list[Change]) -> list[Count]:
    found = []
    for kind in ChangeKind:
        of_kind = [each for each in changes if each.kind is kind]
        sizes = [_size(each.after or each.before) or 0 for each in of_kind]
        found.append(Count(kind.value, len(of_kind), sum(sizes)))
    return found


def _size(entry: LeafEntry | None) -> int | None:
    return None if entry is None or isinstance(entry, SymlinkEntry) else entry.size_bytes


def _line(change: Change, before: VersionRecord, after: VersionRecord) -> Line:
    version = before if change.after is None else after
    return Line(
        change.kind.value,
        change.path,
        _size(change.before),
        _size(change.after),
        files_url(version, change.path),
    )


def _pairs(before: VersionRecord, after: VersionRecord) -> list[Pair]:
    old, new = flat(before.metadata, limit=_KEYS), flat(after.metadata, limit=_KEYS)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [Pair(key, old.get(key), new.get(key)) for key in sorted(keys)]
