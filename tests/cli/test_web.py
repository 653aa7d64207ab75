"""`artfs web` and `artfs search` as commands."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

from tests.cli.conftest import Cli


def test_web_shows_pages_at_the_printed_address_until_it_is_ended(filled: Cli) -> None:
    process = filled.popen("web", "--listen", "127.0.0.1:0", "--json", "--read-only")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    address = urlsplit(ready["address"])
    assert f"http://{address.netloc}" == ready["url"]
    assert ready["store"] == str(filled.store)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.request("GET", f"{address.path}?{address.query}")
    answer = connection.getresponse()
    answer.read()
    cookie = (answer.headers["set-cookie"] or "").partition(";")[0]
    connection.request("GET", "/", headers={"cookie": cookie, "accept": "text/html"})
    page = connection.getresponse().read()
    connection.close()
    assert b"/p/demo" in page
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_a_search_prints_what_it_finds(filled: Cli) -> None:
    filled.ok("alias", "add", "demo/data:v0", "good")
    found = filled.ok("search", "data", "alias:good", "--json").json
    assert [each["path"] for each in found] == ["demo/data:v0"]
    text = filled.ok("search", "type:dataset", "-alias:good").out
    assert "demo/data:v0" not in text
    assert filled.ok("search", "created > 2020-01-01", "nothing").out.startswith("VERSION")


def test_a_search_that_cannot_be_read_is_one_line(filled: Cli) -> None:
    filled.fails(10, "search", "size > much", says="is no size or count")
    filled.fails(10, "search", 'an "open end', says="cannot be read at")
    filled.fails(3, "search", "x", "--project", "nope", says="no such project")
