"""What happens to files in the background once they are closed: they become durable, and hashed.

A commit then finds most of its work done. A file that is written again while it is hashed is let
go of at once.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, get_native_id

from artfs.blobs.hashing import hash_file
from artfs.errors import ArtfsError, SourceChanged
from artfs.model import SMALL_BLOB_LIMIT_BYTES
from artfs.staging.area import Area
from artfs.staging.meta import Durable
from artfs.staging.nodes import FileNode, Hashed
from artfs.system.files import file_state

logger = logging.getLogger(__name__)

SYNC_INTERVAL_S = 5.0
"""What was closed survives the host this much later, and what syncing takes. Each time, whoever
makes files waits for the disk's journal: more often would be felt."""

_PAUSE_S = 0.5

_NICE = 10
"""Hashing gives way to whoever writes the next file, where there are processors for one only."""

_SYNC_ALL_FROM_FILES = 32


def hash_node(
    area: Area,
    node: FileNode,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Hashed | None:
    """The digests of a file's own content; None where it is being written, gone, or not wanted.

    Blocks: disk, processor. Raises: OutOfSpace, PermissionDenied, BackendUnavailable.
    """
    generation = node.generation

    def check(count: int) -> None:
        on_bytes(count)
        changed = node.writers or node.generation != generation or node.content is not None
        # A removed file gives its space back when nobody has it open any more.
        removed = node.link_count == 0 and node.opens == 0
        if changed or removed or not is_wanted():
            raise SourceChanged(node.path(), "is being written")

    try:
        check(0)
        fd = os.open(area.plain.path(node.id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            state = file_state(fd)
            known = node.hashed
            # The area is a directory on a disk: what was hashed is right while the file stays so.
            if known is not None and known.generation == generation and known.state == state:
                return known
            hashed = Hashed(generation, state, hash_file(fd, on_bytes=check))
        finally:
            os.close(fd)
        check(0)
    except (SourceChanged, FileNotFoundError):
        return None
    node.hashed = hashed
    return hashed


class Background:
    """Two threads that look after the closed files of one area."""

    def __init__(self, area: Area) -> None:
        self._area = area
        self._unsynced: dict[int, FileNode] = {}
        self._unhashed: dict[int, FileNode] = {}
        self._changed = False
        self._all_unsynced = area.is_reopened
        self._next_sync_s = 0.0
        self._stopping = Event()
        self._paused = Event()
        # One at a time would let durability wait for the hashing of a large file.
        self._threads = [
            Thread(target=work, name=f"{name} {area.id}", daemon=True)
            for work, name in ((self._keep_durable, "sync"), (self._hash, "hash"))
        ]
        for thread in self._threads:
            thread.start()

    def closed(self, node: FileNode) -> None:
        """Tell that a file was closed that may have been written."""
        self._unsynced[node.id] = node
        if node.most_bytes >= SMALL_BLOB_LIMIT_BYTES:
            self._unhashed[node.id] = node

    def changed(self) -> None:
        """Tell that names or attributes have changed."""
        self._changed = True

    def pause(self) -> None:
        """Hash nothing until `resume`: a commit is about to do it."""
        self._paused.set()

    def resume(self) -> None:
        """Hash again."""
        self._paused.clear()

    def stop(self) -> None:
        """End the threads. Blocks: until what they do is done, at most a block's hashing."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _keep_durable(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            with self._survived():
                self._look_after()

    def _hash(self) -> None:
        # Of this thread alone, and of those that it starts.
        # Never up: only root could.
        nice = max(_NICE, os.getpriority(os.PRIO_PROCESS, get_native_id()))
        os.setpriority(os.PRIO_PROCESS, get_native_id(), nice)
        while not self._stopping.wait(_PAUSE_S):
            with self._survived():
                while self._unhashed and self._goes_on():
                    self._hash_one()

    @contextmanager
    def _survived(self) -> Iterator[None]:
        """Let a thread go on after an error: without it nothing would become durable by itself."""
        try:
            yield
        except (OSError, ArtfsError) as error:
            # Whoever syncs or commits is told; this was only ahead of time.
            logger.warning("%s: %s", self._area.path, error)
        except Exception:
            logger.exception("%s: looking after it failed", self._area.path)

    def _look_after(self) -> None:
        try:
            self._area.checkpoint(only_if_due=True)
        finally:
            self._make_durable()

    def _make_durable(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_sync_s:
            return
        self._next_sync_s = now_s + SYNC_INTERVAL_S
        durable = Durable.now()
        unsynced, self._unsynced = self._unsynced, {}
        changed, self._changed = self._changed, False
        if not unsynced and not changed:
            return
        try:
            self._sync(unsynced)
            self._area.note_durable(durable)
        except BaseException:
            # It is tried again, with what was written again meanwhile.
            self._changed = True
            for node_id, node in unsynced.items():
                self._unsynced.setdefault(node_id, node)
            raise

    def _sync(self, unsynced: dict[int, FileNode]) -> None:
        plain = self._area.plain
        if self._all_unsynced or len(unsynced) >= _SYNC_ALL_FROM_FILES:
            plain.sync_all()
            self._all_unsynced = False
        else:
            for node in unsynced.values():
                with suppress(FileNotFoundError):
                    plain.sync(node.id)
        self._area.sync()
        self._area.checkpoint()

    def _hash_one(self) -> None:
        _, node = self._unhashed.popitem()
        if node.content is None and not node.writers:
            hash_node(self._area, node, is_wanted=self._goes_on)

    def _goes_on(self) -> bool:
        return not (self._stopping.is_set() or self._paused.is_set())
