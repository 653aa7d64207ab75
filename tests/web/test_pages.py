"""What pages show of projects, artifacts, versions and directories."""

from __future__ import annotations

import re

import pytest

from artfs.catalog.records import VersionUpdate
from artfs.manifest.directory import encode_directory
from artfs.manifest.entries import FileEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from tests.support.stores import EmptyDirectory, Item, Link, commit, commit_encoded
from tests.web.conftest import Site

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def links(text: str) -> list[str]:
    """Where the body of a page leads."""
    return re.findall(r'<a [^>]*href="([^"]*)"', text.partition('<main id="main">')[2])


def test_every_link_from_the_first_page_on_leads_somewhere(site: Site) -> None:
    run = site.repository.catalog.create_run("demo", name="r", job_type=None, config={"lr": 0.1})
    base = commit(site.repository, "demo/in", {"a/b c.txt": b"x", "é?#%": b"x", "l": Link("a")})
    site.repository.catalog.record_use(run.id, base.id, use_as=None)
    commit(site.repository, "demo/out", {"x": b"1"}, run_id=run.id, aliases=("a b?#é",))
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        url = waiting.pop()
        seen.add(url)
        found = [each.replace("&amp;", "&") for each in links(site.get(url))]
        waiting += [each for each in found if each not in seen and each not in waiting]
    assert len(seen) > 10
    assert all(each.startswith("/") for each in seen)


def test_an_empty_store_says_how_to_begin(site: Site) -> None:
    assert "artfs put" in site.get("/")


def test_artifacts_are_filtered(site: Site) -> None:
    first = commit(site.repository, "demo/flowers", {"a": b"1"}, aliases=("good",))
    commit(site.repository, "demo/trees", {"a": b"1"})
    update = VersionUpdate(tags=("raw",), description="Tulips and roses")
    site.repository.catalog.update_version(first.id, update)
    for query in ("text=TULIP", "tag=raw", "alias=good", "text=flow&type=dataset"):
        page = site.get(f"/p/demo?{query}")
        assert "/p/demo/flowers" in page, query
        assert "/p/demo/trees" not in page, query
    assert "Nothing is like that" in site.get("/p/demo?type=model")
    assert "no such project" in site.get("/p/nope", 404)


def test_versions_come_in_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artfs.web.names.VERSIONS_PER_PAGE", 2)
    for number in range(5):
        commit(site.repository, "demo/data", {"a": b"%d" % number})
    page = site.get("/p/demo/data")
    assert [each for each in ("v4", "v3", "v2") if f">{each}<" in page] == ["v4", "v3"]
    assert ">v2<" in site.get("/p/demo/data?before=3")


def test_a_version_says_all_that_is_known(site: Site) -> None:
    run = site.repository.catalog.create_run("demo", name="train-7", job_type=None, config={})
    base = commit(site.repository, "demo/in", {"a": b"1"})
    site.repository.catalog.record_use(run.id, base.id, use_as=None)
    made = commit(
        site.repository,
        "demo/out",
        {"a": b"2"},
        run_id=run.id,
        metadata={"score": {"accuracy": 0.93}, "classes": ["a", "b"]},
    )
    update = VersionUpdate(description="# Title\n\n**bold** [link](https://e.example)")
    site.repository.catalog.update_version(made.id, update)
    page = site.get("/p/demo/out/latest")
    for expected in (
        "train-7",
        "/p/demo/in/v0",
        "accuracy",
        "0.93",
        "<strong>bold</strong>",
        "artfs get demo/out:v0 out",
        made.digest,
    ):
        assert expected in page
    assert "which made" in site.get("/p/demo/in/v0")


def test_hostile_words_are_words(site: Site) -> None:
    made = commit(
        site.repository,
        "demo/data",
        {HOSTILE.replace("/", "_"): b"x", f"d/{HOSTILE.replace('/', '_')}": b"x"},
        metadata={HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}},
        aliases=(HOSTILE.replace("/", "_"),),
    )
    description = f"{HOSTILE}\n\n[x](javascript:alert(1)) ![x](http://e.example/x.png)"
    update = VersionUpdate(tags=(HOSTILE,), description=description)
    site.repository.catalog.update_version(made.id, update)
    run = site.repository.catalog.create_run("demo", name=HOSTILE, job_type=HOSTILE, config={})
    site.repository.catalog.record_use(run.id, made.id, use_as=None)
    pages = ["/p/demo", "/p/demo/data", "/p/demo/data/v0", "/p/demo/data/v0/files/"]
    pages += [f"/r/demo/{run.id}", f"/p/demo?text={HOSTILE}", f"/p/demo/{HOSTILE}/v0"]
    for url in pages:
        text = site.browser.get(url).text
        assert "<script>alert" not in text, url
        assert "<img src=x" not in text, url
        assert 'href="javascript' not in text, url
        assert 'src="http://e.example' not in text, url


def test_every_page_forbids_scripts_and_frames_of_others(site: Site) -> None:
    policy = site.browser.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce is not None
    assert nonce[1] not in site.browser.get("/").text


def test_nothing_comes_from_elsewhere(site: Site) -> None:
    commit(site.repository, "demo/data", {"a": b"1"})
    for url in ("/", "/p/demo/data/v0", "/login"):
        page = site.get(url)
        found = re.findall(r'(?:src|href|action)="([^"]*)"', page)
        assert found
        assert all(each.startswith(("/", "#")) for each in found), url


def test_metadata_that_is_deep_and_long_is_shown_in_part(site: Site) -> None:
    deep: dict[str, object] = {}
    inner = deep
    for _ in range(200):
        inner["x"] = inner = {}
    commit(site.repository, "demo/data", {"a": b"1"}, metadata={"d": deep, "l": list(range(9999))})
    page = site.get("/p/demo/data/v0")
    assert "there is more" in page
    assert page.count("<details") == page.count("</details>")


def test_a_directory_shows_each_kind_of_entry(site: Site) -> None:
    content: dict[str, Item] = {
        "d/x": b"12345",
        "e": EmptyDirectory(),
        "l": Link("../up"),
        "f": b"123",
    }
    commit(site.repository, "demo/data", content)
    page = site.get("/p/demo/data/v0/files/")
    assert ">d/<" in page
    assert "→ ../up" in page
    assert "3 B" in page
    assert "12" not in site.get("/p/demo/data/v0/files/d").partition("5 B")[2][:1]


def flat_version(repository: Repository, count: int) -> None:
    entries = [
        FileEntry(f"{n:07}.txt", Digest(bytes(32)), 1, bytes(16), None, False, 0)
        for n in range(count)
    ]
    commit_encoded(repository, "demo/flat", encode_directory(entries))


def test_a_large_directory_is_shown_in_pages_and_searched_by_name(site: Site) -> None:
    flat_version(site.repository, 1000)
    page = site.get("/p/demo/flat/v0/files/")
    assert page.count("<tr>") < 210
    assert "200 of 1,000" in page
    assert "0000400.txt" in site.get("/p/demo/flat/v0/files/?from=400")
    assert "0000777.txt" in site.get("/p/demo/flat/v0/files/?at=0000777.txt")
    assert site.browser.get("/p/demo/flat/v0/files/?from=99999").status == 200
    assert "is no number" in site.get("/p/demo/flat/v0/files/?from=x", 400)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/p/demo/data/v9", 404),
        ("/p/demo/data/nope", 404),
        ("/p/demo/data/v0/files/nope", 404),
        ("/p/demo/data/v0/files/../../x", 400),
        ("/p/de mo", 400),
        ("/r/demo/nope", 404),
        ("/-/static/../app.py", 404),
        ("/-/static/nope.css", 404),
        ("/p/demo/data/v0/files/%00", 400),
        ("/p/demo/data/a%00b", 400),
        ("/r/demo/a%00b", 400),
        ("/p/demo?tag=a%00b", 200),
        ("/search?q=a%00b", 200),
    ],
)
def test_what_is_not_there_is_one_plain_page(site: Site, path: str, status: int) -> None:
    commit(site.repository, "demo/data", {"a": b"1"})
    assert "Traceback" not in site.get(path, status)
