"""Leases as rows on a server, which their holders renew in the background."""

from __future__ import annotations

import logging
import secrets
import signal
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from sqlalchemy import Connection, delete, insert, select, update

from artfs import forks
from artfs.catalog.blob_port import Lease
from artfs.catalog.bulk import among
from artfs.catalog.engine import Database, now_ns
from artfs.catalog.leases import SEES_NOTHING, holder, last_number
from artfs.catalog.records import LeaseKind, LeaseRecord
from artfs.catalog.schema import leases
from artfs.errors import ArtfsError
from artfs.model import Digest

logger = logging.getLogger(__name__)

LIFE_S = 900.0
"""A lease that was not renewed for so long, by the server's clock, is given up."""

_RENEWED_EACH_S = 60.0
_KINDS = {kind.value: kind for kind in LeaseKind}


class RowLeases:
    """Leases as rows of the table `leases`. One thread renews those of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mine: dict[str, _RowLease] = {}
        self._left: set[str] = set()
        self._thread: Thread | None = None
        self._wake = Event()

    def begin(self, kind: LeaseKind, subject: str, tree: Digest | None) -> Lease:
        """See Leases. Raises: BackendUnavailable."""
        lease = _RowLease(self, secrets.token_hex(16))

        def work(connection: Connection) -> None:
            at_ns = now_ns(connection)
            row = {
                "id": lease.id,
                "kind": kind.value,
                "subject": subject,
                "number": last_number(connection),
                "holder": holder(),
                "began_at_ns": at_ns,
                "renewed_at_ns": at_ns,
                "tree": tree,
            }
            connection.execute(insert(leases), row)

        self._database.write(work)
        self._mine[lease.id] = lease
        self.keep()
        return lease

    def all(self, connection: Connection) -> list[LeaseRecord]:
        """See Leases."""
        oldest_ns = self._oldest_ns(connection)
        query = select(leases).order_by(leases.c.began_at_ns, leases.c.id)
        return [
            LeaseRecord(
                id=row.id,
                # Of a kind that a newer artfs knows, it is one that nothing is taken from.
                kind=_KINDS.get(row.kind, LeaseKind.INTAKE),
                subject=row.subject,
                number=row.number if row.kind in _KINDS else SEES_NOTHING,
                holder=row.holder,
                began_at_ns=row.began_at_ns,
                tree=Digest(bytes(row.tree)) if row.tree is not None else None,
                is_held=row.renewed_at_ns >= oldest_ns,
            )
            for row in connection.execute(query)
        ]

    def revoke_abandoned(self, connection: Connection) -> int:
        """See Leases."""
        late = leases.c.renewed_at_ns < self._oldest_ns(connection)
        return connection.execute(delete(leases).where(late)).rowcount

    def running(self, connection: Connection) -> set[str]:
        """See Leases."""
        held = leases.c.renewed_at_ns >= self._oldest_ns(connection)
        query = select(leases.c.subject).where(leases.c.kind == LeaseKind.RUN.value, held)
        return set(connection.scalars(query))

    def give_up(self, lease_id: str) -> None:
        """Forget a lease of this process. Blocks: on the server. Raises: BackendUnavailable."""
        self._mine.pop(lease_id, None)
        self._wake.set()
        self._delete([lease_id])

    def give_up_soon(self, lease_id: str) -> None:
        """Forget a lease in the background. Never blocks."""
        self._mine.pop(lease_id, None)
        self._left.add(lease_id)
        self._wake.set()

    def forget(self, lease_id: str) -> None:
        """Renew it no more: it is another process's to give up."""
        self._mine.pop(lease_id, None)

    def _oldest_ns(self, connection: Connection) -> int:
        return now_ns(connection) - int(LIFE_S * 1e9)

    def _delete(self, ids: list[str]) -> None:
        def work(connection: Connection) -> None:
            for some in among(connection, leases.c.id, ids):
                connection.execute(delete(leases).where(some))

        self._database.write(work)

    def keep(self) -> None:
        """See Leases."""
        # No thread survives a fork. Two that renew for a moment do no harm: nothing is locked.
        if self._mine and (self._thread is None or not self._thread.is_alive()):
            self._wake = Event()
            self._thread = Thread(target=self._renew, name="artfs leases", daemon=True)
            self._thread.start()

    def _renew(self) -> None:
        # Signals are for the threads that expect them.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        wake = self._wake
        while self._mine or self._left or not self._is_last():
            if not wake.wait(_RENEWED_EACH_S):
                self._try(self.renew_now)
            wake.clear()
            if left := list(self._left):
                self._left.difference_update(left)
                self._try(lambda left=left: self._delete(left))  # type: ignore[misc]

    def _is_last(self) -> bool:
        """Whether this thread may end: whoever begins a lease from here on starts another."""
        self._thread = None
        return not (self._mine or self._left)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ArtfsError as error:
            logger.warning("the leases of this process are not up to date: %s", error)

    def renew_now(self) -> None:
        """Say that those of this process are held. Blocks: on the server.

        Raises: BackendUnavailable.
        """
        mine = list(self._mine)

        def work(connection: Connection) -> None:
            at_ns = now_ns(connection)
            for some in among(connection, leases.c.id, mine):
                connection.execute(update(leases).where(some).values(renewed_at_ns=at_ns))

        if mine:
            self._database.write(work)


class _RowLease:
    def __init__(self, leases_of: RowLeases, lease_id: str) -> None:
        self.id = lease_id
        self._leases = leases_of
        self._generation = forks.generation()

    def release(self) -> None:
        """See Lease."""
        if self._generation == forks.generation():
            # What cannot be given up now is when its time is over.
            with suppress(ArtfsError):
                self._leases.give_up(self.id)
        else:
            self._leases.forget(self.id)

    def abandon(self) -> None:
        """See Lease."""
        if self._generation == forks.generation():
            self._leases.give_up_soon(self.id)
        else:
            self._leases.forget(self.id)
