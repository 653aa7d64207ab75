"""Rows that lead to rows which are lost are told as damage, not as "there is none"."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.records import VersionUpdate
from artfs.catalog.sql import SqlCatalog
from artfs.errors import DamagedRecord, NotFound
from artfs.testing.catalog_samples import put
from tests.servers.postgres import PostgreSQL

Change = Callable[[str], None]

OF_DATA = "(SELECT id FROM artifacts WHERE name = 'data')"
OF_V1 = f' WHERE "index" = 1 AND artifact_id = {OF_DATA}'
NOWHERE = "'" + "0" * 32 + "'"


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Catalog, Change]]:
    """A catalog with two versions of `team/data`, v1 being `best`, and what changes its rows."""
    if request.param == "sqlite":
        path = tmp_path / "catalog.sqlite"
        catalog = SqlCatalog.sqlite(path, create=True)

        def change(statement: str) -> None:
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute(statement).rowcount > 0
                connection.commit()

    else:
        postgresql: PostgreSQL = request.getfixturevalue("postgresql")
        url = postgresql.new_schema()
        catalog = SqlCatalog.connect(url, create=True)

        def change(statement: str) -> None:
            with psycopg.connect(url) as connection:
                # As one restores what a backup has.
                connection.execute("SET session_replication_role = replica")
                assert connection.execute(statement.encode()).rowcount > 0

    with closing(catalog):
        put(catalog, "first")
        put(catalog, "second", aliases=("best",))
        put(catalog, "other", name="other")
        yield catalog, change


@pytest.mark.parametrize(
    ("statement", "lost", "there"),
    [
        (f"UPDATE links SET version_id = {NOWHERE}{OF_V1}", ["v1", "best", "latest"], ["v0"]),
        (f"DELETE FROM versions{OF_V1}", ["v1", "best", "latest"], ["v0"]),
        (f"DELETE FROM links{OF_V1}", ["v1", "best", "latest"], ["v0"]),
        (
            f"UPDATE aliases SET version_id = {NOWHERE} WHERE name = 'best'",
            ["best"],
            ["v0", "v1", "latest"],
        ),
        (
            f"DELETE FROM aliases WHERE name = 'latest' AND artifact_id = {OF_DATA}",
            ["latest"],
            ["v0", "v1", "best"],
        ),
    ],
)
def test_what_leads_nowhere_is_damage_by_name_and_in_listings(
    opened: tuple[Catalog, Change], statement: str, lost: list[str], there: list[str]
) -> None:
    catalog, change = opened
    change(statement)
    for selector in lost:
        with pytest.raises(DamagedRecord, match="team/data:"):
            catalog.version("team", "data", selector)
    for selector in there:
        assert catalog.version("team", "data", selector).name == "data"
    with pytest.raises(NotFound):
        catalog.version("team", "data", "v7")
    told: list[DamagedRecord] = []
    artifact = catalog.artifact("team", "data", on_damage=lambda _: None)
    found = catalog.versions(artifact.id, on_damage=told.append)
    assert {name for error in told for name in error.names} == set(lost)
    listed = {name for each in found for name in (each.version, *each.aliases)}
    assert listed == set(there)
    with pytest.raises(DamagedRecord):
        catalog.versions(artifact.id)
    some: list[DamagedRecord] = []
    assert len(catalog.artifacts(project="team", on_damage=some.append)) == 2
    assert some
    assert {error.kind for error in some} == {"version"}
    assert catalog.version("team", "other", "latest").index == 0
    assert any("team/data" in line for line in catalog.check()), "doctor names it"


def test_what_was_deleted_is_no_damage(opened: tuple[Catalog, Change]) -> None:
    catalog, _ = opened
    best = catalog.version("team", "data", "best")
    linked = catalog.link(best.id, "team", "registry", ["here"])
    catalog.unlink(linked.id, "team", "registry")
    catalog.delete_version(best.id, delete_aliases=True)
    catalog.delete_artifact(catalog.artifact("team", "other").id)
    for artifact in catalog.artifacts():
        catalog.versions(artifact.id)
    assert catalog.projects()
    assert catalog.check() == []
    with pytest.raises(NotFound):
        catalog.version("team", "data", "v1")


def test_an_artifact_whose_project_is_lost_is_told_with_the_projects(
    opened: tuple[Catalog, Change],
) -> None:
    catalog, change = opened
    put(catalog, "more", project="fine")
    change("DELETE FROM projects WHERE name = 'team'")
    told: list[DamagedRecord] = []
    assert [each.name for each in catalog.projects(on_damage=told.append)] == ["fine"]
    assert {error.subject for error in told} == {"artifact data", "artifact other"}
    with pytest.raises(DamagedRecord):
        catalog.projects()
    assert any("artifact data" in line for line in catalog.check())


def test_a_number_that_is_counted_too_low_makes_no_version_missing(
    opened: tuple[Catalog, Change],
) -> None:
    catalog, change = opened
    change("UPDATE artifacts SET next_index = 0")
    assert catalog.version("team", "data", "v1").index == 1
    for selector in ("v2", f"v{2**31}", f"v{10**30}"):
        with pytest.raises(NotFound):
            catalog.version("team", "data", selector)


def test_an_artifact_whose_type_is_damaged_is_told_where_one_type_is_wanted(
    opened: tuple[Catalog, Change],
) -> None:
    catalog, change = opened
    change(f"UPDATE artifacts SET type = '' WHERE id = {OF_DATA}")
    told: list[DamagedRecord] = []
    found = catalog.artifacts(project="team", type_name="dataset", on_damage=told.append)
    assert [each.name for each in found] == ["other"]
    assert [error.names for error in told] == [("data",)]


@pytest.mark.parametrize(
    ("statement", "selector"),
    [
        (f"UPDATE aliases SET version_id = {NOWHERE}", "latest"),
        (f"DELETE FROM links{OF_V1}", "v1"),
        (f"DELETE FROM versions{OF_V1}", "v1"),
    ],
)
def test_what_leads_nowhere_is_deleted_with_all_that_is_left_of_it(
    opened: tuple[Catalog, Change], statement: str, selector: str
) -> None:
    catalog, change = opened
    change(statement)
    with pytest.raises(DamagedRecord, match="rm") as told:
        catalog.version("team", "data", selector)
    catalog.delete_version(told.value.version_id, delete_aliases=True)
    found = catalog.versions(catalog.artifact("team", "data").id)
    assert found[0].aliases == ("latest",)
    assert put(catalog, "third").index == 2


def test_a_latest_that_is_lost_comes_back_with_any_alias(opened: tuple[Catalog, Change]) -> None:
    catalog, change = opened
    change("DELETE FROM aliases")
    v0 = catalog.version("team", "data", "v0")
    catalog.update_version(v0.id, VersionUpdate(add_aliases=("good",)))
    assert catalog.version("team", "data", "latest").index == 1
