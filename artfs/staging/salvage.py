"""The way out for the files of a staging area that cannot be gone on with.

Nothing of the area is changed, and nothing that its index says is believed but for names: they
are taken where they lead from the root to a plain file.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec

from artfs.catalog.rowchecks import WRONG, check_names
from artfs.errors import InvalidArgument
from artfs.repository.facade import StoreInfo
from artfs.staging.area import FILES, INDEX_FILE, LOST, existing_area
from artfs.staging.area_lock import check_own, lock_area
from artfs.staging.journal import journals, merged, read_journals
from artfs.staging.nodes import ROOT_ID
from artfs.system.oserrors import translate_os_errors

_NAMED = "named"
_UNNAMED = "unnamed"
_VIEWS = "SELECT 1 FROM sqlite_master WHERE type = 'view'"
_LINKS = "SELECT parent, name, node FROM links"

_Places = dict[int, tuple[int, str]]
"""A node's first place: the directory, and the name there."""


class Salvage(msgspec.Struct, frozen=True):
    """How many files were copied."""

    named: int
    unnamed: int


def salvage_area(store: StoreInfo, area_id: str, directory: Path) -> Salvage:
    """Copy what an area that nobody owns has content of into a directory that is new or empty.

    Blocks: disk. Raises: StagingNotFound, StagingBusy, InvalidArgument, PermissionDenied,
    OutOfSpace, BackendUnavailable.
    """
    path = existing_area(store, area_id)
    with translate_os_errors(path):
        check_own(path)
        lock_fd = lock_area(path, area_id)
    try:
        with translate_os_errors(directory):
            directory.mkdir(exist_ok=True)
            if any(directory.iterdir()):
                raise InvalidArgument(
                    str(directory), "is not empty", hint="name a directory that is new or empty"
                )
        return _copy_all(path, directory)
    finally:
        os.close(lock_fd)


def _copy_all(area: Path, directory: Path) -> Salvage:
    places = _places(area)
    named = unnamed = 0
    for node_id, file in _plain_files(area):
        path = None if node_id is None else _path(places, node_id)
        with translate_os_errors(file):
            if path is not None:
                with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                    _copy(file, directory / _NAMED / path)
                    named += 1
                    continue
            _copy(file, directory / _UNNAMED / f"{file.parent.name}-{file.name}")
            unnamed += 1
    return Salvage(named, unnamed)


def _plain_files(area: Path) -> Iterator[tuple[int | None, Path]]:
    """With the ids of their nodes; what is set aside has none."""
    for place in (area / FILES, area / LOST):
        with translate_os_errors(place), suppress(FileNotFoundError):
            for file in sorted(place.iterdir()):
                if not file.is_symlink() and file.is_file():
                    node_id = None
                    if place.name == FILES:
                        with suppress(ValueError):
                            node_id = int(file.name, 16)
                    yield node_id, file


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as source, target.open("xb") as copied:
        shutil.copyfileobj(source, copied)
    found = file.stat()
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _places(area: Path) -> _Places:
    """What the index and its journals say still, as far as they can be read."""
    found: dict[tuple[Any, Any], Any] = {}
    with suppress(sqlite3.Error, OSError):
        uri = f"{(area / INDEX_FILE).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = lambda data: data.decode(errors="backslashreplace")
            # A view could have no end.
            if connection.execute(_VIEWS).fetchone() is None:
                for parent, name, node in connection.execute(_LINKS):
                    found[parent, name] = node
    with suppress(OSError, *WRONG):
        vanished, removed, _, _, links = merged(read_journals(p for _, p in journals(area)))
        gone = set(vanished)
        found = {key: node for key, node in found.items() if key[0] not in gone}
        for key in removed:
            found.pop(key, None)
        found.update({(parent, name): node for parent, name, node in links})
    places: _Places = {}
    for (parent, name), node in found.items():
        with suppress(*WRONG):
            check_names(name)
            if isinstance(parent, int) and isinstance(node, int):
                places.setdefault(node, (parent, name))
    return places


def _path(places: _Places, node_id: int) -> str | None:
    """The path of a node below the root; None where none leads there."""
    parts: list[str] = []
    seen: set[int] = set()
    while node_id != ROOT_ID:
        if node_id in seen or node_id not in places:
            return None
        seen.add(node_id)
        node_id, name = places[node_id]
        parts.append(name)
    return "/".join(reversed(parts))
