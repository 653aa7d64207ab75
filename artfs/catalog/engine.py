"""Connections and transactions: the only place that knows SQLite from PostgreSQL.

SQLite runs in WAL mode with full synchronisation: readers never wait, a writer takes the write
lock when it begins, so it never fails half-way for having read something old, and a commit is on
disk when it returns. PostgreSQL writers run READ COMMITTED and lock the rows that they decide by.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import NullPool, QueuePool

from artfs.catalog.failures import is_transient, translate
from artfs.errors import (
    BackendUnavailable,
    ConfigError,
    InvalidArgument,
    StoreFormatError,
    Unsupported,
)
from artfs.system import forks

T = TypeVar("T")

LOCK_TIMEOUT_S = 30.0
"""How long a writer waits for SQLite's write lock, or a thread for a free connection."""

_ATTEMPTS = 12
_LONGEST_PAUSE_S = 0.5
_CONNECT_TIMEOUT_S = 10
_WAL_PAGES = 16_384
"""A checkpoint of SQLite waits for 64 MiB of log: it costs each commit less, and none a lot."""

_PG_DEFAULTS = {
    "connect_timeout": str(_CONNECT_TIMEOUT_S),
    "tcp_user_timeout": "30000",
    "application_name": "artfs",
}


class Database:
    """Transactions on one database; safe for threads, and in a child after a fork."""

    def __init__(self, engine: Engine, subject: str) -> None:
        self.subject = subject
        """What errors name: the path, or the URL without its password."""
        self.is_shared = engine.dialect.name != "sqlite"
        """Whether it is on a server."""
        self._engine = engine
        self._connections: dict[object, Connection | None] = {}
        forks.before_fork(self._close_before_fork)
        forks.in_child(self._leave_to_parent)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "begin", _begin_sqlite)
            self._readers = engine
            self._writers = engine.execution_options(artfs_writes=True)
        else:
            self._readers = engine.execution_options(isolation_level="REPEATABLE READ")
            self._writers = engine.execution_options(isolation_level="READ COMMITTED")

    def use_log(self) -> None:
        """Let a SQLite database keep a write-ahead log, for good: readers then never wait."""
        if self._engine.dialect.name != "sqlite":
            return
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                with (
                    self._translated(retry=False),
                    self._connection(self._engine) as connection,
                ):
                    driver = connection.connection.driver_connection
                    assert isinstance(driver, sqlite3.Connection)
                    driver.execute("PRAGMA journal_mode = WAL")
            except (BackendUnavailable, sqlite3.OperationalError) as error:
                # This one statement does not wait for the lock by itself.
                if time.monotonic() > deadline_s:
                    raise BackendUnavailable(self.subject, str(error)) from error
                time.sleep(0.01)
            else:
                return

    def close(self) -> None:
        """Close all connections that are not in use, and later those that are."""
        with forks.undivided():
            self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that sees one state of the catalog."""
        with self._translated(retry=False), self._transaction(self._readers) as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction, again from the start where it met another writer."""
        for attempt in range(_ATTEMPTS):
            try:
                with self._translated(retry=True), self._transaction(self._writers) as connection:
                    return work(connection)
            except _TryAgainError:
                pause_s = min(_LONGEST_PAUSE_S, 0.005 * 2**attempt)
                time.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
        raise BackendUnavailable(self.subject, "too many writers at once")

    @contextmanager
    def _translated(self, *, retry: bool) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            if retry and is_transient(error):
                raise _TryAgainError from error
            raise translate(error, self.subject) from error
        except exc.TimeoutError as error:
            raise translate(error, self.subject) from error
        except UnicodeEncodeError as error:
            raise InvalidArgument(repr(error.object)[:80], "not valid Unicode text") from error

    def _close_before_fork(self) -> None:
        """Close the connections: neither side of a fork can use what the other one has, too.

        Two processes on one socket would mix up its answers; SQLite's locks belong to a process,
        and what it remembers of them does not change when its memory is copied.
        """
        self._engine.dispose()

    def _leave_to_parent(self) -> None:
        """Leave to the parent what it still uses: the transaction that the fork came from."""
        cut, self._connections = self._connections, {}
        if not cut:
            return
        self._engine.dispose(close=False)
        # Closing them would end the parent's transaction, or drop its locks.
        _not_ours.extend(cut.values())
        if not self.is_shared:
            _cut.add(self.subject)
        for connection in cut.values():
            if connection is not None and self.is_shared:
                _close_socket(connection)

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        with self._connection(engine) as connection, connection.begin():
            yield connection
            # A child that came from in here has nothing to commit.
            self._check_whole()

    @contextmanager
    def _connection(self, engine: Engine) -> Iterator[Connection]:
        with forks.undivided():
            self._check_whole()
            key = object()
            connections = self._connections
            connections[key] = None
            pool = engine.pool
            try:
                with engine.connect() as connection:
                    connections[key] = connection
                    try:
                        yield connection
                    finally:
                        if engine.pool is not pool and not connection.invalidated:
                            # Its pool was given up meanwhile: this closes it with the block.
                            connection.detach()
            finally:
                connections.pop(key)

    def _check_whole(self) -> None:
        if self.subject in _cut:
            raise BackendUnavailable(
                self.subject,
                "this process was forked in the midst of a transaction",
                hint="start it when no thread is writing, or not by fork (`spawn`)",
            )


_not_ours: list[Connection | None] = []
"""What a parent uses, kept for ever: the end of such an object would close it."""

_cut: set[str] = set()
"""SQLite databases of which this process has a transaction that is its parent's."""


def _close_socket(connection: Connection) -> None:
    """Close this process's copy of a socket, without a word to the server.

    The server sees the end of the parent then, even while this process lives on.
    """
    driver: Any = connection.connection.driver_connection
    with suppress(OSError):
        os.close(driver.fileno())


class _TryAgainError(Exception):
    """A transaction that met another writer."""


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("artfs_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def sqlite_database(path: Path, *, create: bool) -> Database:
    """The database in the file `path`, which `create` makes where it is missing.

    A file or directory that cannot be written is opened for reading.
    Raises: StoreFormatError where there is no file.
    """
    if not create and not path.exists():
        raise StoreFormatError(str(path), "there is no catalog here")
    writable = create or all(
        os.access(each, os.W_OK, effective_ids=True) for each in (path, path.parent)
    )

    def connect() -> sqlite3.Connection:
        if writable:
            return _connect_to_write(path, "mode=rwc" if create else "mode=rw")
        return _connect_to_read(path)

    if writable:
        engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=56,
            pool_timeout=LOCK_TIMEOUT_S,
        )
    else:
        # Whether somebody writes is found out anew for each transaction: see _connect_to_read.
        engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    return Database(engine, str(path))


def _connect_to_write(path: Path, mode: str) -> sqlite3.Connection:
    connection = _connect(path, mode)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that needs no write access to the file or its directory.

    WAL needs a shared-memory file beside the database. A writer that is at work has made one;
    where there is none and it cannot be made, nobody writes, and SQLite may be told so. A log
    without it, left by a writer that crashed, cannot be read in that way: it would be ignored.
    """
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        connection.close()
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size > 0:
            raise BackendUnavailable(
                str(path),
                "a writer ended before it was done",
                hint="open the store once with write access",
            ) from error
        return _connect(path, "immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?{options}",
        uri=True,
        timeout=LOCK_TIMEOUT_S,
        isolation_level=None,  # BEGIN is ours: see _begin_sqlite
        check_same_thread=False,  # the pool gives a connection to one thread at a time
    )


def _unambiguous(url: str) -> URL:
    """Read a URL of which no part of the password can be taken for a host or path, and be shown.

    Raises: ValueError, ArgumentError.
    """
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    if "@" in user + parts.path + parts.fragment or ("@" in parts.query and not user):
        raise ValueError
    return make_url(url)


def postgresql_database(url: str) -> Database:
    """The database that a `postgresql://…` URL names; connects when it is first used.

    Raises: ConfigError, Unsupported.
    """
    try:
        parsed = _unambiguous(url).set(drivername="postgresql+psycopg")
        parsed = parsed.update_query_dict(
            {key: value for key, value in _PG_DEFAULTS.items() if key not in parsed.query}
        )
    except (exc.ArgumentError, ValueError):
        raise ConfigError(
            "catalog",
            "not a database URL",
            hint="write postgresql://USER@HOST/DATABASE, special characters as %40",
        ) from None
    try:
        engine = create_engine(
            parsed, pool_size=4, max_overflow=12, pool_timeout=LOCK_TIMEOUT_S, pool_pre_ping=True
        )
    except ModuleNotFoundError:
        raise Unsupported(
            "postgresql", "its driver is not installed", hint="pip install 'artfs[postgres]'"
        ) from None
    shown = make_url(url).set(query={}).render_as_string(hide_password=True)
    return Database(engine, shown)
