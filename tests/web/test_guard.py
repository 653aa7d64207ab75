"""Who gets to see pages, and who does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from artfs.repository.facade import Repository
from artfs.server.app import Server
from artfs.server.auth import new_key
from artfs.web.app import Pages
from artfs.web.guard import KeyGuard
from tests.support.stores import commit
from tests.web.conftest import Browser, Site


def test_the_printed_address_lets_in_and_leaves_no_token_behind(site: Site) -> None:
    someone = site.stranger()
    answer = someone.get(f"/p/demo?tag=x&token={site.guard.token}")
    assert (answer.status, answer.headers["location"]) == (303, "/p/demo?tag=x")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert site.guard.token not in cookie
    assert someone.get("/").status == 200


@pytest.mark.parametrize("path", ["/", "/p/demo", "/p/demo/data/v0/files/", "/search?q=x", "/nope"])
def test_a_stranger_sees_nothing(site: Site, path: str) -> None:
    commit(site.repository, "demo/data", {"a.txt": b"secret"})
    answer = site.stranger().get(path)
    assert answer.status in {303, 404}
    assert "secret" not in answer.text
    assert "demo" not in answer.text


@pytest.mark.parametrize("token", ["", "x", "é", "0" * 48])
def test_a_wrong_token_is_no_token(site: Site, token: str) -> None:
    someone = site.stranger()
    assert someone.post("/login", {"secret": token}).status == 401
    assert someone.get("/").status == 303


def test_the_token_can_be_typed_and_leads_to_where_one_wanted_to_go(site: Site) -> None:
    someone = site.stranger()
    to = someone.get("/p/demo?tag=x").headers["location"]
    assert to == "/login?next=%2Fp%2Fdemo%3Ftag%3Dx"
    answer = someone.post("/login", {"secret": site.guard.token, "next": "/p/demo?tag=x"})
    assert answer.headers["location"] == "/p/demo?tag=x"


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "x"])
def test_nobody_is_led_elsewhere(site: Site, to: str) -> None:
    answer = site.stranger().post("/login", {"secret": site.guard.token, "next": to})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("host", ["evil.example:8232", "evil.example", "localhost.evil.example:1"])
def test_another_name_for_this_host_leads_nowhere(site: Site, host: str) -> None:
    site.browser.host = "127.0.0.1:8232"
    assert site.browser.get("/", host=host).status == 403
    assert site.browser.get(f"/?token={site.guard.token}", host=host).status == 403


@pytest.mark.parametrize("host", ["localhost:8232", "127.0.0.1:8232", "[::1]:8232"])
def test_every_name_of_loopback_is_this_server(site: Site, host: str) -> None:
    assert site.browser.get("/", host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}],
)
def test_a_form_of_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    fields = {"secret": site.guard.token}
    someone = site.stranger()
    sent = {"content_type": "application/x-www-form-urlencoded"} | headers
    answer = someone.request("POST", "/login", b"secret=" + fields["secret"].encode(), sent)
    assert answer.status == 403
    assert someone.cookies == {}


@pytest.fixture
def served(repository: Repository) -> Browser:
    server = Server(repository)
    pages = Pages(repository, KeyGuard(server.gate, server.tokens))
    return Browser(server.application(pages.application()))


def test_beside_clients_a_key_lets_in_until_it_is_revoked(
    served: Browser, repository: Repository, tmp_path: Path
) -> None:
    commit(repository, "demo/data", {"a.txt": b"secret"})
    commit(repository, "other/data", {"a.txt": b"secret"})
    text, key = new_key("ada", projects=["demo"])
    repository.catalog.serving.add_key(key)
    assert served.get("/").headers["location"] == "/login"
    assert served.post("/login", {"secret": "x" * 40}).status == 401
    assert served.post("/login", {"secret": text}).headers["location"] == "/"
    assert text not in str(served.cookies)
    page = served.get("/").text
    assert "/p/demo" in page
    assert "/p/other" not in page
    assert served.get("/p/demo").status == 200
    assert served.get("/p/other").status == 404
    assert served.get("/p/other/data/v0").status == 404
    repository.catalog.serving.revoke_key("ada")
    assert served.get("/p/demo").status == 303


def test_a_client_that_is_no_browser_is_told_what_this_is(served: Browser) -> None:
    answer = served.get("/", accept="*/*")
    assert "WANDB_BASE_URL" in answer.text
    assert served.get("/healthz").text == "ok\n"


def test_whoever_leaves_is_a_stranger(served: Browser, repository: Repository) -> None:
    text, key = new_key("ada")
    repository.catalog.serving.add_key(key)
    served.post("/login", {"secret": text})
    proof = served.get("/").text.partition('name="proof" value="')[2].partition('"')[0]
    assert served.post("/logout", {"proof": "0" * 48}).status == 403
    assert served.post("/logout", {"proof": proof}).headers["location"] == "/login"
    assert served.get("/").headers["location"] == "/login"
