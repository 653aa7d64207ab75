"""Creating and opening stores."""

from __future__ import annotations

import fcntl
import os
import tomllib
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.blobs.local import LocalObjectStore
from artfs.catalog.sqlite import RESERVE_FILE
from artfs.errors import Conflict, InvalidArgument, PathNotFound, StoreFormatError, StoreNotFound
from artfs.model import check_name
from artfs.repository.facade import Repository, StoreInfo
from artfs.settings import default_entity, is_url
from artfs.system import forks
from artfs.system.files import fsync_directory
from artfs.system.oserrors import translate_os_errors

STORE_FILE = "artfs.toml"
CATALOG_FILE = "catalog.sqlite"
LEASES = "leases"
"""Beside the catalog; see artfs/catalog/leases.py."""
STORE_FORMAT = 1
"""Of embedded and shared stores alike."""

_UNFINISHED = frozenset(
    {
        f"{Path(STORE_FILE).stem}.new",
        "blobs",
        "packs",
        "tmp",
        RESERVE_FILE,
        *(f"{CATALOG_FILE}{suffix}" for suffix in ("", "-wal", "-shm", "-journal")),
    }
)
"""What a creation that was interrupted leaves is no reason to refuse the next one."""


class _StoreFile(msgspec.Struct, frozen=True):
    format: int
    entity: str


def open_store(location: str, *, create: bool = False) -> Repository:
    """Open the store that a directory or URL names.

    With `create` a directory that is missing or empty becomes a new store; a shared store is made
    by `create_shared` alone, for it has to be told where its blobs are.
    Raises: StoreNotFound, StoreFormatError, ConfigError, PermissionDenied, BackendUnavailable,
    Unsupported.
    """
    if is_url(location):
        from artfs.repository.shared import open_shared  # noqa: PLC0415 - few need it

        return open_shared(location)
    root = Path(location).expanduser().absolute()
    if create and not _is_store(root):
        create_store(root, entity=default_entity())
    return _open_embedded(root)


def make_store(address: str, *, blobs: str | None, entity: str | None) -> bool:
    """Make the directory or database at `address` a store; False where it is one already.

    Raises: InvalidArgument, Conflict; as `create_store` and `create_shared`.
    """
    if is_url(address):
        from artfs.repository.shared import create_shared  # noqa: PLC0415 - few need it

        return create_shared(address, blobs=blobs, entity=entity)
    if blobs is not None:
        raise InvalidArgument(
            "--blobs", "a store in a directory has its contents there", hint="leave it out"
        )
    root = Path(address).expanduser().absolute()
    is_new = not _is_store(root)
    create_store(root, entity=entity or default_entity())
    found = _read_store_file(root).entity
    if entity not in {None, found}:
        raise Conflict(str(root), f"is a store of the entity {found!r}")
    return is_new


def _is_store(root: Path) -> bool:
    with translate_os_errors(root):
        return (root / STORE_FILE).exists()


def create_store(root: Path, *, entity: str) -> None:
    """Make `root`, a directory that is missing or empty, an embedded store.

    Where another process makes it at the same time, that one's store stays.
    Raises: InvalidName, StoreFormatError where it holds something else, PermissionDenied,
    OutOfSpace, BackendUnavailable.
    """
    check_name(entity, kind="entity")
    with translate_os_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        fd = forks.open_private(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Where there are no locks, the worst that can happen is an error to the slower one.
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX)
            if not (root / STORE_FILE).exists():
                _fill_store(root, entity)
        finally:
            forks.close_private(fd)


def _fill_store(root: Path, entity: str) -> None:
    from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long to import

    strangers = sorted(path.name for path in root.iterdir() if path.name not in _UNFINISHED)
    if strangers:
        raise StoreFormatError(
            str(root),
            f"not a store, and not empty ({strangers[0]})",
            hint="name another directory",
        )
    SqlCatalog.sqlite(root / CATALOG_FILE, create=True).close()
    text = f'format = {STORE_FORMAT}\nentity = "{entity}"\n'
    _write_durably(root / STORE_FILE, text)


def _open_embedded(root: Path) -> Repository:
    from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long to import

    settings = _read_store_file(root)
    catalog = SqlCatalog.sqlite(root / CATALOG_FILE)
    objects = LocalObjectStore(root)
    info = StoreInfo(str(root), settings.entity, root)
    return Repository(info, catalog=catalog, objects=objects, workspace=objects)


def _read_store_file(root: Path) -> _StoreFile:
    path = root / STORE_FILE
    try:
        with translate_os_errors(path):
            text = path.read_text("utf-8")
        settings = msgspec.convert(tomllib.loads(text), _StoreFile)
    except PathNotFound:
        raise StoreNotFound(
            str(root), "there is no store here", hint="`artfs put` makes one, or name another"
        ) from None
    except ValueError as error:
        raise StoreFormatError(str(path), f"damaged ({error})") from None
    check_format(str(root), settings.format)
    return settings


def check_format(subject: str, found: int) -> None:
    """Raises: StoreFormatError where a newer artfs made the store."""
    if found > STORE_FORMAT:
        raise StoreFormatError(
            subject,
            f"has format {found}, this artfs knows {STORE_FORMAT}",
            hint="use a newer artfs",
        )


def _write_durably(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    fsync_directory(path.parent)
