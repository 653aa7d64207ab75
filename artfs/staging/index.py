"""The index of a staging area: what differs from the base, in a SQLite file and a journal.

Every system call that changes something is in the journal before it returns, so a killed process
loses nothing. `checkpoint` moves what the journal has into the SQLite file, many changes at once.
`sync` also makes changes survive the host, all of them together.

sqlite3 is used without SQLAlchemy: there are five fixed statements, and the file is private to
the area.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artfs import forks
from artfs.errors import BackendUnavailable, OutOfSpace, StoreFormatError
from artfs.failpoints import reach
from artfs.staging.checked import damaged_index
from artfs.staging.journal import (
    RESERVE_BYTES,
    Changes,
    Journal,
    LinkRow,
    NodeRow,
    journals,
    merged,
    read_journals,
    unneeded,
)
from artfs.system.files import fsync_directory

INDEX_FORMAT = 4
_WITH_JOURNALS = 3
_OLDER_FORMATS = frozenset({1, 2, _WITH_JOURNALS})
_APPLIED = (
    # One row: the number of the newest journal that is in here. A host that dies may bring back
    # a journal which was removed already.
    "CREATE TABLE journals (applied INTEGER NOT NULL)",
    "INSERT INTO journals VALUES (0)",
)
# Nodes whose plain file may be removed, for it is not needed any more or not yet. A plain file of
# which neither a node nor this table knows is there because the index is damaged or was cut.
_REMOVED = "CREATE TABLE removed (id INTEGER PRIMARY KEY)"
_SCHEMA = (
    *_APPLIED,
    _REMOVED,
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
_PUT_REMOVED = "INSERT OR IGNORE INTO removed VALUES (?)"
_DROP_REMOVED = "DELETE FROM removed WHERE id = ?"
_DROP_NEEDED = """DELETE FROM removed WHERE EXISTS (
    SELECT 1 FROM nodes WHERE nodes.id = removed.id AND kind = 'f' AND content IS NULL
)"""
_FOREIGN = """SELECT name FROM sqlite_master
    WHERE type != 'table' AND sql IS NOT NULL OR sql LIKE 'CREATE VIRTUAL%'"""
_PUT_APPLIED = "UPDATE journals SET applied = ?"
_BUSY_TIMEOUT_S = 30.0
_LOG_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_LOG_RESERVE_BYTES = 4 * 1024 * 1024
_LONG_JOURNAL_BYTES = RESERVE_BYTES // 2
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        # No such table or column, or another type than the schema has.
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_CONSTRAINT,
    }
)
_MAX_JOURNAL = 2**53
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Index:
    """The index of one area. Thread-safe; a reader in another process does not disturb it."""

    def __init__(self, path: Path, *, create: bool = False, writes: bool = True) -> None:
        """Open the index, or make it; without `writes` only to look at what it says of itself.

        Raises: StoreFormatError, OutOfSpace, BackendUnavailable.
        """
        self._path = path
        self._lock = forks.lock()
        self._database_lock = forks.lock()
        self._full: list[Journal] = []
        """Older journals that the SQLite file may not have yet."""
        self._wal_fd = -1
        with _translated(path):
            self._connection = _connect(path, create=create) if writes else _connect_to_look(path)
        try:
            self._begin(path, create=create, writes=writes)
        except BaseException:
            self._connection.close()
            if self._wal_fd != -1:
                os.close(self._wal_fd)
            raise

    def _begin(self, path: Path, *, create: bool, writes: bool) -> None:
        with _translated(path):
            if create:
                self._create()
            else:
                self._check_format(upgrade=writes)
            self._wal_fd = os.open(f"{path}-wal", _LOG_FLAGS, 0o600)
            if writes:
                # SQLite takes the zeros behind what it wrote for the end of its log.
                with suppress(OSError):
                    os.posix_fallocate(self._wal_fd, 0, _LOG_RESERVE_BYTES)
                self._journal = self._recovered()

    def close(self) -> None:
        """Close the files; changes are in them."""
        with self._database_lock:
            self._connection.close()
            os.close(self._wal_fd)

    # --- changes -----------------------------------------------------------------------------

    def apply(self, changes: Changes) -> None:
        """Commit changes; they survive this process from here on.

        Blocks: on the page cache. Raises: OutOfSpace, BackendUnavailable.
        """
        record = changes.record()
        with self._lock, _translated(self._path):
            reach("staging.changing")
            self._journal.append(record)
            reach("staging.changed")

    def sync(self) -> None:
        """Make every change so far survive the host.

        Blocks: on the disk. Raises: OutOfSpace, BackendUnavailable.
        """
        with self._lock:
            unapplied = [*self._full, self._journal]
        with _translated(self._path):
            reach("staging.syncing")
            for journal in unapplied:
                journal.sync()

    @property
    def is_journal_long(self) -> bool:
        """Whether `checkpoint` should not be put off."""
        return self._journal.size_bytes > _LONG_JOURNAL_BYTES

    def checkpoint(self) -> None:
        """Move changes from the journal into the SQLite file, durably; others may apply meanwhile.

        Blocks: on the disk. Raises: OutOfSpace, BackendUnavailable; nothing is lost then.
        """
        with self._database_lock, _translated(self._path):
            self._checkpoint()

    def _checkpoint(self) -> None:
        # What a full disk kept from being moved comes first: a new journal takes room as well.
        self._move_full()
        if not self._journal.is_empty:
            self._begin_following_journal()
            self._move_full()
        self._shorten_log()

    def _move_full(self) -> None:
        if not self._full:
            return
        self._write([(journal.number, journal.path) for journal in self._full])
        reach("staging.journal-moved")
        with self._lock:
            done, self._full = self._full, []
        for journal in done:
            journal.path.unlink()

    def _recovered(self) -> Journal:
        """Move what a killed process left in journals into the SQLite file; a new journal."""
        found = journals(self._path.parent)
        applied = self._applied(newest=found[-1][0] if found else None)
        left = [(number, path) for number, path in found if number > applied]
        if left:
            self._write(left)
            applied = left[-1][0]
        journal = Journal(self._path.parent, applied + 1)
        fsync_directory(self._path.parent)
        with suppress(OSError):
            # On a full disk the area can be looked at, and what is in it committed elsewhere.
            journal.reserve()
        for _, path in found:
            path.unlink()
        return journal

    def _applied(self, *, newest: int | None) -> int:
        """The number of the newest journal that the SQLite file has; `newest`: that is there."""
        rows = self._connection.execute("SELECT applied FROM journals").fetchall()
        applied = rows[0][0] if len(rows) == 1 else None
        # The one that follows is there before, durably. Else changes would be taken for done.
        if (
            not isinstance(applied, int)
            or applied < 0
            or applied > (_MAX_JOURNAL if newest is None else newest)
        ):
            raise damaged_index(self._path.parent, "which journals are in it cannot be told")
        return applied

    def _begin_following_journal(self) -> None:
        following = Journal(self._path.parent, self._journal.number + 1)
        try:
            following.reserve()
            fsync_directory(self._path.parent)
            with self._lock:
                following.follow(self._journal)
                self._full.append(self._journal)
                self._journal = following
        except BaseException:
            # The one that we have has room still: files can be removed.
            following.path.unlink()
            raise

    def _write(self, numbered: list[tuple[int, Path]]) -> None:
        """Do in the SQLite file what journals say, durably."""
        try:
            records = list(read_journals(path for _, path in numbered))
        except StoreFormatError as error:
            raise damaged_index(self._path.parent, error.reason) from error
        vanished, removed_links, gone, nodes, links = merged(records)
        many = self._connection.executemany
        with self._transaction():
            many(_DROP_LINKS, [(node_id,) for node_id in vanished])
            many(_DROP_LINK, removed_links)
            many(_DROP_NODE, [(node_id,) for node_id in gone])
            many(_PUT_NODE, nodes)
            many(_PUT_LINK, links)
            many(_PUT_REMOVED, [(node_id,) for node_id in unneeded(records)])
            self._connection.execute(_DROP_NEEDED)
            self._connection.execute(_PUT_APPLIED, (numbered[-1][0],))
        os.fsync(self._wal_fd)

    def _shorten_log(self) -> None:
        """Move what is in SQLite's own log into the file proper."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            yield
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def replace(
        self,
        meta: str,
        nodes: Iterable[NodeRow],
        links: Iterable[LinkRow],
        *,
        unneeded: Iterable[int] = (),
    ) -> None:
        """Put these in the place of everything, durably and in one step.

        `unneeded`: nodes whose plain files are to be removed then.
        Nobody may apply changes meanwhile. Blocks: on the disk.
        Raises: OutOfSpace, BackendUnavailable.
        """
        many = self._connection.executemany
        with self._database_lock, _translated(self._path):
            # What a journal has would come back upon what is put here.
            self._checkpoint()
            reach("staging.replacing")
            with self._transaction():
                self._connection.execute("DELETE FROM nodes")
                self._connection.execute("DELETE FROM links")
                self._connection.execute("UPDATE meta SET value = ?", (meta,))
                many(_PUT_NODE, nodes)
                many(_PUT_LINK, links)
                many(_PUT_REMOVED, [(node_id,) for node_id in unneeded])
                self._connection.execute(_DROP_NEEDED)
            os.fsync(self._wal_fd)

    def put_meta(self, meta: str) -> None:
        """Replace what the area says of itself, durably. Raises and blocks as `replace`."""
        with self._database_lock, _translated(self._path):
            self._connection.execute("UPDATE meta SET value = ?", (meta,))
            os.fsync(self._wal_fd)

    # --- what it says ------------------------------------------------------------------------

    def meta(self) -> str:
        """What the area says of itself. Raises: StoreFormatError, BackendUnavailable."""
        with self._database_lock, _translated(self._path):
            rows = self._connection.execute("SELECT value FROM meta LIMIT 2").fetchall()
        if len(rows) != 1 or not isinstance(rows[0][0], str):
            raise damaged_index(self._path.parent, "it does not say what it is for")
        return str(rows[0][0])

    def nodes(self) -> list[NodeRow]:
        """Every node that differs from the base, as of the last checkpoint."""
        return self._all("SELECT id, kind, mode, uid, gid, mtime_ns, ctime_ns, content FROM nodes")

    def links(self) -> list[LinkRow]:
        """Every name that differs from the base, as of the last checkpoint, in order."""
        return self._all("SELECT parent, name, node FROM links")

    def removed(self) -> set[int]:
        """The nodes whose plain files may be removed, as of the last checkpoint."""
        return {row[0] for row in self._all("SELECT id FROM removed")}

    def forget_removed(self, is_there: Callable[[int], bool]) -> None:
        """Let go of those of `removed` that have no plain file, as `is_there` says.

        Blocks: disk. Raises: OutOfSpace, BackendUnavailable.
        """
        done = [(node_id,) for node_id in self.removed() if not is_there(node_id)]
        if done:
            with self._database_lock, _translated(self._path), self._transaction():
                self._connection.executemany(_DROP_REMOVED, done)

    def _all(self, query: str) -> list[Any]:
        with self._database_lock, _translated(self._path):
            return self._connection.execute(query).fetchall()

    def _create(self) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            execute(statement)
        execute("INSERT INTO meta VALUES ('')")
        execute(f"PRAGMA user_version = {INDEX_FORMAT}")
        execute("COMMIT")

    def _check_format(self, *, upgrade: bool) -> None:
        execute = self._connection.execute
        version = execute("PRAGMA user_version").fetchone()[0]
        if version not in {INDEX_FORMAT, *_OLDER_FORMATS}:
            raise StoreFormatError(
                str(self._path),
                f"has format {version}, this artfs knows {INDEX_FORMAT}",
                hint="use the artfs that made it",
            )
        if foreign := execute(_FOREIGN).fetchone():
            raise damaged_index(self._path.parent, f"it has {foreign[0]!r}, which no artfs made")
        if version != INDEX_FORMAT and upgrade:
            with self._transaction():
                for statement in (
                    (_REMOVED,) if version == _WITH_JOURNALS else (*_APPLIED, _REMOVED)
                ):
                    execute(statement)
                execute(f"PRAGMA user_version = {INDEX_FORMAT}")


def _connect_to_look(path: Path) -> sqlite3.Connection:
    """A connection that needs no room on a full disk, where nobody else has the index open."""
    try:
        return _connect(path, create=False)
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise
        return _connect(path, create=False, alone=True)


def _connect(path: Path, *, create: bool, alone: bool = False) -> sqlite3.Connection:
    """`alone`: with the index of SQLite's log in memory, and nobody else."""
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        if alone:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        connection.close()
        raise
    # The log is synced where that is due, and moved into the file by `checkpoint`.
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
            if _is_damage(error, code):
                raise damaged_index(self._path.parent, str(error)) from error
            raise BackendUnavailable(str(self._path), str(error)) from error


def _is_damage(error: Exception, code: int | None) -> bool:
    """Whether the file is not what artfs wrote, and not out of reach."""
    if code is None:
        # What sqlite3 itself says of text that is no UTF-8.
        return isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in _DAMAGE
