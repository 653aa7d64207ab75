"""What holds of a store whatever was done to it: docs/semantics.md, as far as a look can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial

from sqlalchemy import select

from artfs.catalog.schema import LATEST, aliases, artifacts, links, versions
from artfs.catalog.sql import SqlCatalog
from artfs.content.base import read_blocks
from artfs.errors import ArtfsError
from artfs.manifest.entries import FileEntry
from artfs.manifest.tree import walk
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.staging.area import Area, drop_area
from artfs.staging.commit import commit_area
from artfs.staging.listing import staging_areas
from artfs.upkeep.doctor import Severity, examine
from artfs.upkeep.gc import collect
from artfs.upkeep.verify import reading_anew, verify
from tests.hunt.programs import HOSTS, tree
from tests.hunt.told import Told
from tests.unit.staging.areafs import AreaFs

Become = Callable[[int], None]
"""Lets this process be one of a host, by its number."""
_ContentOf = Callable[[str], dict[str, bytes]]
"""What a version holds, by its id."""


def look(store: str, told: Told, become: Become, *, is_copy: bool = False) -> list[str]:
    """Which promises a store does not keep."""
    with open_store(store) as repository:
        content = cache(partial(_content, repository))
        found = [*_damages(repository), *_names(repository, told, is_copy=is_copy)]
        found += _contents(repository, told, content)
        if not is_copy:
            found += _told(repository, told, content)
            for host in _hosts(repository, become):
                found += _areas(repository, told, host)
        return found


def _hosts(repository: Repository, become: Become) -> Iterator[int | None]:
    """Those that have staging areas of their own, one after the other; None for a store's own."""
    if repository.info.root is not None:
        yield None
        return
    for host in range(HOSTS):
        become(host)
        yield host


def settle(store: str, told: Told, become: Become, lapse: Callable[[], None]) -> list[str]:
    """The same once all areas are committed and everything that nothing needs is gone."""
    found: list[str] = []
    with open_store(store) as repository:
        for _ in _hosts(repository, become):
            found += _commit_areas(repository, told)
    found += look(store, told, become)
    lapse()
    with open_store(store) as repository:
        found += _areas_once(repository)
        # What the first one finds of killed processes is free for the second one.
        for _ in range(2):
            collect(repository, grace_s=0)
        found += [
            f"doctor after gc: {each.kind}: {each.text}"
            for each in examine(repository)
            # The old catalog is for whoever made the new one to remove.
            if each.kind != "catalog-aside"
        ]
    return found + look(store, told, become)


def _damages(repository: Repository) -> Iterator[str]:
    for finding in examine(repository):
        if finding.severity is Severity.DAMAGE:
            yield f"doctor: {finding.kind}: {finding.text} {finding.names[:3]}"
    live = [version for version, _ in repository.catalog.live_trees()]
    with reading_anew(repository) as anew:
        for damage in verify(anew, live).damages[:5]:
            yield f"verify: {damage}"


def _names(repository: Repository, told: Told, *, is_copy: bool) -> Iterator[str]:
    catalog = repository.catalog
    assert isinstance(catalog, SqlCatalog)
    with catalog._database.reading() as connection:
        made = connection.execute(
            select(versions.c.artifact_id, versions.c.index, versions.c.state)
        ).all()
        held = connection.execute(select(links.c.artifact_id, links.c.index)).all()
        latest = dict(
            connection.execute(
                select(aliases.c.artifact_id, links.c.index)
                .join(
                    links,
                    (links.c.version_id == aliases.c.version_id)
                    & (links.c.artifact_id == aliases.c.artifact_id),
                )
                .where(aliases.c.name == LATEST)
            )
            .tuples()
            .all()
        )
        known = connection.execute(
            select(
                artifacts.c.id,
                artifacts.c.name,
                artifacts.c.next_index,
                artifacts.c.is_portfolio,
                artifacts.c.deleted_at_ns,
            )
        ).all()
    for row in known:
        numbers = [index for artifact_id, index, _ in made if artifact_id == row.id]
        if max(Counter(numbers).values(), default=0) > 1:
            yield f"C1: {row.name} has a number twice: {sorted(numbers)}"
        is_dense = sorted(numbers) == list(range(row.next_index))
        if not (is_dense or row.is_portfolio or is_copy or told.was_lost):
            yield f"C1: {row.name} has {sorted(numbers)}, the next is {row.next_index}"
        newest = max((index for artifact_id, index in held if artifact_id == row.id), default=None)
        if row.deleted_at_ns is None and latest.get(row.id) != newest:
            yield f"C2: {row.name}: latest is on v{latest.get(row.id)}, the newest is v{newest}"


def _contents(repository: Repository, told: Told, content_of: _ContentOf) -> Iterator[str]:
    for version, _ in repository.catalog.live_trees():
        content = content_of(version.id)
        wanted = [tree(int(each)) for each in told.attempted.get(version.name, ())]
        if version.name.startswith("t"):
            # Its process may have died while it wrote one content over the other.
            either = {item for each in wanted for item in each.items()}
            is_right = {item for item in content.items() if item[1]} <= either
        elif version.name.startswith("s"):
            # Its process may have died between two files; those that it closed are there.
            closed = told.closed.get(version.name, set())
            is_right = closed <= content.keys() and content.items() <= wanted[0].items()
        else:
            is_right = content in wanted
        if not is_right:
            yield f"W3: {version.path} holds {_shown(content)}: nobody put that"


def _content(repository: Repository, version_id: str) -> dict[str, bytes]:
    version = repository.catalog.version_by_id(version_id)
    return {
        path: b"".join(read_blocks(repository.content(entry)))
        for path, entry in walk(repository.directory, version.tree)
        if isinstance(entry, FileEntry)
    }


def _told(repository: Repository, told: Told, content_of: _ContentOf) -> Iterator[str]:
    live = {version.id: version for version, _ in repository.catalog.live_trees()}
    for version_id, (name, number, content) in told.logged.items():
        version = live.get(version_id)
        if version is None:
            if not told.may_be_deleted(name, number):
                yield f"C4: {name}:{number} ({version_id}) was told to be logged, and is not there"
        elif (version.name, version.version) != (name, number):
            yield f"C1: {name}:{number} ({version_id}) is {version.path} now"
        elif content_of(version_id) != tree(int(content)):
            yield f"R1: {name}:{number} does not hold content {content}"


def _areas(repository: Repository, told: Told, host: int | None) -> Iterator[str]:
    damaged: list[str] = []
    there = {
        each.meta.id
        for each in staging_areas(
            repository.info, lambda area: damaged.append(f"{area.id}: {area.error}")
        )
    }
    yield from (f"W2: a staging area is damaged: {each}" for each in damaged)
    for area_id, (content, closed) in told.areas(host).items():
        if area_id not in there:
            yield f"W2: the staging area {area_id} is gone"
            continue
        with Area.open(repository, area_id) as area:
            if area.meta.commits:
                # It shows the version that was made of it, which is looked at with the others.
                continue
            found = AreaFs(area).dump()
            for path in closed:
                node = found.get(path, (None,))
                if node[-1] != tree(int(content))[path]:
                    yield f"W2: {path} of the staging area {area_id} was closed: {_shown(node)}"


def _commit_areas(repository: Repository, told: Told) -> Iterator[str]:
    for record in staging_areas(repository.info):
        try:
            with Area.open(repository, record.meta.id) as area:
                is_half = bool(area.contents.unfinished())
                if not is_half:
                    commit_area(area)
                    commit_area(area)
            if is_half:
                # What nobody closed is half of something that nobody put.
                drop_area(repository.info, record.meta.id, ask=lambda: None)
                told.forget(record.meta.id)
        except ArtfsError as error:
            yield f"W3: the staging area {record.meta.id} cannot be committed: {error!r}"


def _areas_once(repository: Repository) -> Iterator[str]:
    counted = Counter(version.name for version, _ in repository.catalog.live_trees())
    for name, count in counted.items():
        if name.startswith("s") and count > 1:
            yield f"W3: the staging area of {name} became {count} versions"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}…"
