"""Comparison, lineage, space, this host, search."""

from __future__ import annotations

import re

import pytest

from artfs.catalog.records import VersionUpdate
from artfs.repository.facade import Repository
from artfs.server.app import Server
from artfs.server.auth import new_key
from artfs.web.app import Pages
from artfs.web.guard import KeyGuard
from tests.support.stores import Item, commit
from tests.web.conftest import Browser, Site


def test_two_versions_are_compared(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artfs.web.compare.CHANGES_SHOWN", 3)
    first: dict[str, Item] = {"same": b"1", "old": b"22", "d/changed": b"333"}
    commit(site.repository, "demo/data", first, metadata={"a": {"b": 1}, "gone": 1, "same": [1]})
    second: dict[str, Item] = {"same": b"1", "d/changed": b"4444", "new1": b"1", "new2": b"1"}
    commit(site.repository, "demo/data", second, metadata={"a": {"b": 2}, "same": [1]})
    commit(site.repository, "demo/other", {"same": b"1"})
    page = site.get("/p/demo/data/v1/compare")
    table = re.findall(r'<span class="change (\w+)">\w+</span></td><td class="num">(\d+)', page)
    assert table[:3] == [("added", "2"), ("removed", "1"), ("modified", "1")]
    assert "a.b" in page
    assert "<del>1</del>" in page
    assert "<ins>2</ins>" in page
    assert "The first 3 of 4" in page
    assert "demo/other" in site.get("/p/demo/data/v1/compare?with=other:v0")
    assert "no such version" in site.get("/p/demo/data/v1/compare?with=v9", 404)
    assert "There is no other version" in site.get("/p/demo/other/v0/compare")


def test_lineage_is_drawn_to_both_sides_and_in_parts(site: Site) -> None:
    catalog = site.repository.catalog
    base = commit(site.repository, "demo/base", {"a": b"0"})
    made = base
    for step in range(3):
        run = catalog.create_run("demo", name=f"run-{step}", job_type="train", config={})
        catalog.record_use(run.id, made.id, use_as=None)
        made = commit(site.repository, f"demo/made{step}", {"a": b"%d" % step}, run_id=run.id)
    # A run that uses what it made goes in a circle.
    catalog.record_use(run.id, made.id, use_as=None)
    page = site.get("/p/demo/made1/v0/lineage")
    for name in ("base:v0", "run-0", "made0:v0", "run-1", "made1:v0", "run-2", "made2:v0"):
        assert name in page, name
    for number in range(30):
        other = catalog.create_run("demo", name=f"many-{number}", job_type=None, config={})
        catalog.record_use(other.id, base.id, use_as=None)
    page = site.get("/p/demo/base/v0/lineage")
    assert "There is more than is drawn" in page
    assert page.count("many-") < 60


def test_lineage_tells_nothing_of_projects_that_may_not_be_seen(repository: Repository) -> None:
    catalog = repository.catalog
    base = commit(repository, "demo/base", {"a": b"0"})
    run = catalog.create_run("secret", name="hidden-run", job_type=None, config={})
    catalog.record_use(run.id, base.id, use_as=None)
    commit(repository, "secret/made", {"a": b"1"}, run_id=run.id, metadata={"hidden": 1})
    open_run = catalog.create_run("demo", name="open-run", job_type=None, config={})
    catalog.record_use(open_run.id, repository.resolve("secret/made:v0").id, use_as=None)
    server = Server(repository)
    served = Browser(
        server.application(Pages(repository, KeyGuard(server.gate, server.tokens)).application())
    )
    text, key = new_key("ada", projects=["demo"])
    catalog.serving.add_key(key)
    served.post("/login", {"secret": text})
    for url in (
        "/p/demo/base/v0",
        "/p/demo/base/v0/lineage",
        "/p/demo/base/v0/compare?with=secret/made:v0",
        f"/r/demo/{open_run.id}",
        f"/r/demo/{run.id}",
        f"/r/secret/{run.id}",
        "/search?q=hidden",
        "/search?q=project:secret",
        "/space",
    ):
        page = served.get(url).text.partition('<main id="main">')[2]
        assert "hidden-run" not in page, url
        assert "secret/made" not in page.replace("secret/made:v0&#34;", ""), url


def test_space_counts_what_is_shared_once(site: Site) -> None:
    big, small = bytes(300_000), b"x" * 50_000
    commit(site.repository, "demo/a", {"big": big, "again": big})
    commit(site.repository, "demo/a", {"big": big, "more": small})
    commit(site.repository, "demo/b", {"copy": small})
    page = site.get("/space")
    rows = [re.findall(r">([\d.]+ \w+)<", row) for row in page.split("<tr>")[2:]]
    assert rows == [
        ["342 KiB", "293 KiB", "49 KiB", "928 KiB"],
        ["49 KiB", "0 B", "49 KiB", "49 KiB"],
    ]
    assert "342 KiB of content" in page


def test_space_that_is_too_much_to_look_at_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artfs.web.space.MAX_ENTRIES", 5)
    commit(site.repository, "demo/a", {f"{n}": b"1" for n in range(9)})
    assert "those of a part" in site.get("/space")


def test_a_search_finds_versions_and_explains_itself(site: Site) -> None:
    made = commit(site.repository, "demo/data", {"a": b"1"}, metadata={"accuracy": 0.95})
    site.repository.catalog.update_version(made.id, VersionUpdate(description="Roses"))
    commit(site.repository, "demo/other", {"a": b"1"})
    page = site.get("/search?q=metadata.accuracy+%3E+0.9+roses")
    assert "demo/data:v0" in page
    assert "demo/other" not in page
    assert "How to ask" in site.get("/search")
    assert "No version is like that" in site.get("/search?q=nothing")
    assert "is no size" in site.get("/search?q=size+%3E+x")


def test_the_page_of_this_host_shows_mounts_and_staging_areas(site: Site) -> None:
    page = site.get("/host")
    assert "Staging areas of this store" in page
