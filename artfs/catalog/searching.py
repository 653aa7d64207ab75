"""Searching versions in SQL: the database leaves out what cannot be meant, queries.py decides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exc,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    text,
    true,
)

from artfs.catalog import searchindex
from artfs.catalog.blob_port import OnDamage
from artfs.catalog.bulk import among
from artfs.catalog.queries import NAMES, NUMBERS, Found, Operator, Search, Term, filtered
from artfs.catalog.records import VersionRecord
from artfs.catalog.rows import list_linked
from artfs.catalog.schema import aliases, artifacts, links, projects, tags, versions

_PAGE = 1000
_FEW = 200
_MANY = 5000
_OF_COLUMNS = frozenset((*NAMES, *NUMBERS))
_OF_ARTIFACTS = frozenset(("name", "project", "type"))
_PLAIN = re.compile(r"[A-Za-z0-9_ /-]+")
_NUMERIC = {"size": versions.c.size_bytes, "files": versions.c.file_count} | {
    "created": versions.c.created_at_ns
}
_LIKE_THIS = re.compile(r"[^\x20-\x7e]|[\"\\:/]")
"""Text that is written otherwise in JSON, or spans what stands in several columns."""


def search(connection: Connection, wanted: Search, on_damage: OnDamage | None) -> Found:
    """What Catalog.search says."""
    scope = _scope(connection, wanted)
    simple = [each for term in wanted.terms if (each := _condition(term)) is not None]
    inside = [
        each
        for term in wanted.terms
        if (each := _inside(term, connection.dialect.name)) is not None
    ]
    if wanted.artifact_id is None and not _is_led(wanted):
        with suppress(ValueError, TypeError):
            # Other rows than artfs writes: everything is looked through, as without an index.
            keys = searchindex.candidates(connection, wanted.terms)
            if keys is not None:
                # What text is left is decided by more than the database knows.
                simple = [
                    each
                    for term in wanted.terms
                    if term.field in _OF_COLUMNS and (each := _condition(term)) is not None
                ]
                return filtered(
                    _named_by_index(connection, keys, scope, [*scope, *simple], on_damage), wanted
                )
    try:
        with connection.begin_nested():
            return _search(connection, wanted, scope, [*scope, *simple, *inside], on_damage)
    except exc.DBAPIError:
        if not inside:
            raise
        # Metadata of some row is no JSON that this database takes.
        return _search(connection, wanted, scope, [*scope, *simple], on_damage)


def _search(
    connection: Connection,
    wanted: Search,
    scope: list[ColumnElement[bool]],
    conditions: list[ColumnElement[bool]],
    on_damage: OnDamage | None,
) -> Found:
    return filtered(_looked_through(connection, scope, conditions, on_damage), wanted)


def _named_by_index(
    connection: Connection,
    keys: Iterator[searchindex.Key],
    scope: list[ColumnElement[bool]],
    conditions: list[ColumnElement[bool]],
    on_damage: OnDamage | None,
) -> Iterator[VersionRecord]:
    """Those of some versions that the conditions allow, in their order."""
    size = _FEW
    while ids := [version_id for _, version_id in islice(keys, size)]:
        left = set()
        for some in among(connection, versions.c.id, ids):
            left |= set(connection.scalars(_ids(versions.c.id).where(some, *conditions)))
        ids = [each for each in ids if each in left]
        records = list_linked(connection, ids, scope, on_damage)
        yield from (records[each] for each in ids if each in records)
        size = _PAGE


def _ids(*columns: ColumnElement[Any]) -> Select[Any]:
    return (
        select(*columns)
        .select_from(versions)
        .join(links, versions.c.id == links.c.version_id)
        .join(artifacts, artifacts.c.id == links.c.artifact_id)
        .join(projects, projects.c.id == artifacts.c.project_id)
    )


def _looked_through(
    connection: Connection,
    scope: list[ColumnElement[bool]],
    conditions: list[ColumnElement[bool]],
    on_damage: OnDamage | None,
) -> Iterator[VersionRecord]:
    """Versions newest first, page by page."""
    after: tuple[int, str] | None = None
    columns = (versions.c.created_at_ns, versions.c.id)
    is_everywhere = len(scope) > 1
    query = select(*columns) if is_everywhere else _ids(*columns)
    while True:
        more = list(conditions)
        if after is not None:
            at, version_id = after
            more.append(
                or_(
                    versions.c.created_at_ns < at,
                    and_(versions.c.created_at_ns == at, versions.c.id > version_id),
                )
            )
        keys = connection.execute(
            query.where(_everywhere(more) if is_everywhere else and_(true(), *more))
            .order_by(versions.c.created_at_ns.desc(), versions.c.id)
            .limit(_PAGE)
        ).all()
        if not keys:
            return
        ids = [key[1] for key in keys]
        records = list_linked(connection, ids, scope, on_damage)
        yield from (records[each] for each in ids if each in records)
        if len(keys) < _PAGE:
            return
        after = (keys[-1][0], keys[-1][1])


def _everywhere(conditions: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Conditions that let databases begin with the newest version, where most are looked at."""
    return exists(
        select(links.c.version_id)
        .join(artifacts, artifacts.c.id == links.c.artifact_id)
        .join(projects, projects.c.id == artifacts.c.project_id)
        .where(links.c.version_id == versions.c.id, *conditions)
        .correlate(versions)
    )


def _scope(connection: Connection, wanted: Search) -> list[ColumnElement[bool]]:
    """Where is searched: artifacts by their numbers, where few are meant.

    Nothing tells SQLite that these are few, and it would begin with all versions.
    """
    if wanted.artifact_id is not None:
        return [links.c.artifact_id == wanted.artifact_id]
    conditions = [artifacts.c.is_portfolio == false(), artifacts.c.deleted_at_ns.is_(None)]
    if wanted.projects is not None:
        conditions.append(projects.c.name.in_(wanted.projects))
    named = [term for term in wanted.terms if term.field in _OF_ARTIFACTS]
    conditions += [each for term in named if (each := _condition(term)) is not None]
    ids = connection.scalars(
        select(artifacts.c.id)
        .join(projects, projects.c.id == artifacts.c.project_id)
        .where(*conditions)
        .limit(_MANY + 1)
    ).all()
    if len(ids) <= _FEW:
        return [links.c.artifact_id.in_(ids)]
    if _is_led(wanted) and len(ids) <= _MANY:
        # Few versions have the label: each is looked at, and no artifact's are gone through.
        return [(links.c.artifact_id + 0).in_(ids)]
    return conditions


def _is_led(wanted: Search) -> bool:
    return any(
        term.field in {"tag", "alias"} and not term.negated and _condition(term) is not None
        for term in wanted.terms
    )


def _condition(term: Term) -> ColumnElement[bool] | None:
    """What narrows by columns; None for what only a look at the version can tell."""
    if term.field in NAMES:
        is_exact = term.operator is Operator.IS and not set("*?") & set(term.text)
        if not is_exact:
            return None
        condition = _named(term)
        return not_(condition) if term.negated else condition
    if term.negated:
        return None
    if term.field in _NUMERIC:
        return _numeric(term)
    if term.field == "description":
        return _has(versions.c.description, term.text)
    return _anywhere(term.text) if term.field == "text" else None


def _named(term: Term) -> ColumnElement[bool]:
    if term.field == "tag":
        return versions.c.id.in_(select(tags.c.version_id).where(tags.c.name == term.text))
    if term.field == "alias":
        # Led by the alias: of `latest` there is one for each artifact, however many versions.
        led = versions.c.id.in_(select(aliases.c.version_id).where(aliases.c.name == term.text))
        own = exists().where(
            aliases.c.name == term.text,
            aliases.c.artifact_id == links.c.artifact_id,
            aliases.c.version_id == versions.c.id,
        )
        return and_(led, own)
    column: ColumnElement[str] = {
        "name": artifacts.c.name,
        "project": projects.c.name,
        "type": artifacts.c.type,
    }[term.field]
    return column == term.text


def _numeric(term: Term) -> ColumnElement[bool] | None:
    column: ColumnElement[int] = _NUMERIC[term.field]
    if not isinstance(term.value, int | float) or abs(term.value) >= 2**63:
        return None
    value = literal(term.value)
    return {
        Operator.IS: column == value,
        Operator.GREATER: column > value,
        Operator.AT_LEAST: column >= value,
        Operator.LESS: column < value,
        Operator.AT_MOST: column <= value,
    }.get(term.operator)


def _has(column: ColumnElement[Any], needle: str) -> ColumnElement[bool] | None:
    if not needle.isascii():
        # What is the same in upper case, databases do not agree on.
        return None
    return column.icontains(needle, autoescape=True)


def _anywhere(needle: str) -> ColumnElement[bool] | None:
    if _LIKE_THIS.search(needle):
        return None
    columns = (projects.c.name, artifacts.c.name, versions.c.description, versions.c.metadata)
    within = [column.icontains(needle, autoescape=True) for column in columns]
    within.append(
        exists().where(
            tags.c.version_id == versions.c.id, tags.c.name.icontains(needle, autoescape=True)
        )
    )
    within.append(
        exists().where(
            aliases.c.artifact_id == links.c.artifact_id,
            aliases.c.version_id == links.c.version_id,
            aliases.c.name.icontains(needle, autoescape=True),
        )
    )
    if re.fullmatch(r"v\d*|\d+", needle.lower()):
        # It may be a version's number.
        within.append(true())
    return or_(*within)


def _inside(term: Term, dialect: str) -> ColumnElement[bool] | None:
    """What narrows by metadata, whose values the database looks up where keys are plain."""
    if term.field != "metadata" or term.negated or not term.path:
        return None
    column = versions.c.metadata
    # A key may have dots in it, and then it is none of several.
    dotted = [
        column.contains(json.dumps(f"{left}.{right}")[1:-1], autoescape=True)
        for left, right in zip(term.path, term.path[1:], strict=False)
    ]
    if not all(_PLAIN.fullmatch(part) for part in term.path):
        return or_(column.contains(json.dumps(term.path[-1])[1:-1], autoescape=True), *dotted)
    path = "$" + "".join(f'."{part}"' for part in term.path)
    looked = _in_postgresql(term, path) if dialect == "postgresql" else _in_sqlite(term, path)
    return and_(or_(looked, *dotted), *_written(term))


def _written(term: Term) -> list[ColumnElement[bool]]:
    """Text that stands in the metadata in one way only, whatever the value of a term is."""
    parts = re.split(r"[*?]", term.text) if term.operator is Operator.IS else [term.text]
    is_text = term.operator is Operator.IS and isinstance(term.value, str)
    if not is_text and term.operator is not Operator.CONTAINS:
        return []
    plain = [part for part in map(str.strip, parts) if _PLAIN.fullmatch(part)]
    return [versions.c.metadata.icontains(part, autoescape=True) for part in plain]


_COMPARISONS = frozenset((Operator.GREATER, Operator.AT_LEAST, Operator.LESS, Operator.AT_MOST))


def _is_numeric(term: Term) -> bool:
    value = term.value
    return term.operator in _COMPARISONS and isinstance(value, int | float) and abs(value) < 2**53


def _in_sqlite(term: Term, path: str) -> ColumnElement[bool]:
    column = versions.c.metadata
    condition: ColumnElement[bool] = func.json_type(column, path).is_not(None)
    if _is_numeric(term):
        found = func.json_extract(column, path)
        compared = found.op(term.operator.value)(literal(term.value))
        condition = and_(func.json_type(column, path).in_(("integer", "real")), compared)
    return case((func.json_valid(column) == 1, condition), else_=true())


def _in_postgresql(term: Term, path: str) -> ColumnElement[bool]:
    if _is_numeric(term):
        path = f"{path} ? (@ {term.operator.value} {json.dumps(term.value)})"
    column = versions.c.metadata
    looked = func.jsonb_path_exists(
        column.op("::")(text("jsonb")), literal(path).op("::")(text("jsonpath"))
    )
    # Python writes numbers that JSON does not have.
    odd = or_(column.contains("NaN"), column.contains("Infinity"), column.contains("\\u0000"))
    return case((odd, true()), else_=looked)
