"""Who is at work: leases, and what a collection must leave to those that are held.

A lease is held by a process for as long as it works. Whether it still is says, in a catalog that is
a file, a lock on a file beside it, which ends with its process. On a server it is a row that the
holder renews, and that counts as given up when it was not for long: by the server's clock alone.

What gc condemns gets a number, which grows. A lease says up to which number its holder has seen
all: what was condemned later, its holder may have stored or found before. So only that may be
doomed which was condemned up to the number of every lease that is held.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
from sqlalchemy import Connection, select, update

from artfs import forks
from artfs.catalog.blob_port import Lease
from artfs.catalog.checked import number
from artfs.catalog.engine import Database, now_ns
from artfs.catalog.records import LeaseKind, LeaseRecord
from artfs.catalog.schema import numbers
from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, DamagedRecord, OutOfSpace
from artfs.model import Digest
from artfs.system.directories import DirectoryHandle
from artfs.system.files import SharedDescriptor
from artfs.system.locks import Held, hold_new_file, is_held, take_abandoned
from artfs.system.oserrors import translate_os_errors

SEES_NOTHING = -1
"""The number of a lease that does not say one, or not yet: nothing may be doomed beside it."""

_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOTE_BYTES = 4096
_LARGEST_NUMBER = 2**62

_STORING = frozenset({LeaseKind.INTAKE, LeaseKind.COLLECTION})
"""Of those who store something before it is named."""


class Leases(Protocol):
    """The leases of one catalog. Thread-safe."""

    def begin(self, kind: LeaseKind, subject: str, tree: Digest | None) -> Lease:
        """See Catalog.lease."""
        ...

    def all(self, connection: Connection) -> list[LeaseRecord]:
        """All that were not released, by when they began."""
        ...

    def revoke_abandoned(self, connection: Connection) -> int:
        """Forget those whose holder is gone; how many there were."""
        ...

    def running(self, connection: Connection) -> set[str]:
        """The ids of runs that somebody holds."""
        ...

    def keep(self) -> None:
        """Go on holding those of this process, also where it is a child that was forked."""
        ...


def last_number(connection: Connection) -> int:
    """The number of the last condemnation. Raises: DamagedRecord."""
    found = connection.scalars(select(numbers.c.last)).all()
    if len(found) != 1:
        raise DamagedRecord("the catalog's last number", f"there are {len(found)} of it, not one")
    return number(found[0], "last number")


def next_number(connection: Connection) -> int:
    """A number for what is condemned in this transaction.

    No other transaction gets one before this one has ended: who sees a number sees all that was
    condemned up to it.
    """
    if last_number(connection) >= _LARGEST_NUMBER:
        raise DamagedRecord("the catalog's last number", "is larger than any that artfs writes")
    grown = update(numbers).values(last=numbers.c.last + 1).returning(numbers.c.last)
    return number(connection.execute(grown).scalar_one(), "last number")


def free_number(leases: Leases, connection: Connection) -> int:
    """Up to which number nothing that was condemned can be needed by whoever is at work."""
    # Before the leases are read: one that begins from here on has this number at least.
    last = last_number(connection)
    held = [
        lease.number for lease in leases.all(connection) if lease.is_held and lease.kind in _STORING
    ]
    return min([last, *held])


def holder() -> str:
    """Who this process is, for people: nothing is decided by it."""
    return f"{socket.gethostname()}, process {os.getpid()}"


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a lease's file; its name says what gc decides by."""

    holder: str = ""
    began_at_ns: int = 0
    tree: Digest | None = None


class _Name(msgspec.Struct, frozen=True):
    """`intake.17..89abcdef01234567`: kind, number, subject, and what makes it unique."""

    kind: LeaseKind
    number: int
    subject: str
    random: str

    def __str__(self) -> str:
        return f"{self.kind.value}.{self.number}.{self.subject}.{self.random}"


class FileLeases:
    """Leases as files in a directory, each held by a lock."""

    def __init__(self, path: Path, database: Database) -> None:
        self._path = path
        self._database = database

    def begin(self, kind: LeaseKind, subject: str, tree: Digest | None) -> Lease:
        """See Leases. Raises: PermissionDenied, OutOfSpace, BackendUnavailable."""
        name = _Name(kind, SEES_NOTHING, subject, secrets.token_hex(8))
        with translate_os_errors(self._path), DirectoryHandle.at(self._path.parent) as parent:
            directory = parent.below(self._path.name, create=True)
        mode = directory.ownership.file_mode
        with translate_os_errors(self._path / str(name)):
            held = hold_new_file(str(name), mode=mode, dir_fd=directory.fd)
            directory.ownership.claim(held.fd, mode)
        # Held first: whoever looks before the number is there, dooms nothing.
        with self._database.reading() as connection:
            numbered = msgspec.structs.replace(name, number=last_number(connection))
            note = _Note(holder=holder(), began_at_ns=now_ns(connection), tree=tree)
        with translate_os_errors(self._path / str(name)):
            directory.move(str(name), directory, str(numbered))
        lease = _FileLease(directory, str(numbered), held)
        try:
            with translate_os_errors(self._path / str(numbered)):
                os.pwrite(held.fd, msgspec.json.encode(note), 0)
        except OutOfSpace:
            # What frees space goes without a note.
            if kind is not LeaseKind.COLLECTION:
                lease.release()
                raise
        return lease

    def all(self, connection: Connection) -> list[LeaseRecord]:
        """See Leases."""
        del connection
        return file_leases(self._path)

    def revoke_abandoned(self, connection: Connection) -> int:
        """See Leases."""
        del connection
        count = 0
        if (directory := self._opened()) is None:
            return count
        with directory:
            for name in _names(directory):
                held = take_abandoned(str(name), dir_fd=directory.fd)
                if held is not None:
                    with suppress(OSError):
                        directory.unlink(str(name))
                        count += 1
                    held.close()
        return count

    def keep(self) -> None:
        """See Leases: a lock is inherited."""

    def running(self, connection: Connection) -> set[str]:
        """See Leases."""
        del connection
        if (directory := self._opened()) is None:
            return set()
        with directory:
            return {
                name.subject
                for name in _names(directory)
                if name.kind is LeaseKind.RUN and is_held(str(name), dir_fd=directory.fd)
            }

    def _opened(self) -> DirectoryHandle | None:
        return _opened(self._path)


def file_leases(path: Path) -> list[LeaseRecord]:
    """The leases in a directory, also where there is no catalog; by when they began.

    Raises: PermissionDenied, BackendUnavailable.
    """
    if (directory := _opened(path)) is None:
        return []
    with directory:
        found = [_record(directory, name) for name in _names(directory)]
    return sorted(found, key=lambda lease: (lease.began_at_ns, lease.id))


def _opened(path: Path) -> DirectoryHandle | None:
    """The directory; None before the first lease."""
    with translate_os_errors(path), DirectoryHandle.at(path.parent) as parent:
        try:
            return parent.below(path.name)
        except FileNotFoundError:
            return None


def _names(directory: DirectoryHandle) -> list[_Name]:
    with translate_os_errors(directory.path):
        return [name for text in directory.names() if (name := _parsed(text)) is not None]


def _record(directory: DirectoryHandle, name: _Name) -> LeaseRecord:
    note = _Note()
    held = is_held(str(name), dir_fd=directory.fd)
    with suppress(OSError, *UNDECODABLE):
        opened = SharedDescriptor(os.open(str(name), _READ_FLAGS, dir_fd=directory.fd))
        note = msgspec.json.decode(os.pread(opened.fd, _NOTE_BYTES, 0), type=analysed(_Note))
    return LeaseRecord(
        id=str(name),
        kind=name.kind,
        subject=name.subject,
        number=name.number,
        holder=note.holder,
        began_at_ns=note.began_at_ns,
        tree=note.tree,
        is_held=held,
    )


class _FileLease:
    def __init__(self, directory: DirectoryHandle, name: str, held: Held) -> None:
        self.id = name
        self._directory = directory.path
        self._held = held
        self._generation = forks.generation()

    def release(self) -> None:
        """See Lease."""
        # A forked child lets go of its share; the file is its parent's.
        if self._generation == forks.generation():
            with suppress(OSError):
                (self._directory / self.id).unlink(missing_ok=True)
        self._held.close()

    def abandon(self) -> None:
        """See Lease."""
        self.release()


def _parsed(text: str) -> _Name | None:
    kind, _, rest = text.partition(".")
    number, _, rest = rest.partition(".")
    subject, _, random = rest.rpartition(".")
    try:
        return _Name(LeaseKind(kind), int(number), subject, random)
    except ValueError:
        return None
