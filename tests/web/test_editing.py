"""Forms that change a version, for whoever may."""

from __future__ import annotations

import re

import pytest

from artfs.catalog.records import VersionRecord
from artfs.repository.facade import Repository
from artfs.server.app import Server
from artfs.server.auth import new_key
from artfs.web.app import Pages
from artfs.web.guard import KeyGuard
from tests.support.stores import commit
from tests.web.conftest import Answer, Browser, Site

URL = "/p/demo/data/v0"


def proof(browser: Browser) -> str:
    found = re.search(r'name="proof" value="(\w+)"', browser.get(URL).text)
    return found[1] if found else ""


def change(browser: Browser, action: str, **fields: str) -> Answer:
    return browser.post(f"{URL}/edit", {"proof": proof(browser), "action": action, **fields})


def version(site: Site) -> VersionRecord:
    return site.repository.resolve("demo/data:v0")


def test_a_form_changes_what_is_mutable(site: Site) -> None:
    commit(site.repository, "demo/data", {"a": b"1"})
    assert change(site.browser, "add-alias", alias=" good ").headers["location"] == URL
    change(site.browser, "add-alias", alias="better")
    change(site.browser, "remove-alias", alias="good")
    change(site.browser, "tags", tags="raw, field work,,raw")
    change(site.browser, "description", description="# One\r\n\r\ntwo\r\n")
    change(site.browser, "ttl", days="1.5")
    found = version(site)
    assert found.aliases == ("better", "latest")
    assert found.tags == ("field work", "raw")
    assert found.description == "# One\n\ntwo"
    assert found.ttl_s == 129_600
    assert 'value="1.5"' in site.get(URL)
    change(site.browser, "ttl", days="")
    change(site.browser, "description", description="  ")
    assert (version(site).ttl_s, version(site).description) == (None, None)


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("add-alias", {"alias": "v7"}),
        ("add-alias", {"alias": "a/b"}),
        ("add-alias", {}),
        ("remove-alias", {"alias": "nope"}),
        ("tags", {"tags": "<b>"}),
        ("ttl", {"days": "-1"}),
        ("ttl", {"days": "nan"}),
        ("ttl", {"days": "1e99"}),
        ("description", {"description": "x" * 100_001}),
        ("description", {"description": "x" * 300_000}),
        ("destroy", {}),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    site: Site, action: str, fields: dict[str, str]
) -> None:
    commit(site.repository, "demo/data", {"a": b"1"})
    before = version(site)
    answer = change(site.browser, action, **fields)
    assert 400 <= answer.status < 500
    assert version(site) == before


def test_a_form_needs_the_proof_that_pages_of_the_session_carry(site: Site) -> None:
    commit(site.repository, "demo/data", {"a": b"1"})
    for wrong in ("", "0" * 48, "é"):
        fields = {"proof": wrong, "action": "add-alias", "alias": "x"}
        assert site.browser.post(f"{URL}/edit", fields).status == 403
    fields = {"proof": proof(site.browser), "action": "add-alias", "alias": "x"}
    assert site.browser.post(f"{URL}/edit", fields, origin="http://evil.example").status == 403
    assert site.stranger().post(f"{URL}/edit", fields).status == 303
    assert version(site).aliases == ("latest",)


def test_aliases_of_a_portfolio_are_its_own(site: Site) -> None:
    made = commit(site.repository, "demo/data", {"a": b"1"})
    site.repository.catalog.link(made.id, "demo", "best", ())
    fields = {"proof": proof(site.browser), "action": "add-alias", "alias": "x"}
    assert site.browser.post("/p/demo/best/v0/edit", fields).status == 303
    assert site.repository.resolve("demo/best:x").id == made.id
    assert version(site).aliases == ("latest",)


def test_a_read_only_server_shows_no_forms_and_takes_none(repository: Repository) -> None:
    commit(repository, "demo/data", {"a": b"1"})
    site = Site(repository, read_only=True)
    assert "Change it" not in site.get(URL)
    visitor_proof = Site(repository, read_only=True).guard
    assert visitor_proof is not site.guard
    assert change(site.browser, "add-alias", alias="x").status == 403


@pytest.mark.parametrize(
    ("options", "status"),
    [({"read_only": True}, 403), ({"projects": ["other"]}, 403), ({"projects": ["demo"]}, 303)],
)
def test_a_key_changes_what_it_may_write(
    repository: Repository, options: dict[str, bool | list[str]], status: int
) -> None:
    commit(repository, "demo/data", {"a": b"1"})
    server = Server(repository)
    served = Browser(
        server.application(Pages(repository, KeyGuard(server.gate, server.tokens)).application())
    )
    text, key = new_key("ada", **options)  # type: ignore[arg-type]
    repository.catalog.serving.add_key(key)
    served.post("/login", {"secret": text})
    logout = re.search(r'name="proof" value="(\w+)"', served.get("/").text)
    assert logout is not None
    fields = {"proof": logout[1], "action": "add-alias", "alias": "x"}
    answer = served.post(f"{URL}/edit", fields)
    assert answer.status in {status, 404}
    found = repository.resolve("demo/data:v0").aliases
    assert ("x" in found) == (status == 303)
