"""Command lines of `artfs`, and its mounts, in children of processes that have imported it already.

What is run is what `python -m artfs` runs, or `python -m artfs.daemon`, in a process of its own
with its own environment, directory and output. Only the imports are shared: they take longer than
most commands.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_")
"""What the interpreter reads when it starts; a child can no longer be told."""

COMMAND = """
import botocore.session
import artfs.blobs.s3, artfs.catalog.sql, artfs.cli.app, artfs.repository.shared
import tests.support.daemons
from artfs.cli.main import main
NAME = "artfs"
"""
"""What is run: `python -m artfs`."""

DAEMON = """
import botocore.session
import artfs.blobs.s3, artfs.catalog.sql, artfs.repository.shared
import artfs.daemon.read_only_mount, artfs.daemon.staging_mount
from artfs.daemon.__main__ import main
NAME = "artfs.daemon"
"""
"""What is run: `python -m artfs.daemon`."""

_PROGRAM = """
import atexit, ctypes, gc, json, os, signal, site, socket, sys, threading
site.addsitedir(sys.argv[2])
import artfs.failpoints
{imports}
from tests.support.statements import share_statements, warm_up


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
        try:
            connection.sendall(b"%d\\n" % child)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            connection.sendall(b"%d\\n" % status)
        except OSError:
            pass  # nobody waits any more
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

share_statements()
warm_up()
gc.freeze()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
request = asked(socket.socket(fileno=int(sys.argv[1])))
os.umask(request["umask"])
if request["user"]:
    become(request["user"])
if request["new_session"]:
    os.setsid()
os.environ.clear()
os.environ.update(request["environment"])
os.chdir(request["directory"])
sys.argv = [NAME, *request["arguments"]]
if request["daemons"]:
    tests.support.daemons.start_through(request["daemons"])
try:
    artfs.failpoints.use_environment()
    status = main()
except SystemExit as ended:
    status = ended.code
if isinstance(status, str):
    print(status, file=sys.stderr)
    status = 1
# As the interpreter ends, but for what it takes apart: that has more than the command did.
threading._shutdown()
atexit._run_exitfuncs()
for stream in (sys.stdout, sys.stderr):
    try:
        stream.flush()
    except (OSError, ValueError):
        status = 120
os._exit((status or 0) & 0xFF)
"""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs a command line; only root can choose."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and as what."""

    arguments: list[str]
    environment: dict[str, str]
    directory: str
    umask: int = 0o022
    user: User | None = None
    new_session: bool = False
    daemons: str | None = None
    """Of a command line: the socket of who starts its mounts."""


class Done(msgspec.Struct, frozen=True):
    """What came of one command line."""

    code: int
    """Negative: the number of the signal that ended it."""
    out: bytes
    err: bytes


class Running:
    """A process that was started."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._told = connection.makefile("rb")
        self.pid = int(self._told.readline())

    def wait(self, timeout_s: float | None = None) -> int:
        """Its exit code, once it has ended. Raises: TimeoutError."""
        self._connection.settimeout(timeout_s)
        return int(self._told.readline())

    def leave(self) -> None:
        """Wait for it no more."""
        self._told.close()
        self._connection.close()


def start(path: str, request: Request, *, streams: Sequence[int]) -> Running:
    """Have the starter behind a socket run something with these standard streams."""
    with tempfile.TemporaryFile() as asked:
        asked.write(msgspec.json.encode(request))
        asked.seek(0)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        socket.send_fds(connection, [b"?"], [*streams, asked.fileno()])
        return Running(connection)


class Starter:
    """A process that forks for each request."""

    def __init__(
        self, environment: dict[str, str], *, python: str = sys.executable, imports: str = COMMAND
    ) -> None:
        self._base = at_start(environment)
        self._directory = tempfile.TemporaryDirectory(prefix="artfs-starter-")
        self.path = str(Path(self._directory.name, "socket"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen(64)
            fd = listener.fileno()
            program = _PROGRAM.format(imports=imports)
            self._process = subprocess.Popen(
                [python, "-c", program, str(fd), sysconfig.get_path("purelib")],
                env=environment,
                pass_fds=[fd],
            )
        atexit.register(self._end)

    def fits(self, environment: dict[str, str]) -> bool:
        """Whether an interpreter would start in this environment as it has."""
        return at_start(environment) == self._base

    def run(self, request: Request, *, timeout_s: float) -> Done:
        """Run to the end, with an empty standard input. Raises: TimeoutError."""
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            open(os.devnull, "rb") as nothing,  # noqa: PTH123 - a device
        ):
            streams = [file.fileno() for file in (nothing, out, err)]
            running = start(self.path, request, streams=streams)
            try:
                code = running.wait(timeout_s)
            finally:
                running.leave()
            out.seek(0)
            err.seek(0)
            return Done(code, out.read(), err.read())

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()


def at_start(environment: dict[str, str]) -> dict[str, str]:
    """What the interpreter reads of an environment when it starts."""
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


@cache
def starter(python_path: str) -> Starter:
    """The one of this test process."""
    return Starter(_environment(python_path))


def daemon_starter(environment: dict[str, str]) -> Starter:
    """The one of this test process for mounts that start with such an environment."""
    return _daemon_starter(frozenset(at_start(environment).items()))


@cache
def _daemon_starter(wanted: frozenset[tuple[str, str]]) -> Starter:
    return Starter({"PATH": os.environ["PATH"], **dict(wanted)}, imports=DAEMON)


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
