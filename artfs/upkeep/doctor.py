"""Looking at a store without reading its content: damage, and what was left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from artfs.blobs.base import Namespace, ObjectKey, RecordKind, StoredObject
from artfs.catalog.records import LeaseKind
from artfs.catalog.sqlite import RESERVE_FILE
from artfs.errors import DamagedRecord
from artfs.repository.facade import Repository
from artfs.repository.permissions import mend, misfits
from artfs.repository.recovery import strange_commits, unrecorded_versions
from artfs.repository.stores import CATALOG_ASIDE, CATALOG_FILE, LEASES, STORE_FILE
from artfs.system.files import missing_abilities
from artfs.system.oserrors import translate_os_errors
from artfs.upkeep.quarantine import DIRECTORY

_MAX_NAMED = 5

OWNERSHIP = "ownership"
"""The kind of finding that `repair` mends."""

_OWN_NAMES = {
    *Namespace,
    *RecordKind,
    "tmp",
    "staging",
    LEASES,
    STORE_FILE,
    CATALOG_FILE,
    f"{CATALOG_FILE}-wal",
    f"{CATALOG_FILE}-shm",
    RESERVE_FILE,
    DIRECTORY,
}


class Severity(StrEnum):
    """How bad a finding is."""

    NOTE = "note"
    """As it should be, and worth knowing."""
    GARBAGE = "garbage"
    """Space that `artfs gc` frees; harmless."""
    DAMAGE = "damage"
    """Something that versions need is missing or wrong."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a look at the store found."""

    severity: Severity
    kind: str
    """A word for programs: `orphan-pack`, `missing-object`, …"""
    text: str
    """What was found, for a person."""
    hint: str = ""
    """What to do about it."""
    count: int = 0
    size_bytes: int = 0
    names: tuple[str, ...] = ()
    """Some of what was counted."""


def examine(repository: Repository) -> list[Finding]:
    """Compare catalog and objects, and look for what a killed process left behind.

    Blocks: on the catalog and on listing all objects; content is not read.
    Raises: BackendUnavailable, PermissionDenied.
    """
    found = list(_catalog_findings(repository))
    for look in (
        _tree_findings,
        _object_findings,
        _record_findings,
        _temporary_findings,
        _lease_findings,
        _root_findings,
    ):
        # A row that hinders one look is named already.
        with suppress(DamagedRecord):
            found += look(repository)
    return found


def repair(root: Path) -> int:
    """Give all of a store in a directory the owner, group and mode of that; how much was mended.

    Root can mend everything, others what is theirs. Raises: PermissionDenied, BackendUnavailable.
    """
    with translate_os_errors(root):
        before = len(list(misfits(root)))
        return before - len(mend(root))


def _catalog_findings(repository: Repository) -> Iterator[Finding]:
    problems = repository.catalog.check()
    if problems:
        yield Finding(
            severity=Severity.DAMAGE,
            kind="catalog",
            text="problems of the catalog",
            hint="`artfs rm` deletes a version that is damaged; `artfs doctor --rebuild-catalog` "
            "makes the catalog again, or restore it from a backup",
            count=len(problems),
            names=tuple(problems[:_MAX_NAMED]),
        )


def _tree_findings(repository: Repository) -> Iterator[Finding]:
    # What their rows hinder, the catalog's own findings name.
    trees = repository.catalog.live_trees(on_damage=lambda _: None)
    versions = {tree: version.path for version, tree in trees}
    known = repository.catalog.locate(list(versions))
    lost = {tree for tree in versions if tree not in known}
    if lost:
        # Not those that were deleted meanwhile.
        trees = repository.catalog.live_trees(on_damage=lambda _: None)
        lost &= {tree for _, tree in trees}
    if lost:
        yield Finding(
            severity=Severity.DAMAGE,
            kind="unknown-tree",
            text="versions whose list of files the catalog does not know",
            hint="`artfs doctor --rebuild-catalog` makes the catalog again from what is stored",
            count=len(lost),
            names=tuple(sorted(versions[tree] for tree in lost)[:_MAX_NAMED]),
        )


def _object_findings(repository: Repository) -> Iterator[Finding]:
    missing = _expected_objects(repository)
    orphans: list[StoredObject] = []
    wrong: list[str] = []
    for namespace in Namespace:
        for found in repository.objects.objects(namespace):
            size_bytes = missing.pop(found.key, None)
            if size_bytes is None:
                orphans.append(found)
            elif size_bytes != found.size_bytes:
                wrong.append(f"{found.key} has {found.size_bytes} bytes, not {size_bytes}")
    # What gc removed, and what was committed, while the objects were listed.
    known = _expected_objects(repository) if missing or orphans else {}
    storing = any(
        lease.is_held and lease.kind is LeaseKind.INTAKE for lease in repository.catalog.leases()
    )
    orphans = [found for found in orphans if found.key not in known]
    yield from _orphan_findings(orphans, storing=storing)
    lost = [key for key in missing if key in known and repository.objects.size(key) is None]
    if lost:
        yield Finding(
            severity=Severity.DAMAGE,
            kind="missing-object",
            text="objects that versions need are not there",
            hint="`artfs verify` names the files; `artfs put` of the same files heals them",
            count=len(lost),
            names=tuple(str(key) for key in lost[:_MAX_NAMED]),
        )
    if wrong:
        yield Finding(
            severity=Severity.DAMAGE,
            kind="wrong-size",
            text="objects have the wrong size",
            hint="`artfs verify` names the files; `artfs put` of the same files heals them",
            count=len(wrong),
            names=tuple(wrong[:_MAX_NAMED]),
        )


def _expected_objects(repository: Repository) -> dict[ObjectKey, int]:
    """Every object that the catalog knows, with its size."""
    expected = {
        ObjectKey(Namespace.PACKS, pack.sha256): pack.size_bytes
        for pack in repository.catalog.packs()
    }
    for blob in repository.catalog.blobs():
        if blob.pack is None:
            expected[ObjectKey(Namespace.BLOBS, blob.sha256)] = blob.size_bytes
    return expected


def _orphan_findings(orphans: list[StoredObject], *, storing: bool) -> Iterator[Finding]:
    for namespace, word in ((Namespace.PACKS, "pack"), (Namespace.BLOBS, "blob")):
        group = [found for found in orphans if found.key.namespace is namespace]
        if group:
            yield Finding(
                severity=Severity.GARBAGE,
                kind=f"orphan-{word}",
                text=f"{word}s that no commit took"
                + (", or none yet: something is being stored" if storing else ""),
                hint="`artfs gc` removes what stays so",
                count=len(group),
                size_bytes=sum(found.size_bytes for found in group),
                names=tuple(str(found.key) for found in group[:_MAX_NAMED]),
            )


def _record_findings(repository: Repository) -> Iterator[Finding]:
    """Look whether the catalog could be rebuilt if it were lost, and whether it knows all."""
    if repository.records is None:
        return
    unknown = strange_commits(repository.catalog, repository.records, deleted=False)
    if unknown:
        yield Finding(
            severity=Severity.NOTE,
            kind="unknown-commit",
            text="versions were committed that the catalog does not know: it is an older copy",
            hint="`artfs doctor --rebuild-catalog` brings them back, `artfs gc` forgets them",
            count=len(unknown),
            names=tuple(each.name for each in unknown[:_MAX_NAMED]),
        )
    unrecorded = unrecorded_versions(repository.catalog, repository.records)
    if unrecorded:
        yield Finding(
            severity=Severity.NOTE,
            kind="unrecorded",
            text="versions that nothing but the catalog knows: if it is lost, so are they",
            hint="`artfs gc` writes a checkpoint",
            count=len(unrecorded),
            names=tuple(unrecorded[:_MAX_NAMED]),
        )


def _temporary_findings(repository: Repository) -> Iterator[Finding]:
    temporaries = list(repository.workspace.temporaries.all())
    for alive in (False, True):
        group = [found for found in temporaries if found.is_held is alive]
        if group:
            yield Finding(
                severity=Severity.NOTE if alive else Severity.GARBAGE,
                kind="temporary-in-use" if alive else "temporary",
                text="temporary files that somebody holds"
                if alive
                else "temporary files that nobody holds",
                hint="" if alive else "`artfs gc` removes them",
                count=len(group),
                size_bytes=sum(found.size_bytes for found in group),
                names=tuple(found.path.name for found in group[:_MAX_NAMED]),
            )


def _lease_findings(repository: Repository) -> Iterator[Finding]:
    leases = [lease for lease in repository.catalog.leases() if lease.kind is not LeaseKind.RUN]
    for held in (False, True):
        group = [lease for lease in leases if lease.is_held is held]
        if group:
            yield Finding(
                severity=Severity.NOTE if held else Severity.GARBAGE,
                kind="lease" if held else "lease-left",
                text="others at work, for whom `artfs gc` leaves what they may need"
                if held
                else "leases of processes that are gone",
                hint="" if held else "`artfs gc` forgets them",
                count=len(group),
                names=tuple(f"{lease.kind.value}: {lease.holder}" for lease in group[:_MAX_NAMED]),
            )


def examine_ownership(root: Path) -> Iterator[Finding]:
    """Look for what keeps owner or group out of a store in a directory, be it from opening it.

    Blocks: on listing all of it. Raises: PermissionDenied, BackendUnavailable.
    """
    with translate_os_errors(root):
        found = list(misfits(root))
    if found:
        yield Finding(
            severity=Severity.DAMAGE,
            kind=OWNERSHIP,
            text="files and directories that are not the store's owner's or group's to use",
            hint="`artfs doctor --repair` as root mends them",
            count=len(found),
            names=tuple(f"{each.path} is {each.what}" for each in found[:_MAX_NAMED]),
        )


def _root_findings(repository: Repository) -> Iterator[Finding]:
    root = repository.info.root
    if root is None:
        return
    missing: list[str] = []
    with suppress(OSError):
        # Not where it cannot be written, or is full.
        missing = missing_abilities(root / "tmp")
    if missing:
        yield Finding(
            severity=Severity.NOTE,
            kind="file-system",
            text="its file system does less than artfs can promise on others",
            count=len(missing),
            names=tuple(missing),
        )
    aside = root / DIRECTORY
    if aside.is_dir() and (sizes := [path.stat().st_size for path in aside.iterdir()]):
        yield Finding(
            severity=Severity.NOTE,
            kind="set-aside",
            text=f"damaged objects that `artfs verify --quarantine` moved to {aside}",
            hint="delete them once they are of no use",
            count=len(sizes),
            size_bytes=sum(sizes),
        )
    names = sorted(path.name for path in root.iterdir() if path.name not in _OWN_NAMES)
    catalogs = [name for name in names if name.startswith(CATALOG_ASIDE)]
    if catalogs:
        yield Finding(
            severity=Severity.NOTE,
            kind="catalog-aside",
            text="catalogs that `artfs doctor --rebuild-catalog` replaced",
            hint="delete them once they are of no use",
            count=len(catalogs),
            names=tuple(catalogs[:_MAX_NAMED]),
        )
    strangers = [name for name in names if name not in catalogs]
    if strangers:
        yield Finding(
            severity=Severity.NOTE,
            kind="stranger",
            text="files in the store's directory that artfs does not know",
            count=len(strangers),
            names=tuple(strangers[:_MAX_NAMED]),
        )
