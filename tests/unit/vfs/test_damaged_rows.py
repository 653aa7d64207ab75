"""Damaged rows in a read-only mount: never shown as missing, and hiding nothing that is sound."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from artfs.errors import ArtifactNotFound, DamagedRecord
from artfs.repository.facade import Repository
from artfs.vfs.tree import resolve_target
from tests.support.loops import on_trio
from tests.support.stores import commit, new_store
from tests.support.trees import ShownTree, shown

OF_V1 = ' WHERE artifact_id = 1 AND "index" = 1'
NOWHERE = "'" + "0" * 32 + "'"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """`demo/data` with two versions, of which v1 has an alias; two artifacts that are sound."""
    with new_store(tmp_path / "store") as repository:
        commit(repository, "demo/data", {"x": b"0"}, aliases=("first",))
        commit(repository, "demo/data", {"x": b"1"}, aliases=("best",))
        commit(repository, "demo/other", {"x": b"2"})
        commit(repository, "fine/other", {"x": b"3"})
        yield repository


def change(repository: Repository, statement: str) -> None:
    """Do to the catalog what no artfs does."""
    assert repository.info.root is not None
    with closing(sqlite3.connect(repository.info.root / "catalog.sqlite")) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


async def listed(here: ShownTree, path: str) -> tuple[list[str], bool]:
    """The names in a directory, and whether its listing ends with an error."""
    listing = await (await here.directory(path)).listing()
    names: list[str] = []
    try:
        while chunk := await listing.chunk(len(names)):
            names += [each.name for each in chunk]
    except DamagedRecord:
        return names, True
    return names, False


ALL = ["best", "first", "latest", "v0", "v1"]

# A statement, and of each directory the names that are sound and those that are damaged.
NAMED: dict[str, tuple[str, str, list[str], list[str]]] = {
    "a project's time": (
        "UPDATE projects SET created_at_ns = 'x' WHERE name = 'demo'",
        "",
        ["fine"],
        ["demo"],
    ),
    "an artifact's type": (
        "UPDATE artifacts SET type = x'61' WHERE id = 1",
        "demo",
        ["other"],
        ["data"],
    ),
    "a version's size": (
        f"UPDATE versions SET size_bytes = -5{OF_V1}",
        "demo/data",
        ["first", "v0"],
        ["best", "latest", "v1"],
    ),
    "a link to a version that is not there": (
        f"UPDATE links SET version_id = {NOWHERE}{OF_V1}",
        "demo/data",
        ["first", "v0"],
        ["best", "latest", "v1"],
    ),
    "a version whose link is lost": (
        f"DELETE FROM links{OF_V1}",
        "demo/data",
        ["first", "v0"],
        ["best", "latest", "v1"],
    ),
    "a version that is not there": (
        f"DELETE FROM versions{OF_V1}",
        "demo/data",
        ["first", "v0"],
        ["best", "latest", "v1"],
    ),
    "an alias that leads nowhere": (
        f"UPDATE aliases SET version_id = {NOWHERE} WHERE name = 'best'",
        "demo/data",
        ["first", "latest", "v0", "v1"],
        ["best"],
    ),
    "a `latest` that is lost": (
        "DELETE FROM aliases WHERE name = 'latest' AND artifact_id = 1",
        "demo/data",
        ["best", "first", "v0", "v1"],
        ["latest"],
    ),
    "an alias that none can be": (
        "UPDATE aliases SET name = 'a:b' WHERE name = 'best'",
        "demo/data",
        ["first", "v0"],
        ["a:b", "latest", "v1"],
    ),
    "an artifact's next number": (
        "UPDATE artifacts SET next_index = 0 WHERE id = 1",
        "demo/data",
        ALL,
        [],
    ),
}


@pytest.mark.parametrize("freeze", [False, True], ids=["", "frozen"])
@pytest.mark.parametrize("kind", NAMED)
@on_trio
async def test_r5_what_is_damaged_has_its_name_and_is_an_error_and_the_rest_is_there(
    repository: Repository, kind: str, *, freeze: bool
) -> None:
    statement, place, sound, damaged = NAMED[kind]
    change(repository, statement)
    async with shown(repository, freeze=freeze) as here:
        names, fails = await listed(here, place)
        assert sorted(names) == sorted(sound + damaged)
        assert not fails
        directory = await here.directory(place)
        for name in sound:
            assert (await directory.lookup(name)).found is not None
        for name in damaged:
            with pytest.raises(DamagedRecord, match=r"demo"):
                await directory.lookup(name)
        assert (await directory.lookup("nothing")).found is None
        assert await listed(here, "fine") == (["other"], False)
        assert await here.read("fine/other/v0/x") == b"3"


UNNAMED: dict[str, tuple[str, str, list[str]]] = {
    "a project's name is a path": (
        "UPDATE projects SET name = 'a/b' WHERE name = 'demo'",
        "",
        ["fine"],
    ),
    "a project is lost": ("DELETE FROM projects WHERE name = 'demo'", "", ["fine"]),
    "an artifact's name is a blob": (
        "UPDATE artifacts SET name = x'61' WHERE id = 1",
        "demo",
        ["other"],
    ),
    "an artifact's name is longer than a file's": (
        "UPDATE artifacts SET name = replace(hex(zeroblob(200)), '00', 'ab') WHERE id = 1",
        "demo",
        ["other"],
    ),
    "a link's number is text": (
        f"UPDATE links SET \"index\" = 'x'{OF_V1}",
        "demo/data",
        ["best", "first", "latest", "v0", "v1"],
    ),
    "an alias is a path": (
        "UPDATE aliases SET name = 'a/b' WHERE name = 'best'",
        "demo/data",
        ["first", "latest", "v0", "v1"],
    ),
}


@pytest.mark.parametrize("freeze", [False, True], ids=["", "frozen"])
@pytest.mark.parametrize("kind", UNNAMED)
@on_trio
async def test_r5_a_listing_ends_with_an_error_where_damage_has_no_name_to_show(
    repository: Repository, kind: str, *, freeze: bool
) -> None:
    statement, place, names = UNNAMED[kind]
    change(repository, statement)
    async with shown(repository, freeze=freeze) as here:
        found, fails = await listed(here, place)
        assert (sorted(found), fails) == (names, True)
        if not place:
            # It may be any project that is not found here.
            with pytest.raises(DamagedRecord):
                await (await here.directory(place)).lookup("demo")
        assert await here.read("fine/other/v0/x") == b"3"


@on_trio
async def test_r5_the_number_of_a_link_that_is_damaged_is_an_error_and_not_a_deleted_version(
    repository: Repository,
) -> None:
    change(repository, f"UPDATE links SET \"index\" = 'x'{OF_V1}")
    async with shown(repository, "demo/data") as here:
        with pytest.raises(DamagedRecord):
            await here.found("v1")
        assert await here.read("v0/x") == b"0"


@on_trio
async def test_r5_what_is_damaged_since_it_was_seen_is_an_error_once_its_time_is_over(
    repository: Repository,
) -> None:
    async with shown(repository, ttl_s=0) as here:
        assert await here.read("demo/data/v1/x") == b"1"
        change(repository, f"UPDATE versions SET size_bytes = -5{OF_V1}")
        for name in ("v1", "latest"):
            with pytest.raises(DamagedRecord):
                await here.found(f"demo/data/{name}")


@on_trio
async def test_r5_whatever_is_asked_of_a_damaged_name_is_an_error(repository: Repository) -> None:
    change(repository, "UPDATE artifacts SET type = x'61' WHERE id = 1")
    async with shown(repository, "demo") as here:
        listing = await here.tree.root.listing()
        assert listing.ttl_s() == 0, "the kernel looks each of them up again"
        [damaged] = [each for each in await listing.chunk(0) if each.name == "data"]
        node = damaged.node
        assert node is not None
        assert not node.attributes.size_is_known, "stat asks"
        for ask in (node.measured, node.listing, lambda: node.lookup("x"), lambda: node.child(0)):  # type: ignore[attr-defined]
            with pytest.raises(DamagedRecord):
                await ask()
        for tell in (node.xattrs, node.open, node.readlink):
            with pytest.raises(DamagedRecord):
                tell()


@pytest.mark.parametrize("target", ["fine", "fine/other", "demo/data", "demo/data:v0"])
def test_what_is_sound_is_mounted_beside_what_is_damaged(
    repository: Repository, target: str
) -> None:
    change(repository, "UPDATE projects SET created_at_ns = 'x' WHERE name = 'demo'")
    change(repository, f"UPDATE versions SET size_bytes = -5{OF_V1}")
    assert resolve_target(repository, target).project == target.partition("/")[0]


def test_a_damaged_project_is_not_mounted_and_not_called_missing(repository: Repository) -> None:
    change(repository, "UPDATE projects SET created_at_ns = 'x' WHERE name = 'demo'")
    with pytest.raises(DamagedRecord, match="demo"):
        resolve_target(repository, "demo")
    with pytest.raises(ArtifactNotFound):
        resolve_target(repository, "none")
