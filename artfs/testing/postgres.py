"""A real PostgreSQL server, on a Unix socket of its own, for as long as somebody needs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg

from artfs.testing.seaweedfs import wait_until_it_answers

_PROGRAMS = Path("/usr/lib/postgresql")
_START_DEADLINE_S = 60
_STOP_DEADLINE_S = 30


class PostgreSQL(msgspec.Struct, frozen=True):
    """A running server, whose superuser `postgres` needs no password."""

    socket_directory: Path

    def url(self, database: str, *, user: str = "postgres") -> str:
        """The URL of a database, whether it exists or not."""
        return f"postgresql://{user}@/{database}?host={self.socket_directory}"

    def new_schema(self) -> str:
        """The URL of a database whose tables are in a new, empty schema of their own."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute("postgres", f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}&options=-csearch_path%3D{name}"

    def new_database(self, options: str = "") -> str:
        """The URL of a new, empty database, which is dear: three hundred files."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute("postgres", f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def execute(self, database: str, statement: str) -> None:
        """Run one statement as superuser, in no transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())


class OwnPostgreSQL:
    """A server that its user alone uses, and may stop and start."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.server = PostgreSQL(directory)
        self._programs = programs
        self._log = directory / "log"
        self._data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = None
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            self._user = "postgres"
            shutil.chown(directory, self._user)
        options = ["-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]
        assert self._spawn("initdb", *options).wait() == 0, self._log.read_text()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.server.socket_directory),
            "fsync": "off",
            "max_connections": "200",
            "deadlock_timeout": "50ms",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        self._process = self._spawn("postgres", *options)
        wait_until_it_answers(
            lambda: psycopg.connect(self.server.url("postgres")).close(),
            self._process,
            refusals=psycopg.OperationalError,
            log=self._log,
            deadline_s=_START_DEADLINE_S,
        )

    def stop(self) -> None:
        """Stop it at once, without leaving a child behind."""
        process, self._process = self._process, None
        if process is None:
            return
        # Nothing is written that nobody will read; the next start recovers.
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(_STOP_DEADLINE_S)
        finally:
            process.kill()
            process.wait()

    def _spawn(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [self._programs / program, "-D", self._data, *options],
                stdout=output,
                stderr=output,
                cwd=self._data.parent,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
            )


@contextmanager
def own_postgresql() -> Iterator[OwnPostgreSQL]:
    """A server that runs, and is gone afterwards. Raises: FileNotFoundError."""
    programs = sorted(_PROGRAMS.glob("*/bin/initdb"))
    if not programs:
        raise FileNotFoundError("Debian's postgresql is not installed: scripts/setup dev does that")
    # The path of a Unix socket has to be short, which those of pytest are not.
    directory = Path(tempfile.mkdtemp(prefix="artfs-pg-"))
    try:
        own = OwnPostgreSQL(programs[-1].parent, directory)
        try:
            own.start()
            yield own
        finally:
            own.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def lapse_leases(url: str) -> None:
    """Let all leases of a catalog be as if nobody had renewed them for a year."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE leases SET renewed_at_ns = renewed_at_ns - 31557600000000000")
