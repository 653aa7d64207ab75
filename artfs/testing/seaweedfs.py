"""A real S3 server on loopback: SeaweedFS, on free ports, for as long as somebody needs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from artfs.blobs.s3client import make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PAUSE_S = 0.05
_TAIL_CHARACTERS = 2000

ACCESS_KEY = "AKIDTEST"
SECRET_KEY = "SECRETTEST"  # noqa: S105 - of a server that only this machine reaches
REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What its clients need to find in theirs."""
_START_DEADLINE_S = 90
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses at the moment."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def wait_until_it_answers(
    ask: Callable[[], object],
    process: subprocess.Popen[bytes],
    *,
    refusals: type[Exception] | tuple[type[Exception], ...] = OSError,
    log: Path | None = None,
    deadline_s: float = 30,
) -> None:
    """Ask until no refusal is raised.

    Raises: RuntimeError where the process ends or the deadline passes.
    """
    end_s = time.monotonic() + deadline_s
    while True:
        try:
            ask()
        except refusals as error:
            if process.poll() is not None or time.monotonic() > end_s:
                said = "" if log is None else log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
                raise RuntimeError(f"{process.args!r} does not start: {error}\n{said}") from error
            time.sleep(_PAUSE_S)
        else:
            return


def connect(port: int) -> None:
    """Connect to a port of the loopback. Raises: OSError."""
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


class SeaweedFS(msgspec.Struct, frozen=True):
    """A running server, and a bucket of it that exists."""

    endpoint_url: str
    bucket: str
    filer: str
    """Where its own kind of mount finds it."""

    def client(self) -> S3Client:
        """A client with the server's credentials, which are in the environment."""
        return make_client(endpoint_url=self.endpoint_url, region=REGION)

    def new_prefix(self) -> str:
        """A prefix that nobody else uses. Buckets are dear: each one takes several volumes."""
        return uuid.uuid4().hex


@contextmanager
def running_seaweedfs(weed: str, directory: Path, *, bucket: str) -> Iterator[SeaweedFS]:
    """A server that keeps its data in `directory`; `weed` is its program.

    ENVIRONMENT has to be in that of the caller. Blocks: some 3 s. Raises: RuntimeError.
    """
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    (directory / "data").mkdir()
    config = directory / "s3.json"
    config.write_text(json.dumps(_identities()))
    command = [
        # The server dies with whoever started it, whatever ends that one.
        *("setpriv", "--pdeathsig", "KILL"),
        *(weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={directory / 'data'}"),
        *("-master.volumeSizeLimitMB=128", "-volume.max=200"),
        *("-master.electionTimeout=1s", "-master.heartbeatInterval=100ms"),
        *("-master.telemetry=false", "-s3", f"-s3.config={config}", "-s3.autoCreateBucket=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        server = SeaweedFS(
            f"http://127.0.0.1:{ports['s3.port']}",
            bucket,
            f"127.0.0.1:{ports['filer.port']}.{ports['filer.port.grpc']}",
        )
        _wait_until_it_stores(server, process, log)
        yield server
    finally:
        # A polite stop takes twenty seconds.
        process.kill()
        process.wait()
        for port in ports.values():
            for leftover in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - its choice
                leftover.unlink()


def _identities() -> object:
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    return {"identities": [{"name": "t", "credentials": credentials, "actions": everything}]}


def _wait_until_it_stores(server: SeaweedFS, process: subprocess.Popen[bytes], log: Path) -> None:
    # Of this many attempts each one would otherwise try again by itself, ever more slowly.
    client = make_client(endpoint_url=server.endpoint_url, region=REGION, attempts=1)

    def store() -> None:
        client.create_bucket(Bucket=server.bucket)
        client.put_object(Bucket=server.bucket, Key="ready", Body=b"ready")

    wait_until_it_answers(
        store,
        process,
        refusals=(BotoCoreError, ClientError),
        log=log,
        deadline_s=_START_DEADLINE_S,
    )
