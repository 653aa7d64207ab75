"""A running `artfs serve`, and W&B's clients in environments of their own."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import ROOT, Cli

CLIENTS = ("0.15.0", "0.31.0")


class ServerAt:
    """A server that answers at an address."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer; with the first key, or `key`; "" is none."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        sent = dict(headers or {})
        chosen = self.key if key is None else key
        if chosen:
            token = base64.b64encode(f"api:{chosen}".encode()).decode()
            sent["Authorization"] = f"Basic {token}"
        try:
            connection.request(method, path.removeprefix(self.url), body, sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()

    def ask(
        self, query: str, *, key: str | None = None, **variables: Any
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a GraphQL answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        status, _, text = self.request("POST", "/graphql", body, key=key)
        return status, json.loads(text)


class RunningServer(ServerAt):
    """`artfs serve` over the store of a `Cli`."""

    def __init__(self, cli: Cli, *options: str) -> None:
        self.cli = cli
        self.process = cli.popen("serve", "--listen", "127.0.0.1:0", "--json", *options)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        ready = json.loads(line)
        super().__init__(ready["url"], ready["key"] or "")

    def stop(self) -> int:
        """End it as systemd would; its exit code."""
        self.process.terminate()
        self.process.communicate(timeout=30)
        return self.process.returncode


def client_python(version: str) -> Path:
    """The Python that has this version of wandb."""
    python = ROOT / f".venv/wandb-{version}/bin/python"
    if not python.exists():
        pytest.fail(f"these tests need wandb {version}: scripts/setup clients installs it")
    return python


def client_environment(server: RunningServer, home: Path, key: str | None = None) -> dict[str, str]:
    """All that a client is told."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": server.key if key is None else key,
        "WANDB_DIR": str(home),
        "WANDB_CACHE_DIR": str(home / "cache"),
        "WANDB_DATA_DIR": str(home / "data-dir"),
        "WANDB_CONFIG_DIR": str(home / "config"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }


def run_client(
    server: RunningServer, version: str, home: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the client's Python with these arguments, to its end."""
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [client_python(version), *arguments],
        env=client_environment(server, home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over a new embedded store."""
    running = RunningServer(Cli(tmp_path_factory.mktemp("served")))
    yield running
    running.process.kill()
    running.process.communicate()
