"""How many statements a call costs does not depend on how much there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from artfs.catalog.base import Catalog
from artfs.catalog.sql import SqlCatalog
from artfs.testing.catalog_samples import a_pack, commit, digest_of, put


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that are executed meanwhile."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalog, Catalog]]:
    """A small catalog, and one with more of everything."""
    directory = tmp_path_factory.mktemp("catalogs")
    small = filled(directory / "small.sqlite", 2)
    large = filled(directory / "large.sqlite", 30)
    with closing(small), closing(large):
        yield small, large


def filled(path: Path, count: int) -> Catalog:
    """A catalog with that many artifacts, versions of one of them, and runs."""
    catalog = SqlCatalog.sqlite(path, create=True)
    run = catalog.create_run("team", name=None, job_type=None, config={})
    for number in range(count):
        put(catalog, 0, name=f"artifact{number}", aliases=("best",), tags=("tag",))
        put(catalog, number, aliases=(f"alias{number}",), tags=("tag",), run_id=run.id)
    return catalog


@pytest.mark.parametrize(
    "call",
    [
        lambda catalog: catalog.projects(),
        lambda catalog: catalog.artifacts(),
        lambda catalog: catalog.artifacts(project="team", type_name="dataset"),
        lambda catalog: catalog.versions(catalog.artifact("team", "data").id),
        lambda catalog: list(catalog.live_trees()),
        lambda catalog: catalog.outputs_of(catalog.runs()[0].id),
    ],
    ids=["projects", "artifacts", "artifacts of one", "versions", "live trees", "outputs"],
)
def test_listing_more_takes_no_more_statements(
    catalogs: tuple[Catalog, Catalog], call: Callable[[Catalog], object]
) -> None:
    numbers = []
    for catalog in catalogs:
        with counted() as statements:
            call(catalog)
        numbers.append(len(statements))
    assert numbers[0] == numbers[1] < 14


def test_a_commit_of_many_blobs_takes_no_more_statements(tmp_path: Path) -> None:
    with closing(SqlCatalog.sqlite(tmp_path / "catalog.sqlite", create=True)) as catalog:
        put(catalog, "first")
        numbers = []
        for count in (1, 900):
            pack, blobs = a_pack(*((count, number) for number in range(count)))
            with counted() as statements:
                put(catalog, count, packs=[pack], blobs=blobs)
            numbers.append(len(statements))
            with counted() as statements:
                catalog.locate([blob.sha256 for blob in blobs])
                commit(catalog, ("again", count), reused=[blob.sha256 for blob in blobs])
            numbers.append(len(statements))
        assert numbers[0] == numbers[2] < 30
        assert numbers[1] == numbers[3] < 30


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT artifact_id, count(*) FROM links GROUP BY artifact_id",
        """SELECT links.version_id FROM links JOIN aliases ON aliases.name = 'latest'
        AND aliases.artifact_id = links.artifact_id AND aliases.version_id = links.version_id""",
        "SELECT sha256 FROM blobs WHERE condemned_at_ns IS NOT NULL AND doomed = 1",
        """SELECT sha256 FROM blobs WHERE (pack_id, offset_bytes, sha256) > (1, 2, x'00')
        ORDER BY pack_id, offset_bytes, sha256 LIMIT 10""",
        "SELECT name FROM aliases WHERE version_id IN ('a', 'b')",
    ],
)
def test_frequent_questions_are_answered_by_an_index(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog = SqlCatalog.sqlite(path, create=True)
    with closing(catalog):
        pack, blobs = a_pack(*range(10))
        put(catalog, digest_of(1), packs=[pack], blobs=blobs)
        with counted() as _, catalog._database.reading() as connection:
            plan = [
                str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
            ]
    assert not any(line.startswith("SCAN") and "INDEX" not in line for line in plan), plan
    assert not any("TEMP B-TREE" in line for line in plan), plan
