"""What searches find by the index is what a look at every version finds, in both databases."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from artfs.catalog import searchindex
from artfs.catalog.queries import Search, filtered
from artfs.catalog.records import ArtifactChange, VersionRecord, VersionUpdate
from artfs.catalog.schema import search_pending, search_segments, search_slices
from artfs.catalog.sql import SqlCatalog
from artfs.repository.querylanguage import parse_query
from artfs.testing.catalog_samples import put
from tests.servers.postgres import PostgreSQL

SEGMENT = 8

TEXTS = (
    "Red Roses",
    "ÜNDER der Straße",
    "ΟΔΟΣ ΣΟΦΟΣ",
    "100%_ 'quoted' \"twice\" AND NOT NEAR(x)",
    "back\\slash; DROP TABLE versions; --",
    "zero\u200bwidth 日本語のテキスト \U0001f339",
    "İstanbul \u212aelvin",
)
QUERIES = (
    *("roses", "ROSES red", "red -roses", "straße", "STRASSE", "ünder", "οδος", "σοφοσ", "日本語"),
    *("100%_", "%", "NEAR(x)", "'quoted'", '"\\"twice\\""', '"back\\\\slash"', "AND", "🌹"),
    *("art-1", "team/art-2:v3", "renamed", "name:art*", "name~enam", "alias:best", "latest"),
    *("tag:raw", "tag:ra*", "tag~aw", "-tag:raw", "description~roses", "description:straße"),
    *("score > 0.5", "score >= 30", "score=7", 'score="7"', "score < -1", "score != 7"),
    *("metadata.opt.lr <= 0.003", "opt.name=adam", "opt.name=ad*", "opt.name~DAM", "opt.no=*"),
    *("opt.name=*", "words=roses", "words=3", "big > 1e20", "many.k299 > 1", "ok=true", "no=null"),
    *(
        "score > 0.5 roses",
        "size > 1",
        "created > 2020-01-01 roses",
        "quote=*twice*",
        "quote~t",
        "title=ΟΔΟΣ*",
    ),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SqlCatalog]:
    monkeypatch.setattr(searchindex, "SEGMENT", SEGMENT)
    # All that is asked for is looked up, in each segment by itself.
    monkeypatch.setattr(searchindex, "_LOADED", 1)
    if request.param == "sqlite":
        made = SqlCatalog.sqlite(tmp_path / "catalog.sqlite", create=True)
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        made = SqlCatalog.connect(server.new_schema(), create=True)
    yield made
    made.close()


def _metadata(chance: random.Random, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "score": chance.choice([0.25, 0.75, 7, "7", -3, 31, float("nan"), True]),
        "opt": {"name": chance.choice(["adam", "Adam", "sgd", 'a"d']), "lr": number / 1000},
        "words": chance.sample(["roses", 3, None, "tulips", 0.5], 2),
    }
    if number % 7 == 0:
        made |= {"big": 10**400, "ok": True, "no": None, "quote": TEXTS[3]}
    if number % 11 == 0:
        made["many"] = {f"k{each}": each for each in range(300)}
    if number % 5 == 0:
        made |= {"opt.name": "adamant", "title": "ΟΔΟΣΑ"}
    return made


def _filled(catalog: SqlCatalog, chance: random.Random, count: int = 40) -> list[VersionRecord]:
    return [
        put(
            catalog,
            number,
            name=f"art-{number % 4}",
            metadata=_metadata(chance, number),
            description=chance.choice([None, *TEXTS]),
            tags=tuple(chance.sample(["raw", "Ra*w", "done"], chance.randrange(3))),
            aliases=("best",) if number % 6 == 0 else (),
        )
        for number in range(count)
    ]


def _all(catalog: SqlCatalog) -> list[VersionRecord]:
    made = [
        version
        for artifact in catalog.artifacts()
        if not artifact.is_portfolio
        for version in catalog.versions(artifact.id)
    ]
    return sorted(made, key=lambda version: (-version.created_at_ns, version.id))


def _check(catalog: SqlCatalog) -> None:
    """All queries find what a look at every version finds."""
    everything = _all(catalog)
    for query in QUERIES:
        for limit in (3, 100):
            wanted = Search(terms=parse_query(query), limit=limit)
            found, expected = catalog.search(wanted), filtered(everything, wanted)
            assert (query, [each.id for each in found.versions], found.is_cut) == (
                query,
                [each.id for each in expected.versions],
                expected.is_cut,
            )


def _count(catalog: SqlCatalog, table: Any) -> int:
    with catalog._database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _looked_at(catalog: SqlCatalog, query: str) -> int | None:
    with catalog._database.reading() as connection:
        keys = searchindex.candidates(connection, parse_query(query))
        return None if keys is None else len(list(keys))


def test_the_index_finds_what_a_look_at_every_version_finds(catalog: SqlCatalog) -> None:
    chance = random.Random(7)
    made = _filled(catalog, chance)
    assert _count(catalog, search_segments) == len(made) // SEGMENT
    assert _looked_at(catalog, "nowhere at all") == _count(catalog, search_pending)
    assert _looked_at(catalog, "many.k299 > 1") is not None
    _check(catalog)


def test_what_is_changed_is_found_as_it_is_now(catalog: SqlCatalog) -> None:
    chance = random.Random(8)
    made = _filled(catalog, chance)
    catalog.update_version(made[1].id, VersionUpdate(description="novel description"))
    catalog.update_version(made[2].id, VersionUpdate(metadata={"score": 1e9, "fresh": "novel"}))
    catalog.update_version(made[3].id, VersionUpdate(tags=("novel-tag",)))
    catalog.update_version(made[4].id, VersionUpdate(add_aliases=("novel-alias",)))
    found = catalog.search(Search(terms=parse_query("novel"))).versions
    assert {each.id for each in found} == {each.id for each in made[1:5]}
    assert [
        each.id for each in catalog.search(Search(terms=parse_query("score > 1e8"))).versions
    ] == [made[2].id]
    for number in range(0, 40, 3):
        changed = VersionUpdate(
            description=chance.choice(TEXTS), metadata=_metadata(chance, number)
        )
        catalog.update_version(made[number].id, changed)
    _check(catalog)


def test_what_is_renamed_or_deleted_is_found_as_it_is_now(catalog: SqlCatalog) -> None:
    made = _filled(catalog, random.Random(9))
    artifact = catalog.artifact("team", "art-1")
    catalog.change_artifact(artifact.id, ArtifactChange(name="renamed"))
    found = catalog.search(Search(terms=parse_query("team/renamed"))).versions
    assert len(found) == artifact.version_count
    newest = catalog.artifact("team", "art-2").latest
    assert newest is not None
    catalog.delete_version(newest.id, delete_aliases=True)
    catalog.delete_version(made[8].id, delete_aliases=True)
    catalog.delete_artifact(catalog.artifact("team", "art-3").id)
    catalog.link(made[0].id, "team", "favourites", ("best",))
    _check(catalog)
    # `latest` has fallen back to a version that had been one of many.
    heads = catalog.search(Search(terms=parse_query("latest"))).versions
    assert {each.name for each in heads} == {"art-0", "renamed", "art-2"}


def test_a_copy_of_a_catalog_is_searched_like_it(catalog: SqlCatalog, tmp_path: Path) -> None:
    _filled(catalog, random.Random(10))
    copy = SqlCatalog.sqlite(tmp_path / "copy.sqlite", create=True)
    copy.put_copy(catalog.copy_names())
    assert _count(copy, search_segments) == 40 // SEGMENT
    assert _looked_at(copy, "nowhere at all") == 0
    _check(copy)
    copy.close()


def test_an_index_of_what_is_no_more_is_made_anew(
    catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchindex, "_NOT_SMALLER", SEGMENT)
    made = _filled(catalog, random.Random(11), count=16)
    for _ in range(4):
        for version in made:
            catalog.update_version(version.id, VersionUpdate(description="again and again"))
    assert _count(catalog, search_segments) * SEGMENT <= 2 * len(made) + 2 * SEGMENT
    _check(catalog)


@pytest.mark.parametrize("bits", [b"\xff" * 9, b""])
def test_without_a_sound_index_everything_is_looked_through(
    catalog: SqlCatalog, bits: bytes
) -> None:
    _filled(catalog, random.Random(12))
    with catalog._database._engine.begin() as connection:
        connection.execute(search_segments.update().values(versions=b"short"))
        if bits:
            connection.execute(search_slices.update().values(bits=bits))
    _check(catalog)
