"""Metrics in Prometheus's text format: of mounts, of the store, of `artfs serve`."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from pathlib import Path

import pytest

from artfs.system.mountinfo import mounted_at
from artfs.system.prometheus import Metric, Sample, exposition
from tests.cli.conftest import ROOT, Cli

_SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? ([0-9.e+-]+)'
)


def read(text: str) -> dict[str, dict[str, float]]:
    """The values by name and labels; every line is as the format says."""
    values: dict[str, dict[str, float]] = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert (kind == "counter") == name.endswith("_total"), line
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] in kinds
            values.setdefault(match[1], {})[match[2] or ""] = float(match[3])
    assert values.keys() == kinds.keys()
    return values


def documented() -> set[str]:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8").split("### Metrics", 1)[1]
    return set(re.findall(r"`(artfs_[a-z_]+)`", text.split("\n## ", 1)[0]))


def test_labels_may_hold_anything() -> None:
    odd = 'a"b\\c\nd\udcff'
    text = exposition([Metric("x", "gauge", "X.", [Sample(1, {"name": odd})])])
    assert list(read(text)["x"]) == ['{name="a\\"b\\\\c\\nd\\\\udcff"}']


def scraped(connection: http.client.HTTPConnection, key: str | None = None) -> tuple[int, str]:
    headers = {}
    if key is not None:
        text = base64.b64encode(f"api:{key}".encode()).decode()
        headers["Authorization"] = f"Basic {text}"
    connection.request("GET", "/metrics", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_mounts_and_the_store_are_told_printed_or_served(filled: Cli) -> None:
    place = filled.directory / "mnt"
    place.mkdir()
    filled.ok("mount", "demo", place)
    try:
        (place / "data" / "v1" / "a.txt").read_bytes()
        values = read(filled.ok("metrics").out)
        mine = [key for key in values["artfs_mount_up"] if f'mountpoint="{place}"' in key]
        assert len(mine) == 1
        assert values["artfs_mount_up"][mine[0]] == 1
        assert values["artfs_mount_opens_total"][mine[0]] >= 1
        assert list(values["artfs_store_versions"].values()) == [3]
        assert set(values) == {each for each in documented() if "_server_" not in each}
        listening = filled.directory / "metrics.sock"
        process = filled.popen("metrics", "--no-store", "--listen", f"unix:{listening}")
        assert process.stdout is not None
        assert process.stdout.readline() == f"serving metrics at unix:{listening}\n"
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(listening))
        status, text = scraped(connection)
        assert (status, mine[0] in read(text)["artfs_mount_up"]) == (200, True)
        assert listening.stat().st_mode & 0o077 == 0
        filled.fails(7, "metrics", "--listen", f"unix:{listening}", says="listens there")
        process.terminate()
        assert process.wait(30) == 0
        process.communicate()
        assert not listening.exists()
    finally:
        if mounted_at(place) is not None:
            filled.run("umount", "--force", place)


@pytest.mark.parametrize("listen", ["0.0.0.0:9477", "127.0.0.1:x"])
def test_metrics_are_for_this_machine_alone(filled: Cli, listen: str) -> None:
    filled.fails(10, "metrics", "--listen", listen, says="--listen")


def test_a_server_tells_them_to_who_may_see_all_of_it(filled: Cli) -> None:
    key = filled.ok("keys", "add", "prometheus", "--json").json["key"]
    small = filled.ok("keys", "add", "small", "--project", "demo", "--json").json["key"]
    process = filled.popen("serve", "--listen", "127.0.0.1:0", "--json")
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        assert scraped(connection)[0] == 401
        assert scraped(connection, small)[0] == 403
        status, text = scraped(connection, key)
        values = read(text)
        assert status == 200
        requests = values["artfs_server_requests_total"]
        assert requests == {
            '{method="GET",status="401"}': 1,
            '{method="GET",status="403"}': 1,
        }
        assert values["artfs_server_requests_running"] == {"": 1}
        assert set(values) == {each for each in documented() if "_mount_" not in each}
    finally:
        connection.close()
        process.terminate()
        process.communicate(timeout=30)


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    text = Path(ROOT / "docs" / "grafana.json").read_text("utf-8")
    shown = set(re.findall(r"artfs_[a-z_]+", text))
    assert len(json.loads(text)["panels"]) == 8
    assert shown <= documented()
