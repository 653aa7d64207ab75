"""How a server is started, told about, and ended."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from artfs.testing.seaweedfs import free_ports
from tests.cli.conftest import Cli
from tests.server.conftest import RunningServer
from tests.server.test_rights import CREATE, FIND, Logger
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS
from tests.support.disks import small_file_system
from tests.support.shared import SharedStore


class Systemd:
    """Hears what a service says of itself."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(60)

    def hears(self, text: str) -> None:
        """Wait for this word."""
        assert self.socket.recv(100).decode() == text


def test_systemd_hears_when_it_answers_and_sigterm_waits_for_an_upload_under_way(
    tmp_path: Path,
) -> None:
    address = str(tmp_path / "notify")
    cli = Cli(tmp_path)
    cli.environment["NOTIFY_SOCKET"] = address
    systemd = Systemd(address)
    with systemd.socket:
        server = RunningServer(cli)
        systemd.hears("READY=1")
        data = b"0123456789" * 300_000
        logger = Logger(server, "p", "data", file=data)
        logger.create()
        (url,) = logger.urls()
        parts = urlsplit(url or "")
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.putrequest("PUT", parts.path)
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data[:2_000_000])
        # That it has begun is known once another request is answered.
        assert server.request("GET", "/healthz")[0] == 200
        server.process.terminate()
        systemd.hears("STOPPING=1")
        connection.send(data[2_000_000:])
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        connection.close()
        assert server.stop() == 0
    # What it took in then is there for the next server.
    address = f"@artfs-{tmp_path.name}-{tmp_path.parent.name}"
    cli.environment["NOTIFY_SOCKET"] = address
    systemd = Systemd(address)
    with systemd.socket:
        logger.server = again = RunningServer(cli)
        again.key = server.key
        systemd.hears("READY=1")
        logger.manifest()
        assert logger.commit()[0] == 200
        assert again.stop() == 0


def test_links_lead_to_the_public_url_and_a_read_only_server_changes_nothing(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    first = RunningServer(cli)
    logger = Logger(first, "p", "data", file=b"bytes")
    logger.log()
    other = Logger(first, "p", "other", file=b"others")
    other.create()
    (link,) = other.urls()
    assert first.stop() == 0
    [port] = free_ports(1)
    options = ("--listen", f"127.0.0.1:{port}", "--public-url", "https://artfs.example/")
    server = RunningServer(cli, *options, "--read-only")
    assert server.url == "https://artfs.example"
    server.url, server.key = f"http://127.0.0.1:{port}", first.key
    _, answer = server.ask(FIND, project="p", name="data:v0")
    artifact = answer["data"]["project"]["artifact"]
    url = artifact["files"]["edges"][0]["node"]["directUrl"]
    assert url.startswith("https://artfs.example/contents/")
    assert artifact["currentManifest"]["file"]["directUrl"].startswith("https://artfs.example/")
    assert server.request("GET", urlsplit(url).path, key="")[2] == b"bytes"
    wanted = {"artifactTypeName": "t", "artifactCollectionName": "x", "digest": "0" * 32}
    status, answer = server.ask(CREATE, input={**wanted, "projectName": "p"})
    assert (status, "read-only" in answer["error"]) == (400, True)
    status, _, text = server.request("PUT", urlsplit(link or "").path, b"others", key="")
    assert (status, b"read-only" in text) == (403, True)
    stream = server.request("POST", "/files/tester/p/r/file_stream", b'{"complete": true}')
    assert stream[0] in {400, 403, 404}, stream
    assert server.stop() == 0


def test_beyond_loopback_a_server_without_tls_says_what_that_means(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("keys", "add", "ada")
    server = RunningServer(cli, "--listen", "0.0.0.0:0")
    server.process.terminate()
    _, said = server.process.communicate(timeout=60)
    assert "without TLS keys can be read on the way" in said
    assert server.process.returncode == 0


def test_a_store_on_a_disk_that_can_only_be_read_is_served(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", size_mib=32) as disk:
        cli = Cli(tmp_path)
        cli.environment["ARTFS_STORE"] = str(disk / "store")
        (tmp_path / "file").write_bytes(b"bytes")
        cli.ok("put", tmp_path / "file", "-n", "p/data", "-t", "dataset")
        key = cli.ok("keys", "add", "ada").out.strip()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        server = RunningServer(cli, "--read-only")
        server.key = key
        _, answer = server.ask(FIND, project="p", name="data:v0")
        url = answer["data"]["project"]["artifact"]["files"]["edges"][0]["node"]["directUrl"]
        assert server.request("GET", url, key="")[2] == b"bytes"
        assert server.stop() == 0


def test_while_the_object_store_is_away_uploads_and_downloads_are_told_to_come_back(
    tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        database = postgresql.new_schema()
        shared = SharedStore(tmp_path, database, seaweedfs, endpoint=proxy.url).made()
        cli = shared.host()
        cli.environment["ARTFS_TIMEOUT"] = "2"
        server = RunningServer(cli)
        large = b"0123456789" * 200_000
        Logger(server, "p", "data", file=large).log()
        logger = Logger(server, "p", "more", file=b"small", large=large[5:])
        logger.create()
        links = logger.urls()
        _, answer = server.ask(FIND, project="p", name="data:v0")
        url = answer["data"]["project"]["artifact"]["files"]["edges"][0]["node"]["directUrl"]
        proxy.set(Fault(refuse=True))
        answers = [server.request("GET", url, key="")]
        for link, data in zip(links, logger.contents.values(), strict=True):
            answers.append(server.request("PUT", link or "", data, key=""))
        for status, headers, text in answers:
            message = json.loads(text)["error"]
            assert (status, headers["retry-after"], "\n" in message) == (503, "10", False), message
            assert "fault of this server" not in message
        proxy.set()
        assert server.request("GET", url, key="")[2] == large
        logger.send()
        logger.manifest()
        assert logger.commit()[0] == 200
        assert server.stop() == 0
        cli.ok("verify", "p/more")
