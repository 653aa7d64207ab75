"""The staging areas of a store, as others see them: without owning any."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, ArtfsError, PermissionDenied, StoreFormatError
from artfs.model import Digest
from artfs.repository.facade import StoreInfo
from artfs.staging.area import (
    AREA_ID,
    FILES,
    INDEX_FILE,
    lost_files,
    opened_areas,
    outcome_reserve,
    remove_leftovers,
    staging_path,
)
from artfs.staging.area_lock import AreaOwner, owner_of
from artfs.staging.checked import checked_meta, checked_tree, damaged_index
from artfs.staging.index import Index
from artfs.staging.meta import AreaMeta, AreaState
from artfs.system.directories import DirectoryHandle
from artfs.system.files import pwrite_full
from artfs.system.oserrors import translate_os_errors

_OUTCOME = ".outcome"
_OUTCOME_BYTES = 4096
_MAX_OUTCOMES = 20


_UNREADABLE = (ArtfsError, *UNDECODABLE, sqlite3.Error)
"""What reading a damaged area ends with."""


class AreaOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an area when its mount ended."""

    id: str
    artifact: str
    """`project/name`."""
    version: str | None = None
    """`project/name:vN`; None where it was dropped, or had nothing in it."""
    created: bool = False
    dropped: bool = False
    """Whether it was dropped on purpose."""
    failure: tuple[str, str, str, str] | None = None
    """Class, subject, reason and hint of the error that made it stay what it is."""
    mountpoint: str | None = None
    """Where it was mounted."""
    finished_at_ns: int


class AreaRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One staging area."""

    meta: AreaMeta
    owner: AreaOwner | None
    error: str | None
    """Why its last commit failed, or why it was kept when its mount ended."""
    files: int
    """With content of their own."""
    size_bytes: int
    lost: int = 0
    """Files that were set aside, for no name leads to them."""

    @property
    def state(self) -> str:
        """For people: `mounted` or `in use` with an owner, else `kept` or `failed`."""
        if self.owner is not None:
            return "mounted" if self.meta.mountpoint else "in use"
        return "failed" if self.meta.state is AreaState.FAILED else "kept"


class DamagedArea(msgspec.Struct, frozen=True, kw_only=True):
    """A staging area that cannot be gone on with; its files are there."""

    id: str
    error: str
    files: int
    size_bytes: int


def staging_areas(
    store: StoreInfo, on_damage: Callable[[DamagedArea], None] | None = None
) -> list[AreaRecord]:
    """All areas of a store on this host, oldest first; one that cannot be read is left out.

    `on_damage` gets to know those that nobody can go on with: then all that an index says is
    looked at, of areas without an owner. Raises: PermissionDenied, BackendUnavailable.
    """
    records = []
    for path in _area_paths(store):
        with suppress(*_UNREADABLE):
            try:
                records.append(_record(path, whole=on_damage is not None))
            except StoreFormatError as error:
                # One that was dropped meanwhile has nothing.
                if on_damage is not None and os.path.lexists(path):
                    files, size_bytes = _count_files(path)
                    damaged = DamagedArea(
                        id=path.name, error=error.reason, files=files, size_bytes=size_bytes
                    )
                    on_damage(damaged)
    return sorted(records, key=lambda record: record.meta.created_at_ns)


def staged_trees(store: StoreInfo) -> list[Digest]:
    """The trees that show through the areas of a store on this host; gc keeps them.

    Raises: StoreFormatError for an area that cannot be read, for what it builds upon is unknown;
    PermissionDenied, BackendUnavailable.
    """
    trees = []
    for path in _area_paths(store):
        if path.exists() and not os.access(path, os.R_OK | os.X_OK):
            raise PermissionDenied(
                str(path),
                "is another user's staging area, and what it builds upon cannot be seen",
                hint="let that user commit or drop it, or root run this",
            )
        try:
            trees.append(_record(path).meta.base_tree)
        except _UNREADABLE as error:
            # One that was dropped meanwhile builds upon nothing.
            if os.path.lexists(path):
                raise StoreFormatError(
                    str(path),
                    f"this staging area cannot be read ({error})",
                    hint=f"`artfs staging drop {path.name}` gives it up",
                ) from error
    return [tree for tree in trees if tree is not None]


def _area_paths(store: StoreInfo) -> list[Path]:
    """Raises: PermissionDenied, also where something else is in their place; BackendUnavailable."""
    remove_leftovers(store)
    with (
        translate_os_errors(staging_path(store)),
        suppress(FileNotFoundError),
        opened_areas(store) as areas,
    ):
        return [areas.path / name for name in areas.names() if AREA_ID.fullmatch(name)]
    return []


def reserve_outcome(area_path: Path) -> None:
    """Take the room for the word that is left in the end: the disk may be full by then.

    Word of an earlier attempt is forgotten.
    """
    with suppress(OSError):
        area_path.with_name(area_path.name + _OUTCOME).unlink(missing_ok=True)
        _write_reserve(area_path, b" " * _OUTCOME_BYTES)


def write_outcome(area_path: Path, outcome: AreaOutcome) -> None:
    """Leave word of what came of an area, in its place. Raises: OSError."""
    # Over the spaces that are there already: JSON may end with such.
    _write_reserve(area_path, msgspec.json.encode(outcome).ljust(_OUTCOME_BYTES))
    outcome_reserve(area_path).rename(area_path.with_name(area_path.name + _OUTCOME))


def _write_reserve(area_path: Path, text: bytes) -> None:
    fd = os.open(outcome_reserve(area_path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        pwrite_full(fd, text, 0)
    finally:
        os.close(fd)


def remove_outcome(store: StoreInfo, area_id: str) -> None:
    """Forget what came of an earlier attempt with an area that is gone."""
    with suppress(OSError):
        (staging_path(store) / (area_id + _OUTCOME)).unlink()


def read_outcome(area_path: Path) -> AreaOutcome | None:
    """What came of an area; None where nothing is known."""
    with suppress(OSError, *UNDECODABLE):
        path = area_path.with_name(area_path.name + _OUTCOME)
        return msgspec.json.decode(path.read_bytes(), type=analysed(AreaOutcome))
    return None


def outcomes(store: StoreInfo) -> list[AreaOutcome]:
    """What came of the areas that are gone, newest first; older word is removed."""
    with suppress(OSError), opened_areas(store) as areas:
        found = [each for each in _all_outcomes(areas) if each[0].failure is None]
        for _, name in found[_MAX_OUTCOMES:]:
            # Another member of a group keeps theirs.
            with suppress(OSError):
                areas.unlink(name)
        return [outcome for outcome, _ in found[:_MAX_OUTCOMES]]
    return []


def last_outcome_at(store: StoreInfo, place: Path) -> AreaOutcome | None:
    """What came of the area that was last mounted at a place, as the store knows it."""
    with suppress(OSError, ArtfsError), opened_areas(store) as areas:
        for outcome, _ in _all_outcomes(areas):
            if outcome.mountpoint == str(place):
                return outcome
    return None


def _all_outcomes(areas: DirectoryHandle) -> list[tuple[AreaOutcome, str]]:
    """With the names of their files, the newest first."""
    found = [
        (outcome, name)
        for name in areas.names()
        if name.endswith(_OUTCOME)
        and (outcome := read_outcome(areas.path / name.removesuffix(_OUTCOME))) is not None
    ]
    return sorted(found, key=lambda each: each[0].finished_at_ns, reverse=True)


def _record(path: Path, *, whole: bool = False) -> AreaRecord:
    """`whole`: look at every row, where nobody has it. Raises: what `_UNREADABLE` names."""
    if os.access(path, os.R_OK | os.X_OK) and not os.path.lexists(path / INDEX_FILE):
        raise damaged_index(path, "it is not there")
    owner = owner_of(path)
    index = Index(path / INDEX_FILE, writes=False)
    try:
        meta = checked_meta(path, index.meta())
        if whole and owner is None:
            checked_tree(path, index.nodes(), index.links())
    finally:
        index.close()
    error, outcome = meta.error, read_outcome(path)
    if error is None and outcome is not None and outcome.failure is not None:
        _, subject, reason, _ = outcome.failure
        error = f"{subject}: {reason}"
    files, size_bytes = _count_files(path)
    return AreaRecord(
        meta=meta,
        owner=owner,
        error=error,
        files=files,
        size_bytes=size_bytes,
        lost=len(lost_files(path)),
    )


def _count_files(path: Path) -> tuple[int, int]:
    files = size_bytes = 0
    with suppress(OSError), os.scandir(path / FILES) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                size_bytes += entry.stat(follow_symlinks=False).st_size
                files += 1
    return files, size_bytes
