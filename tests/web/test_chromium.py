"""A real browser on pages that hold the worst: nothing of it runs, and nothing leads elsewhere."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from artfs.catalog.records import VersionUpdate
from artfs.server.running import ServeOptions
from artfs.web.serving import web_application, web_guard
from tests.support.chromium import Chromium
from tests.support.stores import commit, new_store

TRAP = "document.title='CAUGHT';fetch('http://127.0.0.1:1/caught')"
HOSTILE = f'<script>{TRAP}</script><img src=x onerror="{TRAP}"><svg onload="{TRAP}">'
HTML = f"""<!doctype html><p id=there>there</p><script>{TRAP}</script>
<img src=x onerror="{TRAP}"><img src="http://127.0.0.1:1/picture"><a id=out href="/">out</a>
<link rel=stylesheet href="http://127.0.0.1:1/style"><iframe src="/p/demo"></iframe>
<form id=form action="/logout" method=post><button>x</button></form>
<meta http-equiv=refresh content="0;url=http://127.0.0.1:1/led-away">"""
SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="{TRAP}">
<script>{TRAP}</script><image href="http://127.0.0.1:1/picture"/></svg>"""
NAME = "<img src=x onerror=\"document.title='CAUGHT'\">"


class Shown:
    """The pages of a store at an address, and a browser that is logged in."""

    def __init__(self, url: str, chromium: Chromium) -> None:
        self.url = url
        self.chromium = chromium

    def open(self, path: str) -> None:
        self.chromium.open(self.url + path)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    home = tmp_path_factory.mktemp("chromium")
    with new_store(home / "store") as store:
        hostile = {"metadata": {HOSTILE: [HOSTILE]}, "aliases": (NAME,)}
        table = {"columns": [HOSTILE], "data": [[HOSTILE], [{"_type": "image-file", "path": NAME}]]}
        content: dict[str, bytes] = {
            NAME: b"x",
            "page.html": HTML.encode(),
            "drawing.svg": SVG.encode(),
            "rows.csv": f'a,b\n"{HOSTILE.replace(chr(34), chr(34) * 2)}",2\n'.encode(),
            "t.table.json": json.dumps(table).encode(),
            "value.json": json.dumps({HOSTILE: HOSTILE}).encode(),
            "text.txt": HOSTILE.encode(),
        }
        made = commit(store, "demo/data", content, **hostile)  # type: ignore[arg-type]
        links = f"[x](javascript:{TRAP}) <javascript:{TRAP}> ![x](http://127.0.0.1:1/p)"
        update = VersionUpdate(tags=(HOSTILE,), description=f"{HOSTILE}\n\n{links}")
        store.catalog.update_version(made.id, update)
        run = store.catalog.create_run("demo", name=HOSTILE, job_type=HOSTILE, config={})
        store.catalog.record_use(run.id, made.id, use_as=None)
        options = ServeOptions(port=0)
        guard = web_guard(options)
        config = uvicorn.Config(web_application(store, guard, options), log_config=None)
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        try:
            with Chromium(home / "profile") as chromium:
                chromium.open(f"{url}/?token={guard.token}")
                yield Shown(url, chromium)
        finally:
            server.should_exit = True
            thread.join()
            listening.close()


PAGES = (
    "/",
    "/p/demo",
    "/p/demo/data",
    "/p/demo/data/v0",
    "/p/demo/data/v0/lineage",
    "/p/demo/data/v0/compare",
    "/p/demo/data/v0/files/",
    "/p/demo/data/v0/files/page.html",
    "/p/demo/data/v0/files/page.html?source=1",
    "/p/demo/data/v0/files/drawing.svg",
    "/p/demo/data/v0/files/rows.csv",
    "/p/demo/data/v0/files/t.table.json",
    "/p/demo/data/v0/files/value.json",
    "/p/demo/data/v0/files/text.txt",
    "/search?q=%3Cscript%3E",
    "/space",
    "/host",
    "/p/demo/nothing",
    "/p/demo/data/v0/frame/page.html",
    "/p/demo/data/v0/raw/drawing.svg",
)

LOOKED_INTO = (
    "/p/demo",
    "/p/demo/data/v0",
    "/p/demo/data/v0/lineage",
    "/p/demo/data/v0/files/text.txt",
    "/p/demo/data/v0/files/rows.csv",
    "/login",
)


def test_nothing_hostile_runs_or_reaches_anything(shown: Shown) -> None:
    for path in PAGES:
        shown.open(path)
        # Whatever was asked for meanwhile has been told by then.
        assert shown.chromium.evaluate("document.title") != "CAUGHT", path
        elsewhere = [each for each in shown.chromium.requested() if not each.startswith(shown.url)]
        assert elsewhere == [], path


def test_an_html_file_is_shown_in_a_frame_without_an_origin(shown: Shown) -> None:
    shown.open("/p/demo/data/v0/files/page.html")
    assert shown.chromium.frames() == [f"{shown.url}/p/demo/data/v0/frame/page.html"]


def test_pages_fit_on_a_phone(shown: Shown) -> None:
    shown.chromium.look(width=390, height=780)
    for path in PAGES[1:-2:2]:
        shown.open(path)
        assert shown.chromium.evaluate("document.documentElement.scrollWidth") <= 390, path
    shown.chromium.look()


def test_pages_are_dark_for_whoever_likes_that(shown: Shown) -> None:
    grounds = []
    for dark in (False, True):
        shown.chromium.look(dark=dark)
        shown.open("/")
        grounds.append(shown.chromium.evaluate("getComputedStyle(document.body).backgroundColor"))
    shown.chromium.look()
    assert grounds == ["rgb(251, 251, 250)", "rgb(20, 24, 27)"]


def test_pages_have_no_serious_fault_for_whoever_cannot_see_well(shown: Shown) -> None:
    for dark, pages in ((False, LOOKED_INTO), (True, LOOKED_INTO[:2])):
        shown.chromium.look(dark=dark)
        for path in pages:
            shown.open(path)
            assert shown.chromium.faults_of_access() == [], (path, dark)
    shown.chromium.look()


def test_a_slash_leads_to_the_search_field(shown: Shown) -> None:
    shown.open("/p/demo")
    shown.chromium.press("/")
    assert shown.chromium.evaluate("document.activeElement.name") == "q"


def test_a_form_changes_a_version(shown: Shown) -> None:
    shown.open("/p/demo/data/v0")
    script = "e=document.querySelector('#alias');e.value='good';e.form.submit()"
    shown.chromium.events.clear()
    shown.chromium.evaluate(script)
    shown.chromium.wait_for_page()
    assert "good" in shown.chromium.evaluate("document.querySelector('.labels').textContent")
