"""Connections to a catalog in a file, on disks that are sound, full, or can only be read.

SQLite's write-ahead log needs a file of shared memory beside the database, and room to append.
A disk that is full has neither, one that can only be read can be given neither; but what is in
the catalog is there, and so are ways to read it:

- alone: with the index of the log in memory of this process, whom the file belongs to meanwhile;
- as it is: where there is no log, nobody writes, and SQLite may be told so;
- a copy, where a disk that can only be read has a log.

What frees space has to write first. It has the reserve for that, a file beside the catalog that
is given up then.
"""

from __future__ import annotations

import errno
import os
import random
import secrets
import shutil
import sqlite3
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

from artfs import forks
from artfs.errors import BackendUnavailable, StoreFormatError
from artfs.system.directories import DirectoryHandle
from artfs.system.ownership import Ownership

LOCK_TIMEOUT_S = 30.0
"""How long a writer waits for SQLite's write lock, or a thread for a free connection."""

RESERVE_FILE = "reserve"
RESERVE_BYTES = 4 * 1024 * 1024
"""Room for the log of one large transaction."""

_RESERVE_SHARE = 16
"""The reserve is made where so many times its size are free."""
_GIVE_WAY_S = 0.1
_TURN_S = 5.0
"""How long threads and processes that need no room wait for one another."""
_WAL_PAGES = 16_384
"""A checkpoint of SQLite waits for 64 MiB of log: it costs each commit less, and none a lot."""
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY_CANTINIT")
"""What SQLite says where it can make or extend none of its files."""
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED")


class Connector:
    """Makes connections to one file; for any thread."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._create = create
        self.writable = create or all(
            os.access(each, os.W_OK, effective_ids=True) for each in (path, path.parent)
        )
        """Whether the file is to be written, as far as is known."""
        self.reserve = Reserve(path.with_name(RESERVE_FILE))
        self._copy: Path | None = None

    def connect(self) -> sqlite3.Connection:
        """A new connection. Raises: sqlite3.Error; StoreFormatError, BackendUnavailable."""
        try:
            return self._connect_to_write() if self.writable else self._connect_to_read()
        except UnicodeDecodeError as error:
            # The words of SQLite's error quote what it has found.
            raise StoreFormatError(str(self.path), "the catalog is damaged") from error

    def _connect_to_write(self) -> sqlite3.Connection:
        connection = self._connect("mode=rwc" if self._create else "mode=rw")
        try:
            if not self._create:
                _touch(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            if not error.sqlite_errorname.startswith(_NO_ROOM):
                raise
            connection = self._connect_in_turn(error)
        except BaseException:
            connection.close()
            raise
        return _prepared(connection, 1 if self.reserve.is_given_up else _WAL_PAGES)

    def _connect_in_turn(self, error: sqlite3.OperationalError) -> sqlite3.Connection:
        """`_connect_in_need`, when whoever has such a connection is done with it.

        Two that begin at once keep each other out: each gives way soon, and tries again.
        """
        began_s = time.monotonic()
        while True:
            try:
                return self._connect_in_need(error)
            except sqlite3.OperationalError as again:
                limit_s = LOCK_TIMEOUT_S if is_locked(again) else _TURN_S
                if time.monotonic() - began_s > limit_s:
                    raise
                time.sleep(random.uniform(0, _GIVE_WAY_S))  # noqa: S311 - no secret

    def _connect_in_need(self, error: sqlite3.OperationalError) -> sqlite3.Connection:
        """A connection that needs no room for shared memory, and may need none at all."""
        connection = self._connect("mode=rw", Lonely)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute(f"PRAGMA busy_timeout = {round(_GIVE_WAY_S * 1000)}")
            _touch(connection)
            connection.execute(f"PRAGMA busy_timeout = {round(LOCK_TIMEOUT_S * 1000)}")
        except sqlite3.OperationalError as again:
            connection.close()
            if not again.sqlite_errorname.startswith(_NO_ROOM) or self._has_log():
                raise error from None
            return self._connect("immutable=1", Lonely)
        except BaseException:
            connection.close()
            raise
        # Its log is at an end with every transaction: there is little room.
        return _prepared(connection, 1)

    def _connect_to_read(self) -> sqlite3.Connection:
        """A connection that needs no write access to the file or its directory.

        A writer that is at work has made the shared memory; where there is none and it cannot be
        made, nobody writes. A log without it, left by a writer that crashed, would be ignored.
        Nothing is made: in a directory that is the reader's to write, log and shared memory would
        be the reader's, and keep out whom the store belongs to.
        """
        has_both = all(self._beside(suffix).exists() for suffix in ("-wal", "-shm"))
        if not has_both:
            return self._connect_without_memory()
        connection = self._connect("mode=ro&readonly_shm=1")
        try:
            _touch(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
                raise
            return self._connect_without_memory()
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_without_memory(self) -> sqlite3.Connection:
        if not self._has_log():
            return self._connect("immutable=1")
        if not os.statvfs(self.path).f_flag & os.ST_RDONLY:
            raise BackendUnavailable(
                str(self.path),
                "a writer ended before it was done",
                hint="open the store once with write access",
            )
        return self._connect_to_copy()

    def _connect_to_copy(self) -> sqlite3.Connection:
        """A connection to a copy, made once: on a disk that can only be read nobody writes."""
        if self._copy is None:
            directory = tempfile.mkdtemp(prefix="artfs-catalog-")
            forks.finalize(self, shutil.rmtree, directory, True)
            forks.in_child(self._forget_copy)
            for suffix in ("", "-wal"):
                shutil.copyfile(f"{self.path}{suffix}", f"{directory}/catalog{suffix}")
            self._copy = Path(directory) / "catalog"
        connection = _opened(self._copy, "mode=rw", sqlite3.Connection)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}{suffix}")

    def _forget_copy(self) -> None:
        # It goes with the parent.
        self._copy = None

    def _has_log(self) -> bool:
        log = self._beside("-wal")
        return log.exists() and log.stat().st_size > 0

    def _connect(
        self, options: str, kind: type[sqlite3.Connection] = sqlite3.Connection
    ) -> sqlite3.Connection:
        return _opened(self.path, options, kind)

    def refusal(self) -> OSError | None:
        """What the disk says to somebody who wants to write to it; None where he may.

        SQLite tells most of that as an "I/O error".
        """
        try:
            _write_anew(self.path.with_name(f"{RESERVE_FILE}.{secrets.token_hex(8)}"), 65536)
        except OSError as error:
            return error
        return None


class Lonely(sqlite3.Connection):
    """A connection that keeps others from the catalog: it is closed after each transaction."""


class Reserve:
    """A file that takes room only so that it can be given up. No method raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_given_up = False
        """Whether it was, by this process."""

    def keep(self) -> None:
        """Have it, where there is ample room."""
        with suppress(OSError):
            if self._path.exists():
                return
            found = os.statvfs(self._path.parent)
            if found.f_bavail * found.f_frsize >= _RESERVE_SHARE * RESERVE_BYTES:
                temporary = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
                _write_anew(temporary, RESERVE_BYTES, self._path)

    def give_up(self) -> bool:
        """Let the disk have its room; whether there was some."""
        try:
            self._path.unlink()
        except OSError:
            return False
        self.is_given_up = True
        return True


def is_locked(error: sqlite3.Error) -> bool:
    """Whether somebody else has the catalog at this moment."""
    return str(getattr(error, "sqlite_errorname", "")).startswith(_LOCKED)


def lacks_room(error: BaseException | None) -> bool:
    """Whether an error of SQLite may mean that a disk is full, or refuses to be written."""
    return isinstance(error, sqlite3.Error) and str(
        getattr(error, "sqlite_errorname", "")
    ).startswith((*_NO_ROOM, "SQLITE_READONLY"))


def is_refused(error: OSError) -> bool:
    """Whether it is the disk that refuses, and not somebody's rights on a directory."""
    return error.errno not in {errno.EACCES, errno.EPERM, errno.ENOENT}


def _opened(path: Path, options: str, kind: type[sqlite3.Connection]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{options}",
        uri=True,
        timeout=LOCK_TIMEOUT_S,
        isolation_level=None,  # BEGIN is ours: see _begin_sqlite
        check_same_thread=False,  # the pool gives a connection to one thread at a time
        factory=kind,
    )
    # Text that is not UTF-8 comes as it is: such a cell is to be named (artfs/catalog/checked.py),
    # not to fail the answer that it is in.
    connection.text_factory = _text
    try:
        # What a schema says runs nothing but plain functions; damaged pages are noticed.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


_text = partial(str, encoding="utf-8", errors="surrogateescape")


def _prepared(connection: sqlite3.Connection, wal_pages: int) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
    except BaseException:
        connection.close()
        raise
    return connection


def _touch(connection: sqlite3.Connection) -> None:
    """Have SQLite open all its files."""
    # Not a query of names: a damaged file may answer with bytes that are no text.
    connection.execute("PRAGMA schema_version").fetchall()


def _write_anew(path: Path, size_bytes: int, final: Path | None = None) -> None:
    """Make a file that takes so much room; it stays as `final` alone. Raises: OSError."""
    with DirectoryHandle.at(path.parent) as directory:
        fd = directory.open_new(path.name)
    try:
        os.posix_fallocate(fd, 0, size_bytes)
        if final is not None:
            ownership = Ownership.of(path.parent.stat())
            ownership.claim(fd, ownership.file_mode)
            path.rename(final)
    finally:
        os.close(fd)
        with suppress(FileNotFoundError):
            path.unlink()
