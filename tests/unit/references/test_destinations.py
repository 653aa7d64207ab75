"""Where requests go, and what goes with them: credentials to the named host, nothing to some."""

from __future__ import annotations

import base64
import gzip
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.errors import ArtfsError, BackendUnavailable, PermissionDenied
from artfs.references.http import HttpHandler
from artfs.settings import LINK_LOCAL_VARIABLE
from tests.servers.scripted import Asked, ScriptedServer, answer, redirect, scripted
from tests.support.references import QUICK, Reading

DATA = b"content" * 1000
OK = answer(200, DATA, etag='"e"', content_length=str(len(DATA)))
BASIC = "Basic " + base64.b64encode(b"user:hidden").decode()


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    handler = HttpHandler(policy=QUICK)
    return Reading(tmp_path / "cache", {"http": handler, "https": handler})


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    hosts = ("127.0.0.1", "127.0.0.2", "localhost")
    path.write_text("".join(f"machine {host} login user password hidden\n" for host in hosts))
    monkeypatch.setenv("NETRC", str(path))


@pytest.fixture
def stranger() -> Iterator[ScriptedServer]:
    with scripted(lambda _: OK, host="127.0.0.2") as server:
        yield server


@pytest.fixture
def neighbour() -> Iterator[ScriptedServer]:
    """Another server of the same host."""
    with scripted(lambda _: OK) as server:
        yield server


def told(server: ScriptedServer, name: str) -> list[str | None]:
    return [asked.headers.get(name) for asked in server.asked]


@pytest.mark.usefixtures("netrc")
def test_credentials_go_to_the_host_that_the_reference_names(reading: Reading) -> None:
    with scripted(lambda asked: redirect("/b") if asked.path == "/a" else OK) as server:
        assert reading.bytes_of(reading.one(f"{server.url}/a")) == DATA
        assert set(told(server, "authorization")) == {BASIC}


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("where", ["stranger", "neighbour"])
def test_a_redirect_takes_no_credentials_elsewhere(
    reading: Reading, where: str, request: pytest.FixtureRequest
) -> None:
    elsewhere: ScriptedServer = request.getfixturevalue(where)

    def script(asked: Asked) -> bytes:
        there = redirect(f"{elsewhere.url}/b").replace(b"\r\n\r\n", b"\r\nSet-Cookie: s=1\r\n\r\n")
        return there if asked.path == "/a" else OK

    with scripted(script) as server:
        embedded = server.url.replace("//", "//user:hidden@")
        for url in (server.url, embedded):
            assert reading.bytes_of(reading.one(f"{url}/a")) == DATA
        assert set(told(server, "authorization")) == {BASIC}
        assert set(told(elsewhere, "authorization")) == {None}
        assert set(told(elsewhere, "cookie")) == {None}
        assert all("hidden" not in str(asked) for asked in elsewhere.asked)


@pytest.mark.usefixtures("netrc")
def test_credentials_do_not_come_back_by_a_detour(
    reading: Reading, stranger: ScriptedServer
) -> None:
    def script(asked: Asked) -> bytes:
        return redirect(f"{stranger.url}/b") if asked.path == "/a" else OK

    with scripted(script) as server:
        stranger.script = lambda _: redirect(f"{server.url}/c")
        assert reading.bytes_of(reading.one(f"{server.url}/a")) == DATA
        asked = {each.path: each.headers.get("authorization") for each in server.asked}
        assert asked == {"/a": BASIC, "/c": None}


def test_credentials_in_a_uri_come_before_those_of_netrc(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(path))
    with scripted(lambda _: OK) as server:
        reading.one(f"{server.url.replace('//', '//user:hidden@')}/a")
        assert told(server, "authorization") == [BASIC]


@pytest.mark.parametrize("location", ["", "/a", "{url}/a"])
def test_redirects_without_end_are_an_error(reading: Reading, location: str) -> None:
    with scripted(lambda _: OK) as server:
        server.script = lambda _: redirect(location.format(url=server.url))
        with pytest.raises(BackendUnavailable):
            reading.one(f"{server.url}/a")
        assert len(server.asked) <= 31


@pytest.mark.parametrize(
    "location", ["http://[::1/", "http://[zz]/", "http://a:b/", "/\xe4", "http://a\xe2\x84\x80b/"]
)
def test_a_redirect_to_what_is_no_url_is_an_error(reading: Reading, location: str) -> None:
    with scripted(lambda _: redirect(location)) as server, pytest.raises(ArtfsError):
        reading.one(f"{server.url}/a")


@pytest.mark.parametrize("said", [{}, {"content_encoding": "gzip"}, {"content_length": str(2**40)}])
def test_the_body_of_a_redirect_is_not_taken_in(reading: Reading, said: dict[str, str]) -> None:
    body = gzip.compress(bytes(2**25), 1) if "content_encoding" in said else bytes(2**25)
    there = answer(302, body, location="/b", **said)
    with scripted(lambda asked: there if asked.path == "/a" else OK) as server:
        tracemalloc.start()
        try:
            assert reading.bytes_of(reading.one(f"{server.url}/a")) == DATA
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 2**23


METADATA = [
    "169.254.169.254",
    "169.254.0.1:8080",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "100.100.100.200",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata",
]


@pytest.mark.parametrize("host", METADATA)
@pytest.mark.parametrize("by", ["name", "redirect"])
def test_addresses_that_hand_out_credentials_are_refused(
    reading: Reading, host: str, by: str
) -> None:
    with scripted(lambda _: redirect(f"http://{host}/latest/meta-data")) as server:
        uri = f"http://{host}/latest" if by == "name" else f"{server.url}/a"
        with pytest.raises(PermissionDenied, match="link-local"):
            reading.one(uri)


def test_a_proxy_is_not_asked_for_what_is_refused(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(lambda _: OK) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(PermissionDenied):
            reading.one("http://169.254.169.254/a")
        assert proxy.asked == []
        # Others are, by their full address.
        assert reading.bytes_of(reading.one("http://data.example/a")) == DATA
        assert {asked.path for asked in proxy.asked} == {"http://data.example/a"}


_IN_A_NAMESPACE = """
import sys
from artfs.errors import PermissionDenied
from artfs.references.http import HttpHandler
from tests.servers.scripted import answer, scripted
body = answer(200, b"secret", etag='"e"', content_length="6")
with scripted(lambda _: body, host="169.254.169.254") as server:
    url = server.url.replace("169.254.169.254", sys.argv[1])
    try:
        [(_, entry)] = HttpHandler().describe(f"{url}/a", name="a", checksum=True, max_objects=None)
        print("read", len(server.asked))
    except PermissionDenied as error:
        print("refused", len(server.asked), "link-local" in str(error))
"""


def _with_link_local(tmp_path: Path, host: str, setting: str) -> str:
    """What comes of asking a server at a link-local address that a name leads to."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n169.254.169.254 innocent.example\n")
    (tmp_path / "script.py").write_text(_IN_A_NAMESPACE)
    unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec"]
    ip = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert ip is not None, "ip is missing: scripts/setup installs it"
    commands = (
        f"{ip} link set lo up; {ip} addr add 169.254.169.254/32 dev lo; "
        f"mount --bind {hosts} /etc/hosts; "
        f"exec env {LINK_LOCAL_VARIABLE}={setting} {sys.executable} {tmp_path}/script.py {host}"
    )
    done = subprocess.run(
        [*unshare, commands],
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_name_that_leads_to_such_an_address_is_refused_when_it_is_connected(
    tmp_path: Path,
) -> None:
    assert _with_link_local(tmp_path, "innocent.example", "") == "refused 0 True"


def test_such_addresses_are_asked_where_a_setting_allows_it(tmp_path: Path) -> None:
    assert _with_link_local(tmp_path, "innocent.example", "on") == "read 1"
    assert _with_link_local(tmp_path, "169.254.169.254", "on") == "read 1"


def test_a_redirect_from_https_to_http_is_refused(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.servers.scripted import with_tls  # noqa: PLC0415 - makes a certificate

    with scripted(lambda _: OK) as plain, with_tls(tmp_path) as (server, certificate):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        server.script = lambda _: redirect(f"{plain.url}/b")
        with pytest.raises(ArtfsError, match="from https to http"):
            reading.one(f"{server.url}/a")
        assert plain.asked == []
        server.script = lambda _: OK
        assert reading.one(f"{server.url}/a").size_bytes == len(DATA)
