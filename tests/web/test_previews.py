"""What files look like on pages, and how their bytes are sent."""

from __future__ import annotations

import hashlib
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.manifest.directory import encode_directory
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.facade import Repository
from artfs.server.app import Server
from artfs.server.auth import new_key
from artfs.web.app import Pages
from artfs.web.guard import KeyGuard
from tests.support.stores import Item, Link, commit, commit_encoded, new_store
from tests.web.conftest import Browser, Site


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(800))
    return file.getvalue()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a file of each kind."""
    table = {
        "_type": "table",
        "columns": ["id", "picture"],
        "data": [[1, {"_type": "image-file", "path": "media/p.png", "sha256": "0"}], [2, None]],
    }
    content: dict[str, Item] = {
        "a.py": b"import os\nprint('<&>')\n",
        "bad.csv": b'a,b\n"\0',
        "empty": b"",
        "info.json": json.dumps({"list": [1, 2.5, None], "<b>": "x"}).encode(),
        "broken.json": b"{",
        "link": Link("a.py"),
        "noise.bin": bytes(range(256)),
        "page.html": b"<h1>hello</h1>",
        "picture.PNG": b"\x89PNG",
        "rows.csv": "\n".join(["id,name", *(f"{n},näme {n}" for n in range(300))]).encode(),
        "rows.tsv": b"a\tb\n1\t2\n",
        "sound.wav": sound(),
        "t.table.json": json.dumps(table).encode(),
        "film.mp4": b"film",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        "long.txt": b"".join(b"line %d\n" % n for n in range(20_000)),
    }
    with new_store(tmp_path_factory.mktemp("shown") / "store") as store:
        commit(store, "demo/data", content)
        yield Site(store)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.py", "print(&#39;&lt;&amp;&gt;&#39;)"),
        ("bad.csv", "It is no text"),
        ("broken.json", "<li>{"),
        ("empty", "It is empty."),
        ("info.json", "&lt;b&gt;"),
        ("link", "leads to"),
        ("noise.bin", "It is no text"),
        ("page.html", "<iframe sandbox src="),
        ("page.html?source=1", "&lt;h1&gt;hello"),
        ("picture.PNG", '<img class="checked" src="/p/demo/data/v0/raw/picture.PNG"'),
        ("rows.csv", "näme 99"),
        ("rows.csv", "The first 100 of 300 rows, 2 columns."),
        ("rows.tsv", '<td class="num">2</td>'),
        ("sound.wav", "<audio controls"),
        ("t.table.json", '<img src="/p/demo/data/v0/raw/media/p.png"'),
        ("film.mp4", "<video controls"),
        ("long.txt", "Bytes 0 to 65,"),
        ("long.txt?from=100000", "Bytes 100,000 to 165,"),
    ],
)
def test_a_file_is_shown_as_what_it_is(shown: Site, path: str, expected: str) -> None:
    assert expected in shown.get(f"/p/demo/data/v0/files/{path}")


def test_a_parquet_file_is_shown_by_its_first_rows(site: Site, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": range(500), "word": ["rose", "iris"] * 250})
    frame.to_parquet(tmp_path / "x.parquet", engine="fastparquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    content: dict[str, Item] = {
        "x.parquet": whole,
        "cut.parquet": whole[100:],
        "no.parquet": b"PAR1",
    }
    content["lies.parquet"] = whole[:200] + b"\xff\xff\xff\x7fPAR1"
    commit(site.repository, "demo/data", content)
    page = site.get("/p/demo/data/v0/files/x.parquet")
    assert "The first 100 of 500 rows, 2 columns." in page
    assert page.count("rose") == 50
    assert "It cannot be read" in site.get("/p/demo/data/v0/files/cut.parquet")
    assert "It is no Parquet file" in site.get("/p/demo/data/v0/files/no.parquet")
    assert "It is no Parquet file" in site.get("/p/demo/data/v0/files/lies.parquet")


def test_bytes_are_never_a_page(shown: Site) -> None:
    for path in ("page.html", "drawing.svg", "a.py", "picture.PNG", "info.json"):
        answer = shown.browser.get(f"/p/demo/data/v0/raw/{path}")
        kind, policy = answer.headers["content-type"], answer.headers["content-security-policy"]
        assert kind in {"image/png", "image/svg+xml", "application/octet-stream"}, path
        assert policy.startswith("sandbox; default-src 'none'"), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        inline = answer.headers["content-disposition"] == "inline"
        assert inline == kind.startswith("image/")


def test_an_html_file_is_only_shown_in_a_frame_without_rights(shown: Site) -> None:
    url = "/p/demo/data/v0/frame/page.html"
    answer = shown.browser.get(url, sec_fetch_dest="iframe")
    assert answer.body == b"<h1>hello</h1>"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow" not in policy
    assert shown.browser.get(url, sec_fetch_dest="document").status == 400
    assert shown.browser.get("/p/demo/data/v0/frame/a.py").status == 404


def test_a_download_has_its_name_and_can_be_read_by_ranges(site: Site) -> None:
    data = bytes(range(256)) * 20_000
    assert len(data) > BLOCK_SIZE_BYTES
    commit(site.repository, "demo/data", {'a "b"\n.bin': data})
    url = "/p/demo/data/v0/raw/a%20%22b%22%0A.bin"
    whole = site.browser.get(f"{url}?download=1")
    assert whole.body == data
    disposition = whole.headers["content-disposition"]
    assert disposition == "attachment; filename*=UTF-8''a%20%22b%22%0A.bin"
    assert whole.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    part = site.browser.get(url, range="bytes=4194300-4194310")
    assert (part.status, part.body) == (206, data[4194300:4194311])
    assert site.browser.get(url, range="bytes=9999999-").status == 416
    assert site.stranger().get(url).status == 401


def test_damaged_bytes_are_not_shown(site: Site, tmp_path: Path) -> None:
    commit(site.repository, "demo/data", {"a.txt": b"wonderful words" * 100})
    for pack in (tmp_path / "store" / "packs").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(pack.read_bytes().replace(b"wonderful", b"worthless"))
    page = site.get("/p/demo/data/v0/files/a.txt")
    assert "worthless" not in page
    assert 'class="notice bad"' in page
    assert site.browser.get("/p/demo/data/v0/raw/a.txt").status >= 400


def referring(repository: Repository, uri: str) -> None:
    entry = ReferenceEntry("a.txt", uri, "x", None, Pin(), {}, 0)
    commit_encoded(repository, "demo/refs", encode_directory([entry]))


def test_a_reference_is_followed_for_whoever_runs_the_server_alone(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret words")
    referring(site.repository, f"file://{tmp_path}/secret.txt")
    assert "secret words" in site.get("/p/demo/refs/v0/files/a.txt")
    server = Server(site.repository)
    pages = Pages(site.repository, KeyGuard(server.gate, server.tokens))
    served = Browser(server.application(pages.application()))
    text, key = new_key("ada")
    site.repository.catalog.serving.add_key(key)
    served.post("/login", {"secret": text})
    page = served.get("/p/demo/refs/v0/files/a.txt")
    assert page.status == 200
    assert "secret words" not in page.text
    assert "follows for nobody" in page.text
    assert served.get("/p/demo/refs/v0/raw/a.txt").status == 400
    assert served.get("/host").status == 403
