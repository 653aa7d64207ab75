"""The index of a staging area: what differs from the base, in a SQLite file.

sqlite3 is used without SQLAlchemy: five fixed statements run on the way of every system call that
changes something, and the file is private to the area.

A change is committed to the write-ahead log before the system call returns, so a killed process
loses nothing. `sync` also makes it survive the host, and does so for all changes at once.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from artfs.errors import BackendUnavailable, OutOfSpace, StoreFormatError
from artfs.staging.nodes import Node

INDEX_FORMAT = 1

_SCHEMA = (
    # One row, a JSON object: what the area is for (artfs/staging/meta.py).
    "CREATE TABLE meta (value TEXT NOT NULL)",
    # kind is f, d or l. content: of a file the entry that it shows, null where it has a plain
    # file; of a directory the directory object that shows through, or null; a symlink's target.
    """CREATE TABLE nodes (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL,
        gid INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, content BLOB
    )""",
    # node is null for a name of the base that was removed.
    """CREATE TABLE links (
        parent INTEGER NOT NULL, name TEXT NOT NULL, node INTEGER, PRIMARY KEY (parent, name)
    ) WITHOUT ROWID""",
)
_PUT_NODE = "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_LINK = "INSERT OR REPLACE INTO links VALUES (?, ?, ?)"
_DROP_NODE = "DELETE FROM nodes WHERE id = ?"
_DROP_LINK = "DELETE FROM links WHERE parent = ? AND name = ?"
_DROP_LINKS = "DELETE FROM links WHERE parent = ?"
_BUSY_TIMEOUT_S = 30.0
_LOG_RESERVE_BYTES = 4 * 1024 * 1024

NodeRow = tuple[int, str, int, int, int, int, int, bytes | str | None]
LinkRow = tuple[int, str, int | None]


class Changes:
    """What one operation changes; applied whole or not at all."""

    __slots__ = ("gone", "links", "newly_persisted", "nodes", "removed_links", "vanished")

    def __init__(self) -> None:
        self.nodes: list[NodeRow] = []
        self.links: list[LinkRow] = []
        self.removed_links: list[tuple[int, str]] = []
        self.gone: list[int] = []
        """Nodes that have no name any more."""
        self.vanished: list[int] = []
        """Directories whose names all go with them."""
        self.newly_persisted: list[Node] = []


class Index:
    """The SQLite file. Thread-safe; a reader in another process does not disturb it."""

    def __init__(self, path: Path, *, create: bool = False, writes: bool = True) -> None:
        """Open the index, or make it; without `writes` only to look.

        Raises: StoreFormatError, OutOfSpace, BackendUnavailable.
        """
        self._path = path
        self._lock = Lock()
        with _translated(path):
            self._connection = _connect(path, create=create)
            if create:
                self._create()
            else:
                self._check_format()
            self._wal_fd = os.open(f"{path}-wal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if writes:
                # On a full disk files can still be removed: that is a change, too. SQLite takes
                # the zeros behind what it wrote for the end of the log.
                with suppress(OSError):
                    os.posix_fallocate(self._wal_fd, 0, _LOG_RESERVE_BYTES)

    def close(self) -> None:
        """Close the file; changes are in it."""
        with self._lock:
            self._connection.close()
            os.close(self._wal_fd)

    def apply(self, changes: Changes) -> None:
        """Commit changes; they survive this process from here on.

        Blocks: on the page cache. Raises: OutOfSpace, BackendUnavailable.
        """
        execute, many = self._connection.execute, self._connection.executemany
        with self._lock, _translated(self._path):
            execute("BEGIN IMMEDIATE")
            try:
                if changes.vanished:
                    many(_DROP_LINKS, [(node_id,) for node_id in changes.vanished])
                if changes.removed_links:
                    many(_DROP_LINK, changes.removed_links)
                if changes.gone:
                    many(_DROP_NODE, [(node_id,) for node_id in changes.gone])
                for row in changes.nodes:
                    execute(_PUT_NODE, row)
                for link in changes.links:
                    execute(_PUT_LINK, link)
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise

    def sync(self) -> None:
        """Make every change so far survive the host.

        Blocks: on the disk. Raises: OutOfSpace, BackendUnavailable.
        """
        with _translated(self._path):
            # SQLite writes a commit to the log in order: what is there when this begins is
            # all that was committed. Nothing is locked meanwhile.
            os.fsync(self._wal_fd)

    def checkpoint(self) -> None:
        """Move changes from the log into the file proper, beside whoever writes. Blocks: disk."""
        with _translated(self._path):
            connection = _connect(self._path, create=False)
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                connection.close()

    def replace(self, meta: str, nodes: Iterable[NodeRow], links: Iterable[LinkRow]) -> None:
        """Put these in the place of everything, durably and in one step.

        Raises: OutOfSpace, BackendUnavailable. Blocks: on the disk.
        """
        execute, many = self._connection.execute, self._connection.executemany
        with self._lock, _translated(self._path):
            execute("BEGIN IMMEDIATE")
            try:
                execute("DELETE FROM nodes")
                execute("DELETE FROM links")
                execute("UPDATE meta SET value = ?", (meta,))
                many(_PUT_NODE, nodes)
                many(_PUT_LINK, links)
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise
        self.sync()

    def put_meta(self, meta: str) -> None:
        """Replace what the area says of itself, durably. Raises and blocks as `replace`."""
        with self._lock, _translated(self._path):
            self._connection.execute("UPDATE meta SET value = ?", (meta,))
        self.sync()

    def meta(self) -> str:
        """What the area says of itself. Raises: StoreFormatError, BackendUnavailable."""
        with self._lock, _translated(self._path):
            row = self._connection.execute("SELECT value FROM meta").fetchone()
        if row is None:
            raise StoreFormatError(str(self._path), "damaged (it says nothing of itself)")
        return str(row[0])

    def nodes(self) -> Iterator[NodeRow]:
        """Every node that differs from the base."""
        with _translated(self._path):
            yield from self._connection.execute("SELECT * FROM nodes")

    def links(self) -> Iterator[LinkRow]:
        """Every name that differs from the base, a directory's in the order of names."""
        with _translated(self._path):
            yield from self._connection.execute("SELECT * FROM links")

    def local_files(self) -> list[int]:
        """The nodes that have a plain file."""
        with self._lock, _translated(self._path):
            rows = self._connection.execute(
                "SELECT id FROM nodes WHERE kind = 'f' AND content IS NULL"
            ).fetchall()
        return [row[0] for row in rows]

    def change_count(self) -> int:
        """How many names differ from the base."""
        with self._lock, _translated(self._path):
            return int(self._connection.execute("SELECT count(*) FROM links").fetchone()[0])

    def _create(self) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            execute(statement)
        execute("INSERT INTO meta VALUES ('')")
        execute(f"PRAGMA user_version = {INDEX_FORMAT}")
        execute("COMMIT")

    def _check_format(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != INDEX_FORMAT:
            raise StoreFormatError(
                str(self._path),
                f"has format {version}, this artfs knows {INDEX_FORMAT}",
                hint="use the artfs that made it",
            )


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    # The log is synced by `sync`, and moved into the file by `checkpoint`: neither may make a
    # system call wait that only changes something.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


class _translated:  # noqa: N801 - reads as a verb, like contextlib.suppress
    """A context that turns errors of SQLite and the disk into those of artfs."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (sqlite3.Error, OSError)):
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _FULL:
                raise OutOfSpace(str(self._path), "the disk is full") from error
            raise BackendUnavailable(str(self._path), str(error)) from error


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
