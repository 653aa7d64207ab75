"""Creating and opening stores."""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
import tomllib
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.blobs.base import Namespace, RecordKind
from artfs.blobs.local import LocalObjectStore, fill_layout
from artfs.catalog.sqlite import RESERVE_FILE
from artfs.decoding import analysed
from artfs.errors import (
    UNDECODABLE,
    Conflict,
    InvalidArgument,
    PathNotFound,
    PermissionDenied,
    StoreFormatError,
    StoreNotFound,
    Unsupported,
)
from artfs.model import check_name
from artfs.repository.facade import STORE_FORMAT, Repository, StoreInfo, check_format
from artfs.repository.permissions import group_id, group_name, mend, take_over
from artfs.settings import default_entity, expand_home, is_url, store_variable
from artfs.system.directories import DirectoryHandle, half_made, make_parents
from artfs.system.oserrors import translate_os_errors
from artfs.system.user_places import is_remembered, remember_store
from artfs.wandbstore.address import is_server_url

logger = logging.getLogger(__name__)

STORE_FILE = "artfs.toml"
CATALOG_FILE = "catalog.sqlite"
CATALOG_ASIDE = f"{CATALOG_FILE}.damaged-"
"""What a catalog is called that was replaced, before the time of that."""
LEASES = "leases"
"""Beside the catalog; see artfs/catalog/leases.py."""

_DIRECTORIES = ("blobs", "packs", "tmp", *RecordKind)
_UNFINISHED = frozenset(
    {
        f"{Path(STORE_FILE).stem}.new",
        *_DIRECTORIES,
        *map(half_made, _DIRECTORIES),
        RESERVE_FILE,
        *(f"{CATALOG_FILE}{suffix}" for suffix in ("", "-wal", "-shm", "-journal")),
    }
)
"""What a creation that was interrupted leaves is no reason to refuse the next one."""
_UNWRITTEN = re.compile(rf"(\.{re.escape(STORE_FILE)}|{RESERVE_FILE})\.[0-9a-f]+")
"""The store file and the reserve before they have their names."""


class StoreFile(msgspec.Struct, frozen=True):
    """What is in the file `artfs.toml`."""

    format: int
    entity: str
    group: str | None = None
    """Whose members may all write to it; None: its owner alone."""


def open_store(
    location: str,
    *,
    create: bool = False,
    entity: str | None = None,
    read_directly: bool = False,
) -> Repository:
    """Open the store that a directory or URL names.

    With `create` a directory that is missing or empty becomes a new store, unless this user has
    used one there before; it belongs to `entity`, else to the one of the settings. A shared store
    is made by `create_shared` alone, for it has to be told where its blobs are.
    `read_directly`: what is large is read past the page cache, for a mount has one of its own.
    Raises: StoreNotFound, StoreFormatError, ConfigError, PermissionDenied, BackendUnavailable,
    Unsupported.
    """
    if is_server_url(location):
        from artfs.repository.servers import open_server  # noqa: PLC0415 - few need it

        return open_server(location, read_directly=read_directly)
    if is_url(location):
        from artfs.repository.shared import open_shared  # noqa: PLC0415 - few need it

        return open_shared(location, read_directly=read_directly)
    root = expand_home(location).absolute()
    is_new = False
    if create and not _is_store(root):
        # Another process may be making it at this moment.
        if is_remembered(root) and not _is_store(root):
            raise _not_there(root)
        entity = entity or default_entity()
        create_store(root, entity=entity)
        logger.warning("%s: a new store of %s was made here", root, entity)
        is_new = True
    repository = _open_embedded(root, read_directly=read_directly, is_new=is_new)
    remember_store(root)
    return repository


def make_store(
    address: str, *, blobs: str | None, entity: str | None, group: str | None = None
) -> bool:
    """Make the directory or database at `address` a store; False where it is one already.

    A store that is there already becomes one of the `group`. Raises: InvalidArgument, Conflict; as
    `create_store` and `create_shared`.
    """
    if is_server_url(address):
        raise Unsupported(
            address, "a W&B server is a store already", hint="`artfs ls --store` shows it"
        )
    if group is not None and is_url(address):
        raise InvalidArgument("--group", "is for a store in a directory", hint="leave it out")
    if is_url(address):
        from artfs.repository.shared import create_shared  # noqa: PLC0415 - few need it

        return create_shared(address, blobs=blobs, entity=entity)
    if blobs is not None:
        raise InvalidArgument(
            "--blobs", "a store in a directory has its contents there", hint="leave it out"
        )
    root = expand_home(address).absolute()
    is_new = not _is_store(root)
    create_store(root, entity=entity or default_entity(), group=group)
    found = read_store_file(root)
    if entity not in {None, found.entity}:
        raise Conflict(str(root), f"is a store of the entity {found.entity!r}")
    if group not in {None, found.group}:
        assert group is not None
        _give_to_group(root, found, group)
    return is_new


def _give_to_group(root: Path, settings: StoreFile, group: str) -> None:
    """Let the members of a group share a store that is there.

    Raises: PermissionDenied where it is not all ours.
    """
    gid = group_id(group)
    with (
        translate_os_errors(root),
        DirectoryHandle.at(root) as directory,
        directory.locked(),
        take_over(directory, gid) as shared,
    ):
        left = mend(root)
        # When all is done: who is killed before has it done by the next `init`.
        _write_settings(shared, msgspec.structs.replace(settings, group=group))
    if left:
        raise PermissionDenied(
            str(left[0].path),
            f"is {left[0].what}, and so not the group's",
            hint="`artfs doctor --repair` as root mends all of it",
        )


def _is_store(root: Path) -> bool:
    with translate_os_errors(root, variable=store_variable(root)):
        return (root / STORE_FILE).exists()


def create_store(root: Path, *, entity: str, group: str | None = None) -> None:
    """Make `root`, a directory that is missing or empty, an embedded store.

    It is for its owner alone, or for the members of `group`. Where another process makes it at the
    same time, that one's store stays.
    Raises: InvalidName, StoreFormatError where it holds something else, PermissionDenied,
    OutOfSpace, BackendUnavailable.
    """
    check_name(entity, kind="entity")
    with translate_os_errors(root, variable=store_variable(root)):
        make_parents(root)
        with suppress(FileExistsError):
            root.mkdir(mode=0o700)
        # Where there are no locks, the worst that can happen is an error to the slower one.
        with DirectoryHandle.at(root) as directory, directory.locked():
            if not (root / STORE_FILE).exists():
                _fill_store(directory, StoreFile(STORE_FORMAT, entity, group))


def _fill_store(directory: DirectoryHandle, settings: StoreFile) -> None:
    from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long to import

    if _holds_contents(directory.path):
        raise StoreFormatError(
            str(directory.path),
            "holds the contents of a store, and no store file",
            hint="`artfs doctor --rebuild-catalog` makes it again",
        )
    names = directory.names()
    unwritten = [name for name in names if _UNWRITTEN.fullmatch(name)]
    strangers = [name for name in names if name not in {*_UNFINISHED, *unwritten}]
    if strangers:
        raise StoreFormatError(
            str(directory.path),
            f"not a store, and not empty ({strangers[0]})",
            hint="name another directory",
        )
    for name in unwritten:
        directory.unlink(name)
    gid = None if settings.group is None else group_id(settings.group)
    with take_over(directory, gid) as root:
        fill_layout(root)
        # Its log and shared memory get the mode, and from root also the owner, that it has.
        with suppress(FileExistsError):
            os.close(root.open_new(CATALOG_FILE))
        check_catalog(root)
        SqlCatalog.sqlite(root.path / CATALOG_FILE, create=True).close()
        _write_settings(root, settings)


def _holds_contents(root: Path) -> bool:
    """Whether there is anything that a store keeps beside its catalog."""
    kinds = (*Namespace, *RecordKind)
    return any(path.is_file() for kind in kinds for path in (root / kind.value).rglob("*"))


def _open_embedded(root: Path, *, read_directly: bool, is_new: bool) -> Repository:
    from artfs.catalog.sql import SqlCatalog  # noqa: PLC0415 - SQLAlchemy takes long to import

    settings = read_store_file(root)
    with translate_os_errors(root), DirectoryHandle.at(root) as directory:
        check_catalog(directory)
    catalog = SqlCatalog.sqlite(root / CATALOG_FILE)
    objects = LocalObjectStore(root)
    info = StoreInfo(str(root), settings.entity, root)
    return Repository(
        info,
        catalog=catalog,
        objects=objects,
        workspace=objects,
        records=objects,
        read_directly=read_directly,
        is_new=is_new,
    )


def read_store_file(root: Path) -> StoreFile:
    """What a store says of itself. Raises: StoreNotFound, StoreFormatError."""
    path = root / STORE_FILE
    try:
        with translate_os_errors(path, variable=store_variable(root)):
            text = path.read_text("utf-8")
        settings = msgspec.convert(tomllib.loads(text), analysed(StoreFile))
    except PathNotFound:
        raise _not_there(root) from None
    except PermissionDenied as error:
        by_owner = "its owner lets the members of a group in with `artfs init --group GROUP`"
        raise PermissionDenied(
            str(root), "you may not look into this store", hint=error.hint or by_owner
        ) from None
    except UNDECODABLE as error:
        raise StoreFormatError(str(path), f"damaged ({error})") from None
    check_format(str(root), settings.format)
    return settings


def _not_there(root: Path) -> StoreNotFound:
    """What is said where no store is, or none any more."""
    if is_remembered(root):
        return StoreNotFound(
            str(root),
            "the store that you have used here is gone",
            hint=f"is its disk mounted? `artfs init --store {root}` makes a new one",
        )
    return StoreNotFound(
        str(root), "there is no store here", hint="`artfs put` makes one, or name another"
    )


def check_catalog(root: DirectoryHandle) -> None:
    """Refuse a catalog that is a link: what it leads to may be anything.

    Raises: PermissionDenied; OSError.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(root.status(CATALOG_FILE).st_mode):
            raise PermissionDenied(
                str(root.path / CATALOG_FILE), "is not a file", hint="restore it from a backup"
            )


def write_store_file(root: DirectoryHandle, *, entity: str) -> None:
    """Write again what a store says of itself, where that is lost. Raises: OSError."""
    group = group_name(root.ownership.gid) if root.ownership.is_shared else None
    _write_settings(root, StoreFile(STORE_FORMAT, entity, group))


def _write_settings(root: DirectoryHandle, settings: StoreFile) -> None:
    text = f'format = {settings.format}\nentity = "{settings.entity}"\n'
    if settings.group is not None:
        text += f'group = "{settings.group}"\n'
    _write_durably(root, STORE_FILE, text)


def _write_durably(root: DirectoryHandle, name: str, text: str) -> None:
    temporary = f".{name}.{secrets.token_hex(8)}"
    with os.fdopen(root.open_new(temporary), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    root.move(temporary, root, name)
    root.sync()
