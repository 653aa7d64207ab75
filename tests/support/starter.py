"""Command lines of `artfs` in children of one process that has imported it already.

What is run is what `python -m artfs` runs, in a process of its own with its own environment,
directory and output. Only the imports are shared: they take longer than most commands.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

import msgspec

_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_")
"""What the interpreter reads of the environment, and a child can no longer be told."""

_PROGRAM = """
import ctypes, json, os, signal, site, socket, sys
site.addsitedir(sys.argv[2])
import botocore.session
import artfs.blobs.s3, artfs.catalog.sql, artfs.cli.app, artfs.repository.shared
from artfs.cli.main import main

def asked(listener):
    # Only a child leaves this function; its parent tells what becomes of it.
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            break
        connection.close()
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, fds, _, _ = socket.recv_fds(connection, 1, 4)
    child = os.fork()
    if child:
        for fd in fds:
            os.close(fd)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(str(status).encode())
        os._exit(0)
    connection.close()
    with open(fds.pop(), "rb") as file:
        request = json.load(file)
    for wanted, fd in enumerate(fds):
        os.dup2(fd, wanted)
        os.close(fd)
    return request

def become(user):
    os.setgroups(user["groups"])
    os.setresgid(*[user["gid"]] * 3)
    os.setresuid(*[user["uid"]] * 3)
    # As after an exec: its /proc/self is its own (PR_SET_DUMPABLE).
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
request = asked(socket.socket(fileno=int(sys.argv[1])))
os.umask(request["umask"])
if request["user"]:
    become(request["user"])
os.environ.clear()
os.environ.update(request["environment"])
os.chdir(request["directory"])
sys.argv = ["artfs", *request["arguments"]]
main()
"""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs a command line; only root can choose."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class Done(msgspec.Struct, frozen=True):
    """What came of one command line."""

    code: int
    """Negative: the number of the signal that ended it."""
    out: bytes
    err: bytes


class Starter:
    """A process that forks for each command line."""

    def __init__(self, environment: dict[str, str], *, python: str = sys.executable) -> None:
        self._base = _at_start(environment)
        self._directory = tempfile.TemporaryDirectory(prefix="artfs-starter-")
        self._path = str(Path(self._directory.name, "socket"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(64)
            fd = listener.fileno()
            self._process = subprocess.Popen(
                [python, "-c", _PROGRAM, str(fd), sysconfig.get_path("purelib")],
                env=environment,
                pass_fds=[fd],
            )
        atexit.register(self._end)

    def fits(self, environment: dict[str, str]) -> bool:
        """Whether an interpreter would start in this environment as it has."""
        return _at_start(environment) == self._base

    def run(
        self,
        arguments: list[str],
        *,
        environment: dict[str, str],
        directory: Path,
        timeout_s: float,
        umask: int = 0o022,
        user: User | None = None,
    ) -> Done:
        """Run to the end, with an empty standard input. Raises: TimeoutError."""
        request = {
            "arguments": arguments,
            "environment": environment,
            "directory": str(directory),
            "umask": umask,
            "user": user,
        }
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            open(os.devnull, "rb") as nothing,  # noqa: PTH123 - a device
            tempfile.TemporaryFile() as asked,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            asked.write(msgspec.json.encode(request))
            asked.seek(0)
            connection.settimeout(timeout_s)
            connection.connect(self._path)
            fds = [file.fileno() for file in (nothing, out, err, asked)]
            socket.send_fds(connection, [b"?"], fds)
            code = int(connection.recv(16))
            out.seek(0)
            err.seek(0)
            return Done(code, out.read(), err.read())

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()


def _at_start(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


@cache
def starter(python_path: str) -> Starter:
    """The one of this test process."""
    return Starter(_environment(python_path))


@cache
def starter_for_others(python_path: str) -> Starter | None:
    """One that may change its user; None where no Python of this version is for everybody."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        python = Path(candidate).resolve()
        if python.name == f"python3.{sys.version_info.minor}" and _is_for_everybody(python):
            return Starter(_environment(python_path), python=str(python))
    return None


def _is_for_everybody(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))


def _environment(python_path: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": python_path, "LC_ALL": "C.UTF-8"}
