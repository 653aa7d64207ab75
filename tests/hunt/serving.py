"""A step of a program: a server of its own, and a client that logs through it over HTTP."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from artfs.cli.app import run
from tests.hunt.programs import tree
from tests.server.conftest import ServerAt
from tests.server.test_rights import Logger

_PR_SET_PDEATHSIG = 1


class ServerDiedError(OSError):
    """The server ended before it was ready."""


@contextmanager
def own_server() -> Iterator[ServerAt]:
    """A server over the store of the environment, which ends with this process."""
    with _running("keys", "add", f"of-{os.getpid()}-{time.monotonic_ns()}") as said:
        key = said.read().decode().strip()
    with _running("serve", "--listen", "127.0.0.1:0", "--json") as said:
        line = said.readline()
        # What went wrong is told in several lines.
        if not line.endswith(b"}\n"):
            raise ServerDiedError("the server ended before it was ready")
        yield ServerAt(json.loads(line)["url"], key)


@contextmanager
def _running(*arguments: str) -> Iterator[IO[bytes]]:
    """What a command line prints, in a process of its own that is ended with the block."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.close(read)
            sys.stdout = os.fdopen(write, "w")
            status = run(arguments)
            sys.stdout.flush()
        finally:
            os._exit(status)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as said:
            yield said
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def log_over_http(project: str, artifact: str, content: int) -> tuple[str, str] | None:
    """Id and number of the version that a server made of a content; None where it has it."""
    with own_server() as server:
        logger = Logger(server, project, artifact, **tree(content))
        try:
            if logger.create() != "PENDING":
                return None
            logger.send()
            logger.manifest()
        except AssertionError as refusal:
            raise RefusedError(*refusal.args) from refusal
        found = _committed(logger)
        # A client that did not hear the answer asks again.
        again = _committed(logger)
        if again != found:
            raise RuntimeError(f"one draft became {found} and {again}")
        return found


def _committed(logger: Logger) -> tuple[str, str]:
    status, answer = logger.commit()
    if status != 200:
        raise RefusedError(status, answer)
    made = answer["data"]["commitArtifact"]["artifact"]
    return base64.b64decode(made["id"]).hex(), f"v{made['versionIndex']}"


class RefusedError(Exception):
    """What a server answered in place of a commit."""
