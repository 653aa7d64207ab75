"""Finding what an address leads to, links followed as a kernel would, and listing what is in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.errors import DamagedRecord, NotFound, PathNotFound
from artfs.filesystem.infos import (
    Info,
    artifact_info,
    entry_info,
    project_info,
    store_info,
    version_info,
)
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry, SymlinkEntry
from artfs.repository.addresses import Address
from artfs.repository.facade import Repository

logger = logging.getLogger(__name__)

_MAX_LINKS = 40
_PAGE = 1000


class Place(msgspec.Struct, frozen=True):
    """What is at a path of a version, at the moment when that was asked for."""

    text: str
    """The address, by which it and all below it are told."""
    version: VersionRecord
    entry: Entry
    """What is there, after all links."""
    trail: tuple[DirectoryEntry, ...]
    """The directories that it is in, from the version's root."""
    is_link: bool = False

    @property
    def exact_address(self) -> str:
        """The same place in exactly this version, wherever an alias leads by then."""
        names = [each.name for each in (*self.trail[1:], self.entry)]
        return "/".join((self.version.path, *names)) if self.trail else self.version.path


def find_place(repository: Repository, text: str, address: Address) -> Place:
    """What an address in a version leads to.

    Blocks: on the catalog and the store. Raises: PathNotFound, ArtifactNotFound, VersionNotFound,
    AliasNotFound, BackendUnavailable and what else reading a directory raises.
    """
    version = repository.resolve(address.version)
    return _follow(repository, Place(text, version, version.root, ()), address.path)


def find_link(repository: Repository, text: str, address: Address) -> Place:
    """As `find_place`; a link that leads to nothing is itself what is there."""
    version = repository.resolve(address.version)
    root = Place(text, version, version.root, ())
    try:
        return _follow(repository, root, address.path)
    except PathNotFound:
        above, _, name = address.path.rpartition("/")
        found = _follow(repository, root, above)
        if isinstance(found.entry, DirectoryEntry):
            entry = _entry(repository, found.entry, name)
            if isinstance(entry, SymlinkEntry):
                return Place(text, version, entry, (*found.trail, found.entry))
        raise


def below(repository: Repository, place: Place, name: str) -> Place:
    """What a name in a directory leads to. Blocks and raises: as `find_place`."""
    return _follow(repository, place, name, text=f"{place.text}/{name}")


def _follow(repository: Repository, start: Place, path: str, *, text: str = "") -> Place:
    subject = text or start.text
    waiting = path.split("/")[::-1] if path else []
    trail: list[Entry] = [*start.trail, start.entry]
    links, is_link = 0, False
    while waiting:
        part = waiting.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if len(trail) == 1:
                raise PathNotFound(subject, "leads out of the version")
            trail.pop()
            continue
        directory = trail[-1]
        if not isinstance(directory, DirectoryEntry):
            raise PathNotFound(subject, f"{directory.name!r} is no directory")
        entry = _entry(repository, directory, part)
        if entry is None:
            raise PathNotFound(subject, f"there is no {part!r} in version {start.version.version}")
        if not isinstance(entry, SymlinkEntry):
            trail.append(entry)
            continue
        links += 1
        is_link |= not waiting
        if links > _MAX_LINKS:
            raise PathNotFound(subject, "goes through too many links")
        if entry.target.startswith("/"):
            raise PathNotFound(subject, f"is a link out of the version, to {entry.target}")
        waiting += entry.target.split("/")[::-1]
    *above, found = trail
    directories = tuple(each for each in above if isinstance(each, DirectoryEntry))
    return Place(subject, start.version, found, directories, is_link)


def _entry(repository: Repository, directory: DirectoryEntry, name: str) -> Entry | None:
    try:
        return repository.directory(directory.sha256).get(name)
    except UnicodeEncodeError:
        # Of surrogates, which stand for what is not UTF-8: no entry has such a name.
        return None


def children(repository: Repository, place: Place) -> Iterator[tuple[Place, Info]]:
    """What is in a directory, in order. Links to directories are told as links, not followed.

    Blocks and raises: as reading a directory does.
    """
    assert isinstance(place.entry, DirectoryEntry)
    trail = (*place.trail, place.entry)
    for entry in repository.directory(place.entry.sha256).entries():
        text = f"{place.text}/{entry.name}"
        child = Place(text, place.version, entry, trail)
        if not isinstance(entry, SymlinkEntry):
            yield child, entry_info(text, entry)
            continue
        try:
            target = below(repository, place, entry.name).entry
        except PathNotFound:
            target = None
        shown = target if isinstance(target, FileEntry | ReferenceEntry) else entry
        yield child, entry_info(text, shown, link=entry.target)


def list_names(repository: Repository, text: str, address: Address) -> list[Info]:
    """What is in the store, in a project or in an artifact: that has its versions and aliases.

    Blocks: on the catalog. Raises: ArtifactNotFound, BackendUnavailable.
    """
    catalog = repository.catalog
    before = f"{text}/" if text else ""
    if address.project is None:
        projects = catalog.projects(on_damage=_tell_damage)
        return [project_info(before + each.name, each) for each in projects]
    if address.name is None:
        repository.require_project(address.project)
        artifacts = catalog.artifacts(project=address.project, on_damage=_tell_damage)
        return [artifact_info(before + each.name, each) for each in artifacts]
    artifact = catalog.artifact(address.project, address.name, on_damage=_tell_damage)
    versions: list[VersionRecord] = []
    while True:
        oldest = versions[-1].index if versions else None
        page = catalog.versions(
            artifact.id, before_index=oldest, limit=_PAGE, on_damage=_tell_damage
        )
        versions += page
        if len(page) < _PAGE:
            break
    aliases = sorted((alias, each) for each in versions for alias in each.aliases)
    return [
        *(version_info(before + each.version, each) for each in reversed(versions)),
        *(version_info(before + alias, each) for alias, each in aliases),
    ]


def names_info(repository: Repository, text: str, address: Address) -> Info:
    """The store, a project or an artifact. Blocks and raises: as `list_names`."""
    if address.project is None:
        return store_info(text)
    if address.name is None:
        for each in repository.catalog.projects(on_damage=_tell_damage):
            if each.name == address.project:
                return project_info(text, each)
        repository.require_project(address.project)
        raise NotFound(address.project, "there is no such project")
    artifact = repository.catalog.artifact(address.project, address.name, on_damage=_tell_damage)
    return artifact_info(text, artifact)


def _tell_damage(error: DamagedRecord) -> None:
    logger.warning("not listed: %s", error)
