"""What befalls a server: many at once, hostile clients, stores that go away, full disks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from artfs.errors import InvalidArgument
from artfs.server import graphql, lists
from artfs.server.connections import TooSlow, paced
from artfs.server.graphql import BadQuery, GraphQLRequest, answer
from artfs.server.tokens import StoreClock
from tests.cli.conftest import Cli
from tests.server.conftest import RunningServer
from tests.server.test_rights import FIND, MANIFEST, Logger
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS
from tests.support.disks import small_file_system
from tests.support.shared import SharedStore

CLIENTS, LOGS = 8, 2


def test_eight_clients_log_one_name_to_two_servers_of_a_shared_store(
    tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    shared = SharedStore(tmp_path, postgresql.new_schema(), seaweedfs).made()
    first = RunningServer(shared.host())
    second = RunningServer(shared.host())
    second.key = first.key

    def log(number: int) -> None:
        for turn in range(LOGS):
            # What one server gave out the other takes.
            server = (first, second)[(number + turn) % 2]
            content = f"{number}/{turn}".encode()
            Logger(server, "p", "data", file=content, large=content * 400_000, same=b"same").log()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(log, range(CLIENTS)))
    query = """{ project(name: "p") { artifactCollection(name: "data") { ... on ArtifactSequence {
      artifacts(first: 100) { edges { node { versionIndex digest } } } } } } }"""
    _, found = first.ask(query)
    edges = found["data"]["project"]["artifactCollection"]["artifacts"]["edges"]
    assert sorted(edge["node"]["versionIndex"] for edge in edges) == list(range(CLIENTS * LOGS))
    assert len({edge["node"]["digest"] for edge in edges}) == CLIENTS * LOGS
    shared.hosts[0].ok("verify", "p/data")
    assert first.stop() == second.stop() == 0


def _sent(logger: Logger, contents: dict[str, Any]) -> tuple[int, str]:
    """Commit with a manifest that says this; status and message."""
    lines = "".join(f"{path}:{each['digest']}\n" for path, each in sorted(contents.items()))
    head = "wandb-artifact-manifest-v1\n"
    logger.digest = hashlib.md5((head + lines).encode()).hexdigest()
    logger.create()
    logger.send()
    made = logger.ok(MANIFEST, artifactID=logger.id, name="m", digest="", type="FULL", runName="r")
    url = made["createArtifactManifest"]["artifactManifest"]["file"]["uploadUrl"]
    policy = {"storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {}}
    text = json.dumps({"version": 1, **policy, "contents": contents}).encode()
    assert logger.server.request("PUT", url, text, key="")[0] == 200
    status, found = logger.commit()
    return status, found["errors"][0]["message"] if status != 200 else ""


MD5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
FILE = {"digest": MD5, "size": 1}
REFERENCE = {"digest": "e", "ref": "s3://b/k", "size": 1}
WRONG_MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "a path up": ({"../x": FILE}, "not a valid path"),
    "an absolute path": ({"/x": FILE}, "not a valid path"),
    "a NUL": ({"a\0b": FILE}, "not a valid path"),
    "a long path": ({"a/" * 20_000 + "x": FILE}, "at most 4096 bytes"),
    "a file as directory": ({"a": FILE, "a/b": FILE}, "not a directory"),
    "another size": ({"x": {**FILE, "size": 2}}, "not 2 as it says"),
    "no md5": ({"x": {"digest": "?"}}, "no MD5"),
    "what was never sent": ({"x": {"digest": "A" * 22 + "=="}}, "never sent"),
    "no URI": ({"x": {**REFERENCE, "ref": "nope"}}, "no URI"),
    "a size below zero": ({"x": {**REFERENCE, "size": -1}}, "no size"),
    "a size without end": ({"x": {**REFERENCE, "size": 10**30}}, "no size"),
    "a forged line": ({"x": {**REFERENCE, "digest": "e\ny:e"}}, "control characters"),
    "an odd extra": ({"x": {**REFERENCE, "extra": {"etag": 10**30}}}, "cannot be kept"),
}


@pytest.mark.parametrize("name", WRONG_MANIFESTS)
def test_a_manifest_that_breaks_the_rules_leaves_nothing(server: RunningServer, name: str) -> None:
    contents, says = WRONG_MANIFESTS[name]
    status, message = _sent(Logger(server, "wrong", "data", x=b"x"), contents)
    assert (status, says in message, "\n" in message) == (400, True, False), message
    _, found = server.ask(FIND, project="wrong", name="data:latest")
    assert found["data"]["project"]["artifact"] is None


def test_an_upload_that_stops_halfway_is_as_if_it_had_never_begun(server: RunningServer) -> None:
    logger = Logger(server, "halfway", "data", file=b"0123456789" * 300_000)
    logger.create()
    (url,) = logger.urls()
    assert url is not None
    parts = urlsplit(url)
    for length, sent in ((3_000_000, 2_000_000), (500, 100)):
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
            head = f"PUT {parts.path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            client.sendall(head.encode() + b"0" * sent)
            client.shutdown(socket.SHUT_WR)
    logger.manifest()
    assert logger.commit()[0] == 400
    logger.send()
    assert logger.commit()[0] == 200


def test_a_head_without_end_is_refused(server: RunningServer) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert client.recv(100).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_trickles_is_given_up() -> None:
    now = 0.0

    async def body() -> AsyncIterator[bytes]:
        nonlocal now
        for _ in range(20):
            now += 30
            yield b"x"

    async def read() -> int:
        return len([chunk async for chunk in paced(body(), lambda: now)])

    with pytest.raises(TooSlow):
        asyncio.run(read())


def _peak_mib(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def test_clients_that_take_nothing_of_what_they_ask_for_cost_little_memory(tmp_path: Path) -> None:
    server = RunningServer(Cli(tmp_path))
    data = bytes(range(256)) * 48_000
    Logger(server, "p", "data", file=data).log()
    _, answer = server.ask(FIND, project="p", name="data:v0")
    url = answer["data"]["project"]["artifact"]["files"]["edges"][0]["node"]["directUrl"]
    parts = urlsplit(url)
    clients = []
    for _ in range(64):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect((parts.hostname, parts.port))
        client.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )
        clients.append(client)
    heads = [client.recv(12) for client in clients]
    assert set(heads) == {b"HTTP/1.1 200"}
    assert _peak_mib(server.process) < 300
    for client in clients[1:]:
        client.close()
    with clients[0], clients[0].makefile("rb") as file:
        assert file.read().partition(b"\r\n\r\n")[2] == data
    assert server.stop() == 0


class _Projects:
    """A store that has many."""

    def models(self, **_page: Any) -> Any:
        return {"edges": [{"node": {"name": "p", "id": "p"}} for _ in range(400)]}


def test_an_answer_that_grows_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql, "MAX_VALUES", 1000)
    request = GraphQLRequest("query Q { models { edges { node { id name } } } }")
    with pytest.raises(BadQuery, match="operation Q: an answer has at most 1000 values"):
        answer(request, _Projects())


def test_a_pattern_costs_no_more_than_it_looks_at() -> None:
    items = ["a" * 10_000]
    for pattern in ("(a*)*" * 9 + "b", "a*" * 40 + "b"):
        text = json.dumps({"n": {"$regex": pattern}})
        assert lists.matching(items, text, lambda item: {"n": item}) == []
    with pytest.raises(InvalidArgument):
        lists.matching(items, '{"n": {"$regex": "("}}', lambda item: {"n": item})


def test_a_million_aliases_are_refused(server: RunningServer) -> None:
    aliases = [{"artifactCollectionName": "x", "alias": f"a{n}"} for n in range(1001)]
    logger = Logger(server, "labels", "data", file=b"x")
    logger.log()
    query = "mutation A($input: AddAliasesInput!) { addAliases(input: $input) { success } }"
    values = {"artifactID": logger.id, "aliases": aliases}
    status, found = server.ask(query, input=values)
    assert (status, "at most 1000" in found["error"]) == (400, True)
    status, found = server.ask(query, input={**values, "aliases": aliases * 300})
    assert (status, "values" in found["error"]) == (413, True)


def test_links_count_by_the_clock_of_the_store_and_not_by_the_host_s() -> None:
    here, store = 500.0, 10_000 * 10**9
    clock = StoreClock(lambda: store, lambda: here)
    assert clock() == 10_000.0
    here += 5
    assert clock() == 10_005.0
    store = 20_000 * 10**9
    clock.ask()
    assert clock() == 20_000.0


def test_a_full_disk_is_said_and_logging_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", size_mib=32) as disk:
        cli = Cli(tmp_path)
        cli.environment["ARTFS_STORE"] = str(disk / "store")
        server = RunningServer(cli)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(18 << 20))
        for data in (b"large" * (4 << 20), b"small" * 5):
            logger = Logger(server, "p", f"data{len(data)}", file=data)
            logger.create()
            (url,) = logger.urls()
            status, headers, text = server.request("PUT", url or "", data, key="")
            if status == 200:
                continue
            assert (status, headers["retry-after"]) == (507, "10"), text
            assert text.count(b"\n") == 0
        ballast.unlink()
        Logger(server, "p", "data", file=b"0123456789" * 200_000).log()
        assert server.stop() == 0
        cli.ok("verify", "p/data")


def test_a_store_that_goes_away_is_said_and_one_that_comes_back_is_used(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    server = RunningServer(cli)
    logger = Logger(server, "p", "data", file=b"file")
    logger.create()
    (url,) = logger.urls()
    away = cli.store.with_name("away")
    cli.store.rename(away)
    status, _, text = server.request("PUT", url or "", b"file", key="")
    message = json.loads(text)["error"]
    assert status in {400, 403, 404, 503}, message
    assert "fault of this server" not in message
    away.rename(cli.store)
    logger.send()
    logger.manifest()
    assert logger.commit()[0] == 200
    assert server.stop() == 0


def _certificate(directory: Path, *options: str) -> tuple[Path, Path]:
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, *names, "-keyout", key, "-out", cert, *options], check=True, capture_output=True
    )
    return cert, key


def test_a_server_speaks_https_and_says_in_a_line_what_is_wrong_with_its_files(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    cert, key = _certificate(tmp_path, "-nodes")
    server = RunningServer(cli, "--tls-cert", str(cert), "--tls-key", str(key))
    assert server.url.startswith("https://127.0.0.1:")
    done = subprocess.run(
        ["openssl", "s_client", "-quiet", "-CAfile", cert, "-verify_return_error",
         "-connect", urlsplit(server.url).netloc],
        input=b"GET /healthz HTTP/1.0\r\n\r\n", capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert b"200 OK" in done.stdout, done
    taken = urlsplit(server.url).netloc
    cli.fails(7, "serve", "--listen", taken, says="cannot listen")
    assert server.stop() == 0
    (tmp_path / "locked").mkdir()
    _, locked = _certificate(tmp_path / "locked", "-passout", "pass:secret")
    for each in (locked, cert, tmp_path / "nothing"):
        cli.fails(
            11, "serve", "--listen", "127.0.0.1:0", "--tls-cert", str(cert), "--tls-key", str(each),
            says="--tls",
        )  # fmt: skip
