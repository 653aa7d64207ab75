"""Connections and transactions: the only place that knows SQLite from PostgreSQL.

SQLite runs in WAL mode with full synchronisation: readers never wait, a writer takes the write
lock when it begins, so it never fails half-way for having read something old, and a commit is on
disk when it returns. PostgreSQL writers run READ COMMITTED and lock the rows that they decide by.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

from artfs import failpoints, forks
from artfs.catalog.failures import from_sqlite, is_transient, translate
from artfs.catalog.sqlite import (
    LOCK_TIMEOUT_S,
    Connector,
    Lonely,
    is_locked,
    is_refused,
    lacks_room,
)
from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    ConfigError,
    InvalidArgument,
    OutOfSpace,
    StoreFormatError,
    Unsupported,
)
from artfs.system.oserrors import translate_os_errors, translated

if TYPE_CHECKING:
    from psycopg import Connection as PsycopgConnection

_SERVER_TIME = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000")

T = TypeVar("T")
_ATTEMPTS = 12
_LONGEST_PAUSE_S = 0.5
_CONNECT_TIMEOUT_S = 10
_PG_DEFAULTS = {
    "connect_timeout": str(_CONNECT_TIMEOUT_S),
    "tcp_user_timeout": "30000",
    "application_name": "artfs",
}
_not_ours: list[Connection | None] = []
"""What a parent uses, kept for ever: the end of such an object would close it."""
_cut: set[str] = set()
"""SQLite databases of which this process has a transaction that is its parent's."""


def now_ns(connection: Connection) -> int:
    """Nanoseconds since the Unix epoch, by the server's clock; by that of this host without one.

    A clock that stands before the epoch counts as the epoch: no record is of a time before it.
    """
    if connection.dialect.name == "postgresql":
        return int(connection.execute(_SERVER_TIME).scalar_one())
    return max(time.time_ns(), 0)


class Database:
    """Transactions on one database; safe for threads, and in a child after a fork."""

    def __init__(self, engine: Engine, subject: str, connector: Connector | None = None) -> None:
        """`connector` makes the connections to a file."""
        self._connector = connector
        self._has_reserve = False
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
            except sqlite3.Error as error:
                # This one statement does not wait for the lock by itself.
                if not is_locked(error) or time.monotonic() > deadline_s:
                    raise self._told(error, from_sqlite(error, self.subject)) from error
                time.sleep(0.01)
            else:
                return

    def close(self) -> None:
        """Close all connections that are not in use, and later those that are."""
        with forks.undivided():
            self._engine.dispose()
        if self._connector is not None and self._connector.reserve.is_given_up:
            self._connector.reserve.keep()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that sees one state of the catalog."""
        with self._translated(retry=False), self._transaction(self._readers) as connection:
            yield connection

    def write(self, work: Callable[[Connection], T], *, frees_space: bool = False) -> T:
        """Do `work` in one transaction, again from the start where it met another writer.

        What frees space may use up the reserve of a disk that is full.
        """
        try:
            done = self._write(work)
        except OutOfSpace:
            if not frees_space or self._connector is None or not self._connector.reserve.give_up():
                raise
            # Connections that are made now have room for all their files.
            with forks.undivided():
                self._engine.dispose()
            done = self._write(work)
        if self._connector is not None and not self._has_reserve:
            self._connector.reserve.keep()
            self._has_reserve = True
        return done

    def _write(self, work: Callable[[Connection], T]) -> T:
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
            raise self._told(error.orig, translate(error, self.subject)) from error
        except exc.TimeoutError as error:
            raise translate(error, self.subject) from error
        except UnicodeEncodeError as error:
            raise InvalidArgument(repr(error.object)[:80], "not valid Unicode text") from error
        except ArtfsError:
            raise
        except OSError as error:
            raise translated(error, self.subject) from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            # A row that no artfs wrote: text in place of a number, JSON that is none, bytes that
            # are no UTF-8. SQLite keeps whatever it is given.
            raise StoreFormatError(
                self.subject,
                f"a row of the catalog is damaged ({type(error).__name__}: {str(error)[:80]})",
                hint="`artfs doctor` looks for what is wrong",
            ) from error

    def _told(self, error: BaseException | None, failure: ArtfsError) -> ArtfsError:
        """The failure; but where the disk refuses to be written, what that says."""
        if self._connector is not None and lacks_room(error):
            refusal = self._connector.refusal()
            if refusal is not None and is_refused(refusal):
                return translated(refusal, self.subject)
        return failure

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
            if failpoints.active():
                failpoints.reach("catalog.ending", drop=lambda: _break(connection))
        failpoints.reach("catalog.ended")

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


def _break(connection: Connection) -> None:
    """Let a connection to a server be as if the network had dropped it."""
    driver: Any = connection.connection.driver_connection
    if not hasattr(driver, "fileno"):
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    with socket.socket(fileno=os.dup(driver.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


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
    Raises: StoreFormatError where there is no file; PermissionDenied, BackendUnavailable.
    """
    with translate_os_errors(path):
        if not create and not path.exists():
            raise StoreFormatError(
                str(path),
                "there is no catalog here",
                hint="`artfs doctor --rebuild-catalog` makes it again",
            )
        connector = Connector(path, create=create)
    if connector.writable:
        engine = create_engine(
            "sqlite://",
            creator=connector.connect,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=56,
            pool_timeout=LOCK_TIMEOUT_S,
        )
        event.listen(engine, "checkin", _part_with_lonely)
    else:
        # Whether somebody writes is found out again for each transaction: see Connector.
        engine = create_engine("sqlite://", creator=connector.connect, poolclass=NullPool)
    return Database(engine, str(path), connector)


def _part_with_lonely(connection: sqlite3.Connection | None, record: ConnectionPoolEntry) -> None:
    if isinstance(connection, Lonely):
        record.invalidate()


def _speak_plainly(connection: PsycopgConnection[Any], _record: ConnectionPoolEntry) -> None:
    """Whatever database and role say: the driver writes arrays and bytes as these settings read."""
    connection.execute("SET standard_conforming_strings = on")
    connection.execute("SET array_nulls = on")
    connection.commit()


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
            | {"client_encoding": "UTF8"}
        )
    except (exc.ArgumentError, ValueError):
        raise ConfigError(
            "catalog",
            "not a database URL",
            hint="write postgresql://USER@HOST/DATABASE, special characters as %40",
        ) from None
    try:
        engine = create_engine(
            parsed,
            pool_size=4,
            max_overflow=12,
            pool_timeout=LOCK_TIMEOUT_S,
            pool_pre_ping=True,
            # A pooler that gives each transaction another connection knows none of the others'.
            connect_args={"prepare_threshold": None},
        )
    except ModuleNotFoundError:
        raise Unsupported(
            "postgresql", "its driver is not installed", hint="pip install 'artfs[postgres]'"
        ) from None
    event.listen(engine, "connect", _speak_plainly)
    shown = make_url(url).set(query={}).render_as_string(hide_password=True)
    return Database(engine, shown)
