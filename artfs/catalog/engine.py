"""Connections and transactions: what differs between SQLite and PostgreSQL, in one place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import QueuePool

from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    OutOfSpace,
    PermissionDenied,
    StoreFormatError,
)

_BUSY_TIMEOUT_S = 30.0
_ATTEMPTS = 5
_Result = TypeVar("_Result")


class Database:
    """Transactions on one database. Thread-safe."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    @classmethod
    def sqlite(cls, path: Path, *, create: bool = False) -> Self:
        """A SQLite file; one that cannot be written is opened for reading."""
        writable = create or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        # Without a writable directory there is no shared memory file, so no writer either.
        mode = "mode=rwc" if create else "mode=rw" if writable else "mode=ro&immutable=1"

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?{mode}",
                uri=True,
                timeout=_BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            if create:
                connection.execute("PRAGMA journal_mode = WAL")
            return connection

        engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=4)
        # The driver would begin transactions by itself, late and deferred: it must not.
        event.listen(engine, "begin", _begin_sqlite)
        return cls(engine, str(path))

    @classmethod
    def postgresql(cls, url: str) -> Self:
        """A PostgreSQL database, by its URL, with psycopg 3."""
        parsed = make_url(url).set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, pool_pre_ping=True)
        return cls(engine, parsed.set(drivername="postgresql").render_as_string())

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises: BackendUnavailable and the like."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    def write(self, action: Callable[[Connection], _Result]) -> _Result:
        """Run `action` in a transaction of its own, again where the database asks for it."""
        for attempt in range(_ATTEMPTS):
            try:
                with self._translated(), self._writing() as connection:
                    return action(connection)
            except _TryAgain:
                if attempt == _ATTEMPTS - 1:
                    raise BackendUnavailable(self.name, "too many conflicting writers") from None
        raise AssertionError("unreachable")

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # SQLite takes the write lock at once, or two readers that turn writers deadlock.
        engine = self.engine.execution_options(artfs_write=True)
        with engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in _RETRIED_SQLSTATES:
                raise _TryAgain from error
            raise self._translate(error) from error
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> ArtfsError:
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        reason = str(cause).strip().partition("\n")[0]
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return OutOfSpace(self.name, reason, hint="free some space")
        if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
            return PermissionDenied(self.name, reason)
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return StoreFormatError(self.name, f"damaged ({reason})")
        return BackendUnavailable(self.name, reason)


class _TryAgain(Exception):
    """The transaction lost against another one and may be run again."""


# Serialization failure and deadlock: https://www.postgresql.org/docs/current/errcodes-appendix.html
_RETRIED_SQLSTATES = frozenset({"40001", "40P01"})


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("artfs_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
