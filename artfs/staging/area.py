"""A staging area: a durable private directory that becomes a version.

STAGING/<id>/lock          held as long as a process owns the area; says which one
             index.sqlite  what differs from the base, but for what the journal has
             journal-<n>   changes that are not in the index yet
             files/        the content of what was written, one plain file per node
             lost/         plain files of which the index does not know what they are
             writers       which of them are open for writing
             durable       up to when all of this is known to have survived the host
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from artfs.errors import (
    OutOfSpace,
    PermissionDenied,
    StagingNotFound,
)
from artfs.repository.facade import Repository, StoreInfo
from artfs.settings import STATE_VARIABLE, state_path
from artfs.staging.area_lock import LOCK_FILE, check_own, lock_area
from artfs.staging.checked import checked_meta, checked_tree, damaged_index, row_of
from artfs.staging.index import Index
from artfs.staging.journal import Changes
from artfs.staging.meta import (
    AreaMeta,
    BaseLease,
    Durable,
    encode_meta,
    read_durable,
    write_durable,
)
from artfs.staging.nodes import DIRECTORY_MODE, ROOT_ID, FileNode, StagedDirectory, SymlinkNode
from artfs.staging.plain import PlainFiles
from artfs.staging.staged_files import StagedFiles, is_sealed
from artfs.staging.staged_tree import StagedTree
from artfs.staging.view import Owner
from artfs.staging.writers import Writers
from artfs.system.directories import DirectoryHandle, own_directory
from artfs.system.files import fsync_directory
from artfs.system.locks import hold_new_directory, is_held
from artfs.system.oserrors import translate_os_errors

logger = logging.getLogger(__name__)

INDEX_FILE = "index.sqlite"
FILES = "files"
LOST = "lost"
_WRITERS = "writers"
_DURABLE = "durable"
_DROPPED = ".dropped-"
_UNFINISHED = ".new-"
AREA_ID = re.compile(r"[0-9a-f]{8}")


def staging_path(store: StoreInfo) -> Path:
    """Where the staging areas of a store are: in the store, or for a shared one on this host."""
    if store.root is not None:
        return store.root / "staging"
    # Not by its URL, which may change, or be written in several ways.
    return state_path() / "staging" / store.id


class Area:
    """A staging area that this process owns."""

    def __init__(self, path: Path, lock_fd: int, index: Index, repository: Repository) -> None:
        self.path = path
        self.repository = repository
        self._lock_fd = lock_fd
        self._index = index
        self._meta = checked_meta(path, index.meta())
        self.plain = PlainFiles(path / FILES, path / LOST)
        # Before anything else is looked at: what is damaged is left as it is.
        nodes = checked_tree(path, index.nodes(), index.links())
        self._base = BaseLease(repository.catalog, self._meta.id)
        self._base.keep(self._meta.base_tree)
        owner = Owner(self._meta.uid, self._meta.gid, self._meta.created_at_ns)
        self.tree = StagedTree(index, self.plain, repository.directory, owner, nodes)
        self._writers = Writers(path / _WRITERS)
        self._writers.restore(self.tree.nodes)
        self.contents = StagedFiles(self.tree, repository.content, self._writers)
        self.is_reopened = False
        """Whether an earlier process had it: what that one closed need not be durable yet."""
        try:
            self._reconcile()
        except BaseException:
            self._writers.close()
            self._base.release()
            raise

    # --- life --------------------------------------------------------------------------------

    @classmethod
    def create(cls, repository: Repository, meta: AreaMeta) -> Area:
        """Make an area and own it. `meta.id` is chosen here.

        Raises: OutOfSpace, PermissionDenied, BackendUnavailable.
        """
        parent = staging_path(repository.info)
        meta = msgspec.structs.replace(meta, id=secrets.token_hex(4))
        path = parent / meta.id
        unfinished = parent / f"{_UNFINISHED}{meta.id}"
        with translate_os_errors(path):
            _create_parent(repository.info)
            # Nobody takes it for a leftover before it has its lock.
            making = hold_new_directory(unfinished)
            (unfinished / FILES).mkdir(mode=0o700)
            lock_fd = lock_area(unfinished, meta.id)
            making.close()
        try:
            index = Index(unfinished / INDEX_FILE, create=True)
            _fill(index, meta)
            index.close()
            with translate_os_errors(path):
                write_durable(unfinished / _DURABLE, Durable.now())
                fsync_directory(unfinished)
                unfinished.rename(path)
                fsync_directory(parent)
            return cls._of(path, lock_fd, repository)
        except BaseException:
            os.close(lock_fd)
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    @classmethod
    def open(cls, repository: Repository, area_id: str) -> Area:
        """Own an area that exists.

        Raises: StagingNotFound, StagingBusy where another process owns it, StoreFormatError,
        PermissionDenied, BackendUnavailable.
        """
        path = existing_area(repository.info, area_id)
        with translate_os_errors(path):
            check_own(path)
            if not (path / INDEX_FILE).exists():
                raise damaged_index(path, "it is not there")
            lock_fd = lock_area(path, area_id)
        try:
            area = cls._of(path, lock_fd, repository)
        except BaseException:
            os.close(lock_fd)
            raise
        area.is_reopened = True
        return area

    @classmethod
    def _of(cls, path: Path, lock_fd: int, repository: Repository) -> Area:
        index = Index(path / INDEX_FILE)
        try:
            return cls(path, lock_fd, index, repository)
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        """Give the area up; everything in it stays."""
        self._index.close()
        self._writers.close()
        self._base.release()
        os.close(self._lock_fd)

    def finish(self) -> None:
        """Give the area up once a version has what is in it: as `drop`, but for what was set aside.

        Raises: BackendUnavailable, PermissionDenied.
        """
        if self.lost():
            self.close()
        else:
            self.drop()

    def lost(self) -> list[str]:
        """What was set aside, for nobody knows what it is.

        Raises: PermissionDenied, BackendUnavailable.
        """
        return lost_files(self.path)

    def drop(self) -> None:
        """Give the area up and remove it with all that is in it."""
        self._index.close()
        self._writers.close()
        self._base.release()
        # In one step it is no area any more; what a crash leaves of it is removed later.
        dropped = self.path.with_name(_DROPPED + self.path.name)
        with translate_os_errors(self.path):
            self.path.rename(dropped)
        os.close(self._lock_fd)
        shutil.rmtree(dropped, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- what it says of itself --------------------------------------------------------------

    @property
    def id(self) -> str:
        """Eight hexadecimal digits."""
        return self._meta.id

    @property
    def meta(self) -> AreaMeta:
        """What the area is for."""
        return self._meta

    def update_meta(self, meta: AreaMeta) -> None:
        """Replace what the area is for, durably. Raises: OutOfSpace, BackendUnavailable."""
        self._index.put_meta(encode_meta(meta))
        self._meta = meta
        self._base.keep(meta.base_tree)

    @property
    def is_changed(self) -> bool:
        """Whether anything differs from the base, be it only a mode."""
        return any(child is None or child.persisted for child in self.tree.root.children.values())

    # --- durability --------------------------------------------------------------------------

    def sync(self) -> None:
        """Make all names and attributes survive the host. Blocks: disk.

        Raises: OSError, OutOfSpace, BackendUnavailable.
        """
        # Names of plain files first: the index refers to them; and which of them are half written.
        fsync_directory(self.plain.root)
        self._writers.sync()
        self._index.sync()

    def sync_file(self, node: FileNode) -> None:
        """Make an open file survive the host, with its name. Blocks: disk. Raises: as `sync`."""
        plain = node.plain
        if plain is not None:
            os.fsync(plain.fd)
        self.sync()

    def note_durable(self, durable: Durable) -> None:
        """Take note that everything was made durable that was there then. Blocks: disk.

        Raises: OSError.
        """
        write_durable(self.path / _DURABLE, durable)

    def checkpoint(self, *, only_if_due: bool = False) -> None:
        """Keep the index's journal short; `only_if_due`: where it is not. Blocks: disk.

        Raises: OutOfSpace, BackendUnavailable.
        """
        if self._index.is_journal_long or not only_if_due:
            self._index.checkpoint()
            self._index.forget_removed(self.plain.is_there)

    def replace_index(self, meta: AreaMeta, *, unneeded: Iterable[int]) -> None:
        """Rewrite the index from the nodes in memory that differ from the base.

        `unneeded`: nodes whose plain files are to be removed then.
        Raises: OutOfSpace, BackendUnavailable. Blocks: disk.
        """
        with self.tree.lock:
            nodes, links = self.tree.rows()
            self._index.replace(encode_meta(meta), nodes, links, unneeded=unneeded)
            self._meta = meta
        self._base.keep(meta.base_tree)

    def _reconcile(self) -> None:
        """Mend what a crash left between the index and the plain files."""
        with translate_os_errors(self.path):
            there = self.plain.ids()
            wanted = {
                node.id
                for node in self.tree.nodes.values()
                if isinstance(node, FileNode) and node.content is None
            }
            self._remove_unneeded(there - wanted)
            for node_id in wanted - there:
                # Its name survived the host and its content, which nobody synced, did not.
                node = self._file(node_id)
                logger.warning("%s: the content of %s was lost", self.path, node.path())
                self._writers.add_unfinished(node)
                self.plain.create(node_id)
            self._suspect(wanted & there)

    def _remove_unneeded(self, node_ids: set[int]) -> None:
        """Remove plain files that the index says are no loss, and set the others aside.

        Raises: StoreFormatError where the index is damaged; nothing is removed then.
        """
        removed = self._index.removed()
        unknown = sorted(node_ids - removed)
        for node_id in unknown:
            if isinstance(self.tree.nodes.get(node_id), (StagedDirectory, SymlinkNode)):
                raise damaged_index(self.path, f"node {node_id}: it is no file, and has content")
        for node_id in node_ids & removed:
            self.plain.remove(node_id)
        for node_id in unknown:
            # One that was made a moment before its name, and never written.
            if self.plain.stat(node_id).st_size == 0:
                self.plain.remove(node_id)
            else:
                logger.warning(
                    "%s: no name leads to what is now %s", self.path, self.plain.set_aside(node_id)
                )
        with suppress(OutOfSpace):
            # On a full disk they are let go of the next time.
            self._index.forget_removed(self.plain.is_there)

    def _suspect(self, node_ids: set[int]) -> None:
        """Take files for unfinished that a host may have cut which died meanwhile."""
        durable, now = read_durable(self.path / _DURABLE), Durable.now()
        if durable is None or durable.boot_id == now.boot_id:
            return
        for node_id in node_ids:
            found = self.plain.stat(node_id)
            # What the store shares was made durable by the commit that shared it.
            if found.st_ctime_ns > durable.until_ns and not is_sealed(found):
                node = self._file(node_id)
                logger.warning("%s: the host may have cut %s", self.path, node.path())
                self._writers.add_unfinished(node)
        self._writers.sync()
        with suppress(OSError):
            # On a full disk they are found again the next time.
            self.note_durable(now)

    def _file(self, node_id: int) -> FileNode:
        node = self.tree.nodes[node_id]
        assert isinstance(node, FileNode)
        return node


def drop_area(store: StoreInfo, area_id: str, *, ask: Callable[[], None]) -> None:
    """Remove an area that nobody owns, damaged or not, once `ask` has returned.

    Raises: StagingNotFound, StagingBusy, PermissionDenied, BackendUnavailable; what `ask` raises.
    """
    path = existing_area(store, area_id)
    with translate_os_errors(path):
        lock_fd = lock_area(path, area_id)
    try:
        ask()
        with translate_os_errors(path), opened_areas(store) as parent:
            parent.move(area_id, parent, _DROPPED + area_id)
            os.close(lock_fd)
            lock_fd = -1
            with suppress(OSError):
                parent.unlink(outcome_reserve(path).name)
            with suppress(OSError):
                parent.remove(_DROPPED + area_id)
    finally:
        if lock_fd >= 0:
            os.close(lock_fd)


def lost_files(area_path: Path) -> list[str]:
    """The names of what an area has set aside. Raises: PermissionDenied, BackendUnavailable."""
    with translate_os_errors(area_path), suppress(FileNotFoundError):
        return sorted(file.name for file in (area_path / LOST).iterdir())
    return []


def outcome_reserve(area_path: Path) -> Path:
    """Where the word of what came of an area is kept until it is left."""
    return area_path.with_name(f".{area_path.name}.outcome")


def existing_area(store: StoreInfo, area_id: str) -> Path:
    """Where an area is. Raises: StagingNotFound, PermissionDenied, BackendUnavailable."""
    path = staging_path(store) / area_id
    if AREA_ID.fullmatch(area_id):
        with (
            suppress(FileNotFoundError),
            translate_os_errors(path, missing=StagingNotFound),
            opened_areas(store) as parent,
            parent.below(area_id),
        ):
            return path
    raise StagingNotFound(area_id, "no such staging area", hint="see `artfs staging ls`")


def opened_areas(store: StoreInfo) -> DirectoryHandle:
    """What the areas of a store are in. Raises: OSError; PermissionDenied."""
    if store.root is not None:
        with DirectoryHandle.at(store.root) as root:
            return root.below(staging_path(store).name)
    return own_directory(staging_path(store))


def _create_parent(store: StoreInfo) -> None:
    """Make what the areas of a store are in. Raises: OSError; PermissionDenied."""
    if store.root is None:
        own_directory(staging_path(store).parent, variable=STATE_VARIABLE).close()
        own_directory(staging_path(store), variable=STATE_VARIABLE).close()
        return
    with DirectoryHandle.at(store.root) as root:
        root.below(staging_path(store).name, create=True).close()


def remove_leftovers(store: StoreInfo) -> None:
    """Remove areas that were being made or dropped when their process was killed."""
    with suppress(OSError, PermissionDenied), opened_areas(store) as parent:
        for name in parent.names():
            if not name.startswith((_DROPPED, _UNFINISHED)):
                continue
            lock = f"{name}/{LOCK_FILE}"
            if not (is_held(name, dir_fd=parent.fd) or is_held(lock, dir_fd=parent.fd)):
                with suppress(OSError):
                    parent.remove(name)


def _fill(index: Index, meta: AreaMeta) -> None:
    root = StagedDirectory(
        ROOT_ID,
        base=meta.base_tree,
        mode=DIRECTORY_MODE,
        uid=meta.uid,
        gid=meta.gid,
        mtime_ns=time.time_ns(),
    )
    changes = Changes()
    changes.nodes.append(row_of(root))
    index.apply(changes)
    index.put_meta(encode_meta(meta))
