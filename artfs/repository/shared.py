"""Shared stores: a catalog on a PostgreSQL server, whose settings say where the blobs are."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from artfs.blobs.base import Namespace, RecordKind, Store
from artfs.blobs.local import LocalObjectStore
from artfs.blobs.locations import DirectoryLocation, Place, parse_place, with_endpoint
from artfs.credentials import without_credentials
from artfs.errors import (
    Conflict,
    InvalidArgument,
    StoreFormatError,
    Unsupported,
)
from artfs.model import check_name
from artfs.repository.facade import STORE_FORMAT, Repository, StoreInfo, check_format
from artfs.repository.openpack import Workspace
from artfs.settings import CACHE_VARIABLE, cache_path, default_entity
from artfs.system.directories import own_directory

if TYPE_CHECKING:
    from artfs.catalog.sql import SqlCatalog

_SCHEMES = frozenset({"postgresql", "postgres"})
_ID = "id"
_FORMAT = "format"
_ENTITY = "entity"
_REBUILD = "if its catalog is lost: `artfs doctor --rebuild-catalog --blobs URL` makes it again"
_BLOBS = "blobs"
"""Set last: a store that has it is complete."""
STORE_SETTINGS = frozenset({_BLOBS})
"""What only a catalog that is complete has."""


def create_shared(address: str, *, blobs: str | None, entity: str | None = None) -> bool:
    """Make the database at `address` a store whose blobs are at the URL `blobs`.

    False where it is one already, with the same blobs; one whose making was interrupted is
    completed. Credentials are not kept.
    Raises: Conflict where the store's blobs or entity are others; StoreFormatError where either
    place belongs to another store, or to something else; InvalidName, InvalidArgument,
    ConfigError, Unsupported, PermissionDenied, BackendUnavailable.
    """
    location = checked_address(address)
    if blobs is None:
        raise InvalidArgument(
            location, "where are its blobs to be?", hint="say --blobs s3://BUCKET/PREFIX"
        )
    place = with_endpoint(parse_place(blobs))
    chosen_entity = check_name(entity or default_entity(), kind="entity")
    # Nothing is made in the database before the other half is known to be within reach.
    is_bare = isinstance(place, DirectoryLocation) and place.is_empty()
    if place.claim(None) is None and not is_bare and holds_contents(place.open()):
        raise StoreFormatError(
            place.url, "holds the contents of a store, which nobody owns", hint=_REBUILD
        )
    from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long to import

    catalog = SqlCatalog.connect(address, create=True)
    try:
        found = catalog.settings()
        if _BLOBS not in found:
            claim(location, place, found[_ID])
            catalog.choose_setting(_FORMAT, str(STORE_FORMAT))
            catalog.choose_setting(_ENTITY, chosen_entity)
            catalog.choose_setting(_BLOBS, place.url)
        settings = catalog.settings()
        if settings[_BLOBS] != place.url:
            raise Conflict(location, f"is a store with its blobs at {settings[_BLOBS]}")
        if entity is not None and settings[_ENTITY] != entity:
            raise Conflict(location, f"is a store of the entity {settings[_ENTITY]!r}")
        return _BLOBS not in found
    finally:
        catalog.close()


def open_shared(address: str, *, read_directly: bool = False) -> Repository:
    """Open the store whose catalog is at `address`, a `postgresql://…` URL.

    Blobs are read through this user's block cache, and connected to when they are first needed.
    `read_directly`: see open_store.
    Raises: StoreFormatError, ConfigError, PermissionDenied, BackendUnavailable, Unsupported.
    """
    location = checked_address(address)
    from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long to import

    catalog = SqlCatalog.connect(address)
    try:
        return _opened(catalog, location, address, read_directly=read_directly)
    except BaseException:
        catalog.close()
        raise


def _opened(catalog: SqlCatalog, location: str, address: str, *, read_directly: bool) -> Repository:
    settings = catalog.settings()
    known = settings.get(_FORMAT, str(STORE_FORMAT))
    if not known.isdecimal() or _ID not in settings:
        raise StoreFormatError(location, "not a store, or a damaged one")
    check_format(location, int(known))
    if _BLOBS not in settings:
        raise StoreFormatError(
            location, "its making was not finished", hint="`artfs init` completes it"
        )
    try:
        place = parse_place(settings[_BLOBS])
    except (InvalidArgument, Unsupported) as error:
        raise StoreFormatError(
            location, f"its blobs are at {settings[_BLOBS]!r}", hint="use a newer artfs"
        ) from error
    objects = place.open()
    info = StoreInfo(location, settings[_ENTITY], None, settings[_ID])
    workspace = workspace_of(objects, info.id)
    return Repository(
        info,
        catalog=catalog,
        objects=objects,
        workspace=workspace,
        records=objects,
        address=address,
        read_directly=read_directly,
    )


def workspace_of(objects: Store, store_id: str) -> Workspace:
    """Where files are made before they are uploaded; on this host, for this user."""
    if isinstance(objects, LocalObjectStore):
        return objects
    root = cache_path() / "workspace" / store_id
    own_directory(root, variable=CACHE_VARIABLE).close()
    return LocalObjectStore(root)


def claim(location: str, place: Place, store_id: str) -> None:
    """Make a place that of a store. Raises: StoreFormatError where it is another one's."""
    if place.claim(store_id) != store_id:
        hint = (
            "name another directory" if isinstance(place, DirectoryLocation) else "use a new prefix"
        )
        raise StoreFormatError(
            place.url, f"belongs to another store than {location}", hint=f"{hint}; {_REBUILD}"
        )


def holds_contents(objects: Store) -> bool:
    """Whether there is anything that a store keeps beside its catalog. Blocks: on a listing.

    Raises: PermissionDenied, BackendUnavailable.
    """
    return any(True for namespace in Namespace for _ in objects.objects(namespace)) or any(
        True for kind in RecordKind for _ in objects.records(kind)
    )


def checked_address(address: str) -> str:
    """The address without its password. Raises: Unsupported."""
    location = without_credentials(address)
    if urlsplit(address).scheme.partition("+")[0] not in _SCHEMES:
        raise Unsupported(
            location,
            "not a kind of store",
            hint="a store is a directory, postgresql://USER@HOST/DATABASE or wandb://HOST/ENTITY",
        )
    return location
