"""Putting a rebuilt catalog in the place of one that is lost or damaged.

A catalog is built as a file of its own, and takes its place when it is complete: in a directory by
a rename, where the old one is kept beside it; in a database by one transaction, which needs one
that is empty. Until then, and wherever it is interrupted, everything is as it was before.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from artfs.blobs.base import Store
from artfs.blobs.local import LocalObjectStore
from artfs.blobs.locations import DirectoryLocation, Place, parse_place, with_endpoint
from artfs.errors import (
    Conflict,
    InvalidArgument,
    OtherStoreFormat,
    StoreFormatError,
    StoreNotFound,
)
from artfs.failpoints import reach
from artfs.repository.facade import STORE_FORMAT, Repository, StoreInfo
from artfs.repository.openpack import Workspace
from artfs.repository.shared import (
    STORE_SETTINGS,
    checked_address,
    claim,
    holds_contents,
    workspace_of,
)
from artfs.repository.stores import (
    CATALOG_ASIDE,
    CATALOG_FILE,
    LEASES,
    STORE_FILE,
    check_catalog,
    read_store_file,
    write_store_file,
)
from artfs.settings import default_entity, expand_home, is_url
from artfs.system.directories import DirectoryHandle
from artfs.system.oserrors import reach_step, translate_os_errors

if TYPE_CHECKING:
    from artfs.catalog.records import Copy
    from artfs.catalog.sql import SqlCatalog

_SIDES = ("-wal", "-shm", "-journal")


class LostCatalog(Protocol):
    """A store of which all is there but a catalog that can be relied upon."""

    location: str
    """It may be shown."""
    objects: Store
    entity: str | None
    """None: nobody knows it but a checkpoint."""
    store_id: str | None
    """That is written beside the blobs; None: none is."""

    def names(self) -> Copy | None:
        """What a catalog says that is sound; None: there is none that is.

        Raises: OtherStoreFormat; Conflict where somebody is at work, or it cannot be replaced.
        """
        ...

    def building(self, *, dry_run: bool) -> AbstractContextManager[Path]:
        """A path for the file of the new catalog, which goes when this ends."""
        ...

    def repository(self, catalog: SqlCatalog) -> Repository:
        """The store, with the new catalog in place of its own."""
        ...

    def install(self, built: Path, *, entity: str) -> str | None:
        """Put the new catalog, which nobody has open, in its place; where the old one is now.

        Raises: Conflict where somebody else did that meanwhile.
        """
        ...


def lost_catalog(address: str, *, blobs: str | None) -> LostCatalog:
    """The store at `address`, whatever became of its catalog.

    Raises: StoreNotFound where nothing of a store is there; InvalidArgument, Unsupported.
    """
    if is_url(address):
        if blobs is None:
            raise InvalidArgument(
                checked_address(address),
                "where are its blobs?",
                hint="say --blobs s3://BUCKET/PREFIX",
            )
        return SharedStore(address, with_endpoint(parse_place(blobs)))
    if blobs is not None:
        raise InvalidArgument(
            "--blobs", "a store in a directory has its contents there", hint="leave it out"
        )
    return EmbeddedStore(expand_home(address).absolute())


class EmbeddedStore:
    """A LostCatalog in a directory."""

    def __init__(self, root: Path) -> None:
        self.location = str(root)
        self._root = root
        self._catalog = root / CATALOG_FILE
        with translate_os_errors(root):
            is_store = (root / STORE_FILE).exists()
            if not is_store and not all((root / name).is_dir() for name in ("blobs", "packs")):
                raise StoreNotFound(str(root), "there is no store here", hint="name another")
        self.entity = read_store_file(root).entity if is_store else None
        self.store_id: str | None = None
        self.objects: Store = LocalObjectStore(root)
        self._seen = self._state()

    def names(self) -> Copy | None:
        """See LostCatalog."""
        from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long

        self._refuse_beside_others()
        with translate_os_errors(self._root), DirectoryHandle.at(self._root) as root:
            check_catalog(root)
        if self._seen is None:
            return None
        return _names_of(lambda: SqlCatalog.sqlite(self._catalog))

    @contextmanager
    def building(self, *, dry_run: bool) -> Iterator[Path]:
        """See LostCatalog."""
        if dry_run:
            with tempfile.TemporaryDirectory(prefix="artfs-rebuild-") as directory:
                yield Path(directory) / CATALOG_FILE
            return
        assert isinstance(self.objects, LocalObjectStore)
        with _new_directory(self.objects) as path:
            yield path / CATALOG_FILE

    def repository(self, catalog: SqlCatalog) -> Repository:
        """See LostCatalog."""
        assert isinstance(self.objects, LocalObjectStore)
        info = StoreInfo(self.location, self.entity or "", self._root)
        return Repository(info, catalog=catalog, objects=self.objects, workspace=self.objects)

    def install(self, built: Path, *, entity: str) -> str | None:
        """See LostCatalog."""
        with (
            translate_os_errors(self._root),
            DirectoryHandle.at(self._root) as root,
            root.locked(),
        ):
            if self._state() != self._seen:
                raise Conflict(
                    str(self._catalog), "somebody else replaced it meanwhile", hint="look at it"
                )
            self._refuse_beside_others()
            aside = f"{CATALOG_ASIDE}{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"
            _keep_aside(root, aside)
            reach("rebuild.aside")
            with built.open("rb+") as file:
                root.ownership.claim(file.fileno(), root.ownership.file_mode)
                os.fsync(file.fileno())
            os.rename(built, CATALOG_FILE, dst_dir_fd=root.fd)
            reach("rebuild.installed")
            if not (self._root / STORE_FILE).exists():
                write_store_file(root, entity=entity)
            root.sync()
        return None if self._seen is None else str(self._root / aside)

    def _refuse_beside_others(self) -> None:
        from artfs.catalog.leases import file_leases  # noqa: PLC0415 - SQLAlchemy takes long

        held = [lease for lease in file_leases(self._root / LEASES) if lease.is_held]
        if held:
            raise Conflict(
                self.location,
                f"somebody is at work ({held[0].kind.value}: {held[0].holder})",
                hint="run it again when that has ended",
            )

    def _state(self) -> tuple[int, int] | None:
        try:
            found = self._catalog.lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size


def _keep_aside(root: DirectoryHandle, name: str) -> None:
    """Give the old catalog another name. Where this ends half-way there is none, which everybody
    is told who opens the store. A log that is left behind would be taken for the new one's.
    """
    for suffix in ("", *_SIDES):
        with suppress(FileNotFoundError):
            root.move(f"{CATALOG_FILE}{suffix}", root, f"{name}{suffix}")
    root.sync()


class SharedStore:
    """A LostCatalog in a database."""

    def __init__(self, address: str, place: Place) -> None:
        self.location = checked_address(address)
        self.objects: Store = place.open()
        self.entity: str | None = None
        self._address = address
        self._place = place
        if isinstance(place, DirectoryLocation) and not place.root.is_dir():
            raise StoreNotFound(place.url, "there is no such directory", hint="is it mounted?")
        self.store_id = place.claim(None)
        if self.store_id is None and not holds_contents(self.objects):
            raise StoreNotFound(place.url, "there is no store here", hint="name another")
        self._new_id = self.store_id or secrets.token_hex(16)

    def names(self) -> Copy | None:
        """See LostCatalog."""
        from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long

        try:
            catalog = SqlCatalog.connect(self._address)
        except OtherStoreFormat:
            raise
        except StoreFormatError:
            return None
        with _closing(catalog):
            if catalog.settings().keys() & STORE_SETTINGS:
                raise Conflict(
                    self.location,
                    "there is a catalog in this database",
                    hint="rebuild it in a new database, or in one without artfs's tables",
                )
        return None

    @contextmanager
    def building(self, *, dry_run: bool) -> Iterator[Path]:
        """See LostCatalog."""
        del dry_run
        with _new_directory(self._workspace()) as path:
            yield path / CATALOG_FILE

    def repository(self, catalog: SqlCatalog) -> Repository:
        """See LostCatalog."""
        info = StoreInfo(self.location, self.entity or "", None, self._new_id)
        return Repository(info, catalog=catalog, objects=self.objects, workspace=self._workspace())

    def install(self, built: Path, *, entity: str) -> str | None:
        """See LostCatalog."""
        from artfs.catalog.creation import create_filled  # noqa: PLC0415 - SQLAlchemy takes long
        from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - as above

        claim(self.location, self._place, self._new_id)
        reach_step("rebuild.claimed", self.location)
        settings = {
            "id": self._new_id,
            "format": str(STORE_FORMAT),
            "entity": entity,
            "blobs": self._place.url,
        }
        with _closing(SqlCatalog.sqlite(built)) as source:
            create_filled(self._address, source, settings_wanted=settings)
        return None

    def _workspace(self) -> Workspace:
        return workspace_of(self.objects, self._new_id)


def _names_of(open_catalog: Callable[[], SqlCatalog]) -> Copy | None:
    """What a catalog says; None where it is damaged."""
    try:
        with _closing(open_catalog()) as catalog:
            return None if catalog.check() else catalog.copy_names()
    except OtherStoreFormat:
        raise
    except StoreFormatError:
        return None


@contextmanager
def _closing(catalog: SqlCatalog) -> Iterator[SqlCatalog]:
    try:
        yield catalog
    finally:
        catalog.close()


@contextmanager
def _new_directory(workspace: Workspace) -> Iterator[Path]:
    """A directory that is removed in the end, or by gc where this process does not live on."""
    path = workspace.temporaries.new("rebuild")
    with translate_os_errors(path):
        path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def entity_of(lost: LostCatalog, known: str | None) -> str:
    """Whose the store is: as it says itself, or a checkpoint does, or else as new ones are."""
    return lost.entity or known or default_entity()
