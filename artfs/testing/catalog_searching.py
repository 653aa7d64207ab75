"""What a catalog must find: part of CatalogContract."""

from __future__ import annotations

import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.queries import Search
from artfs.catalog.records import VersionUpdate
from artfs.repository.querylanguage import parse_query
from artfs.testing.catalog_samples import put

QUERIES = (
    ("", "model:v0 odd-one:v0 flowers:v1 flowers:v0"),
    ("roses", "flowers:v0"),
    ("ROSES red", "flowers:v0"),
    ("red -roses", ""),
    ("flowers:v1", "flowers:v1"),
    ("adam", "flowers:v1"),
    ("ünder", "odd-one:v0"),
    ("tag:raw", "flowers:v0"),
    ("tag:r*", "flowers:v0"),
    ("-tag:raw name:flowers", "flowers:v1"),
    ("alias:best", "flowers:v1"),
    ("alias:latest name:*o*", "model:v0 odd-one:v0 flowers:v1"),
    ("name:flower?", "flowers:v1 flowers:v0"),
    ("name=flowers alias != best", "flowers:v0"),
    ("metadata.accuracy > 0.9", "flowers:v1"),
    ("metadata.accuracy>=0.5", "flowers:v1 flowers:v0"),
    ("accuracy < 0.93", "flowers:v0"),
    ("metadata.accuracy = 0.93", "model:v0 flowers:v1"),
    ('metadata.accuracy = "0.93"', "model:v0"),
    ("metadata.opt.name:adam", "flowers:v1"),
    ("metadata.opt.lr <= 0.001", "flowers:v1"),
    ("metadata.tags:x metadata.tags:3", "flowers:v1"),
    ("metadata.a.b.c > 4", "odd-one:v0"),
    ("metadata.say ~ 100%_", "odd-one:v0"),
    ('"\\"is\\" 100%_"', ""),
    ("metadata.ok:true", "model:v0"),
    ("metadata.no:null", "model:v0"),
    ("metadata.epochs:*", "flowers:v1"),
    ("description:roses", "flowers:v0"),
    ("files > 1000000", ""),
    ("created > 2020-01-01 type:dataset name:model", "model:v0"),
    ("created < 2020-01-01", ""),
    ("%", "odd-one:v0"),
    ("_", "odd-one:v0"),
)
"""What is asked, and what is found."""


class SearchContract:
    """Searching versions."""

    @pytest.fixture
    def searched(self, catalog: Catalog) -> Catalog:
        """A catalog with something to be found."""
        good = {
            "accuracy": 0.93,
            "epochs": 12,
            "opt": {"name": "adam", "lr": 1e-3},
            "tags": ["x", 3],
        }
        odd = {"a.b": {"c": 5}, "naïve": "Ünder", "bad": float("nan"), "say": 'it "is" 100%_'}
        first = put(catalog, 1, name="flowers", metadata={"accuracy": 0.5})
        catalog.update_version(first.id, VersionUpdate(tags=("raw",), description="Red Roses"))
        put(catalog, 2, name="flowers", metadata=good, aliases=("best",))
        put(catalog, 3, name="odd-one", metadata=odd)
        put(catalog, 4, name="model", metadata={"accuracy": "0.93", "ok": True, "no": None})
        catalog.link(first.id, "team", "favourites", ())
        return catalog

    def test_a_search_finds_what_it_means_newest_first(self, searched: Catalog) -> None:
        for query, expected in QUERIES:
            found = searched.search(Search(terms=parse_query(query)))
            names = [f"{each.name}:{each.version}" for each in found.versions]
            assert (query, names) == (query, expected.split())
            assert not found.is_cut

        assert searched.search(Search(terms=(), projects=("other",))).versions == []
        some = searched.search(Search(terms=(), projects=("team",), limit=2))
        assert len(some.versions) == 2
        assert some.is_cut
        portfolio = searched.artifact("team", "favourites")
        seen = searched.search(Search(terms=parse_query("roses"), artifact_id=portfolio.id))
        assert [each.path for each in seen.versions] == ["team/favourites:v0"]
