"""What a database driver raises, in the words of artfs."""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    DamagedRecord,
    InvalidArgument,
    OutOfSpace,
    PermissionDenied,
    StoreFormatError,
)

# Serialization failure, deadlock, unique violation: two writers met, and trying again helps. The
# last is how PostgreSQL reports that both inserted the same new name.
_PG_RETRY = frozenset({"40001", "40P01", "23505"})
# A unique violation in SQLite is a random id drawn twice.
_SQLITE_RETRY = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_PROTOCOL")

_PG_CLASSES: dict[str, tuple[type[ArtfsError], str]] = {
    "53100": (OutOfSpace, "the catalog's disk is full"),
    "42501": (PermissionDenied, "the database user lacks a privilege"),
    "25006": (PermissionDenied, "the database is read-only"),
    "28": (PermissionDenied, "the database server refused the user"),
    "22": (InvalidArgument, "the catalog cannot hold this value"),
    "42P01": (StoreFormatError, "a table is missing"),
    "42703": (StoreFormatError, "a column is missing"),
    "XX": (StoreFormatError, "the database is damaged"),
}

_SQLITE_CLASSES: dict[str, tuple[type[ArtfsError], str]] = {
    "SQLITE_FULL": (OutOfSpace, "the disk is full"),
    "SQLITE_READONLY": (PermissionDenied, "the catalog is read-only"),
    "SQLITE_PERM": (PermissionDenied, "access denied"),
    "SQLITE_AUTH": (PermissionDenied, "access denied"),
    "SQLITE_CANTOPEN": (BackendUnavailable, "the catalog cannot be opened"),
    "SQLITE_CORRUPT": (StoreFormatError, "the catalog is damaged"),
    "SQLITE_NOTADB": (StoreFormatError, "not a catalog of artfs"),
    "SQLITE_BUSY": (BackendUnavailable, "another process keeps the catalog locked"),
    "SQLITE_LOCKED": (BackendUnavailable, "another process keeps the catalog locked"),
    "SQLITE_TOOBIG": (InvalidArgument, "a value is too large for the catalog"),
}

_SQLITE_DAMAGE = ("no such table", "no such column", "Could not decode to UTF-8")
"""How errors begin that have no name of their own."""


def is_transient(error: exc.DBAPIError) -> bool:
    """Whether the same transaction may well succeed when it is tried again at once."""
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_name(error.orig).startswith(_SQLITE_RETRY)
    return _sqlstate(error.orig) in _PG_RETRY


def translate(error: exc.SQLAlchemyError, subject: str) -> ArtfsError:
    """The error of artfs that says what a failed statement or connection means."""
    origin = error.orig if isinstance(error, exc.DBAPIError) else None
    if isinstance(origin, sqlite3.Error):
        return from_sqlite(origin, subject)
    state = _sqlstate(origin)
    text = str(origin or error).strip()
    if not state and ("authentication failed" in text or "no pg_hba.conf entry" in text):
        return PermissionDenied(subject, "the database server refused the user")
    if isinstance(error, exc.DataError) and not state:
        # Refused by the driver already: a NUL in a text.
        return InvalidArgument(subject, f"the catalog cannot hold this value ({_first_line(text)})")
    for length in (5, 2):
        if state and (known := _PG_CLASSES.get(state[:length])):
            return known[0](subject, f"{known[1]} ({_first_line(text)})")
    return BackendUnavailable(subject, _first_line(text))


def from_sqlite(origin: sqlite3.Error, subject: str) -> ArtfsError:
    """The error of artfs that says what an error of SQLite itself means."""
    name = _sqlite_name(origin)
    for prefix, (kind, reason) in _SQLITE_CLASSES.items():
        if name.startswith(prefix):
            return kind(subject, reason)
    if str(origin).startswith(_SQLITE_DAMAGE):
        return StoreFormatError(subject, f"the catalog is damaged ({str(origin)[:80]})")
    if str(origin) == "integer overflow":
        return DamagedRecord(
            subject, "sizes in the catalog are damaged", hint="`artfs doctor` looks for more"
        )
    return BackendUnavailable(subject, f"{origin} ({name})" if name else str(origin))


def _sqlite_name(origin: sqlite3.Error) -> str:
    # Python's own checks ("Cannot operate on a closed database") raise without a code.
    return str(getattr(origin, "sqlite_errorname", ""))


def _sqlstate(origin: BaseException | None) -> str:
    return str(getattr(origin, "sqlstate", None) or "")


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "the database failed"
