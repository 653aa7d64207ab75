"""The outside of versions: projects, their artifacts, and versions and aliases as directories."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Mapping
from typing import NoReturn, TypeVar

import msgspec
from cachetools import LRUCache

from artfs.catalog.records import ArtifactRecord, ProjectRecord, StoreTotals, VersionRecord
from artfs.engine.flights import Flights
from artfs.errors import ArtfsError, DamagedRecord, PathNotFound, Unsupported
from artfs.vfs.name_cache import Known, Listed, Names, can_be_shown
from artfs.vfs.service import Service
from artfs.vfs.tree import (
    ROOT_NUMBER,
    Attributes,
    DirectoryNode,
    ListedName,
    Listing,
    Lookup,
    MountTarget,
    Node,
    OpenFile,
    Space,
    identity_of,
    number_of,
)
from artfs.vfs.versions import DIRECTORY_MODE, DIRECTORY_SIZE_BYTES, TreeDirectory

T = TypeVar("T")

_SYMLINK_MODE = stat.S_IFLNK | 0o777
_SPACE_TTL_S = 10.0
_MAX_DIRECTORIES = 1024


class View:
    """How names are shown."""

    def __init__(self, names: Names, service: Service, *, alias_symlinks: bool) -> None:
        self.names = names
        self.service = service
        self.alias_symlinks = alias_symlinks
        # An alias is looked up every second; what is known of its directories must outlast that.
        self._directories: LRUCache[int, TreeDirectory] = LRUCache(_MAX_DIRECTORIES)

    def version_directory(
        self, version: VersionRecord, attributes: Attributes, *, parent_number: int
    ) -> TreeDirectory:
        """The directory of a version at one place: the same one as long as nothing changed."""
        found: TreeDirectory | None = self._directories.get(attributes.identity)
        if found is None or found.version != version:
            found = TreeDirectory(
                self.service, version, version.tree, attributes, parent_number=parent_number
            )
            self._directories[attributes.identity] = found
        return found


class NamesDirectory:
    """A directory above versions. Implements DirectoryNode but for `lookup` and `listing`.

    Everything in it is a node; nothing is told by position.
    """

    def __init__(
        self, view: View, attributes: Attributes, *, parent_number: int, about: Mapping[str, str]
    ) -> None:
        self.view = view
        self._attributes = attributes
        self._parent_number = parent_number
        self._about = about

    @property
    def attributes(self) -> Attributes:
        """See Node."""
        return self._attributes

    @property
    def parent_number(self) -> int:
        """See DirectoryNode."""
        return self._parent_number

    @property
    def number(self) -> int:
        """The inode number that this directory asks for."""
        return number_of(self._attributes.identity)

    @property
    def path(self) -> str:
        """Where it is in the store, whatever part of that is mounted; empty for its root."""
        return self._about.get("path", "")

    def xattrs(self) -> Mapping[str, bytes]:
        """See Node."""
        return {name: value.encode() for name, value in self._about.items()}

    def open(self) -> OpenFile:
        """See Node."""
        raise Unsupported("directory", "it has no content")

    def readlink(self) -> str:
        """See Node."""
        raise Unsupported("directory", "it is no symlink")

    async def child(self, position: int) -> Node:
        """See DirectoryNode."""
        raise PathNotFound(str(position), "no such position in this directory")

    def below(self, name: str, mtime_ns: int) -> Attributes:
        """The attributes of a directory in this one."""
        identity = identity_of(self.path.encode(), name.encode())
        return Attributes(identity, DIRECTORY_MODE, DIRECTORY_SIZE_BYTES, mtime_ns)


class StoreDirectory(NamesDirectory):
    """All projects."""

    async def lookup(self, name: str) -> Lookup:
        """See DirectoryNode."""
        known = await self.view.names.projects()
        for record in known.value.records:
            if record.name == name:
                return Lookup(self._found(record), known.ttl_s())
        known.value.require_sound(name)
        return Lookup(None, known.ttl_s())

    async def listing(self) -> NamesListing:
        """See DirectoryNode."""
        known = await self.view.names.projects()
        found = [self._found(record) for record in known.value.records]
        return NamesListing(self, known, found)

    def _found(self, record: ProjectRecord) -> ListedName:
        node = ProjectDirectory(
            self.view,
            self.below(record.name, record.created_at_ns),
            parent_number=self.number,
            about={"path": record.name},
        )
        return ListedName(record.name, node.attributes, 0, node)


class ProjectDirectory(NamesDirectory):
    """A project: its artifacts and portfolios."""

    async def lookup(self, name: str) -> Lookup:
        """See DirectoryNode."""
        known = await self.view.names.artifact(self.path, name)
        found = None if known.value is None else self._found(known.value)
        return Lookup(found, known.ttl_s())

    async def listing(self) -> NamesListing:
        """See DirectoryNode."""
        known = await self.view.names.artifacts(self.path)
        found = [self._found(record) for record in known.value.records]
        return NamesListing(self, known, found)

    def _found(self, record: ArtifactRecord) -> ListedName:
        newest = record.latest.created_at_ns if record.latest else record.created_at_ns
        node = ArtifactDirectory(
            self.view,
            self.below(record.name, newest),
            parent_number=self.number,
            about={"path": record.path, "type": record.type},
        )
        return ListedName(record.name, node.attributes, 0, node)


class ArtifactDirectory(NamesDirectory):
    """An artifact or portfolio: its versions and aliases."""

    async def lookup(self, name: str) -> Lookup:
        """See DirectoryNode."""
        project, _, artifact = self.path.partition("/")
        known = await self.view.names.version(project, artifact, name)
        found = None if known.value is None else self._found(name, known.value)
        return Lookup(found, known.ttl_s())

    async def listing(self) -> NamesListing:
        """See DirectoryNode: aliases first, then versions, newest last."""
        project, _, artifact = self.path.partition("/")
        known = await self.view.names.versions(project, artifact)
        versions = known.value.records
        aliases = [(name, each) for each in versions for name in each.aliases]
        aliases.sort(key=lambda alias: alias[0])
        shown = [*aliases, *((each.version, each) for each in versions)]
        found = [self._found(name, version) for name, version in shown]
        return NamesListing(self, known, found)

    def _found(self, name: str, version: VersionRecord) -> ListedName:
        if self.view.alias_symlinks and name != version.version:
            link = AliasLink(self, name, version.version, version.created_at_ns)
            return ListedName(name, link.attributes, 0, link)
        attributes = Attributes(
            _version_identity(self.path, name, version),
            DIRECTORY_MODE,
            DIRECTORY_SIZE_BYTES,
            version.created_at_ns,
        )
        node = self.view.version_directory(version, attributes, parent_number=self.number)
        return ListedName(name, attributes, 0, node)


class AliasLink:
    """An alias, shown as a symlink to its version. Implements Node."""

    def __init__(self, directory: ArtifactDirectory, name: str, target: str, mtime_ns: int) -> None:
        self._target = target
        self._attributes = Attributes(
            identity_of(directory.path.encode(), name.encode(), target.encode()),
            _SYMLINK_MODE,
            len(target),
            mtime_ns,
        )

    @property
    def attributes(self) -> Attributes:
        """See Node."""
        return self._attributes

    def xattrs(self) -> Mapping[str, bytes]:
        """See Node."""
        return {}

    def open(self) -> OpenFile:
        """See Node."""
        raise Unsupported("symlink", "it has no content")

    def readlink(self) -> str:
        """See Node."""
        return self._target


class DamagedName:
    """What is known to be there, but not what it is. Implements DirectoryNode and MeasurableNode.

    It has a place in a listing; whatever is asked about it is the error that tells what is wrong.
    """

    def __init__(self, directory: NamesDirectory, name: str, error: DamagedRecord) -> None:
        self._error = error
        self._parent_number = directory.number
        self._attributes = Attributes(
            # Not that of what is sound: who is in there keeps what they have.
            identity_of(directory.path.encode(), name.encode(), b"damaged"),
            DIRECTORY_MODE,
            0,
            directory.attributes.mtime_ns,
            size_is_known=False,
        )

    @property
    def attributes(self) -> Attributes:
        """See Node: for listings alone; who asks gets the error from `measured`."""
        return self._attributes

    @property
    def parent_number(self) -> int:
        """See DirectoryNode."""
        return self._parent_number

    def xattrs(self) -> Mapping[str, bytes]:
        """See Node."""
        self._fail()

    def open(self) -> OpenFile:
        """See Node."""
        self._fail()

    def readlink(self) -> str:
        """See Node."""
        self._fail()

    async def measured(self) -> Attributes:
        """See MeasurableNode."""
        self._fail()

    async def lookup(self, _name: str) -> Lookup:
        """See DirectoryNode."""
        self._fail()

    async def listing(self) -> Listing:
        """See DirectoryNode."""
        self._fail()

    async def child(self, _position: int) -> Node:
        """See DirectoryNode."""
        self._fail()

    def _fail(self) -> NoReturn:
        raise self._error.with_traceback(None)


class NamesListing:
    """The names of a directory above versions, the damaged ones last. Implements Listing.

    Where something has no name to show, the listing ends with the error that tells of it.
    """

    def __init__(
        self, directory: NamesDirectory, known: Known[Listed[T]], found: Iterable[ListedName]
    ) -> None:
        self._known = known
        self._hidden: DamagedRecord | None = None
        shown: dict[str, ListedName] = {}
        for each in found:
            if can_be_shown(each.name):
                shown[each.name] = each
            else:
                self._hidden = DamagedRecord(repr(each.name)[:80], "no file can have this name")
        sound = set(shown)
        for error in known.value.damaged:
            for name in error.names or (None,):
                if not can_be_shown(name) or name in sound:
                    self._hidden = error
                    continue
                node = DamagedName(directory, name, error)
                shown[name] = ListedName(name, node.attributes, 0, node)
        self._found = list(shown.values())

    def ttl_s(self) -> float:
        """See Listing: what is damaged is no name to keep, but one to look up."""
        return 0.0 if self._known.value.damaged else self._known.ttl_s()

    async def chunk(self, start: int) -> list[ListedName]:
        """See Listing. Raises: DamagedRecord at the end, where something could not be shown."""
        if self._hidden is not None and start >= len(self._found):
            raise self._hidden.with_traceback(None)
        return self._found[start:]


class ArtifactsTree:
    """What a read-only mount shows. Implements Tree."""

    def __init__(self, view: View, target: MountTarget, flights: Flights[StoreTotals]) -> None:
        self._view = view
        self._target = target
        self._flights = flights
        self._totals: Known[StoreTotals] | None = None
        self._root = _root(view, target)

    @property
    def root(self) -> DirectoryNode:
        """See Tree."""
        return self._root

    async def space(self) -> Space:
        """See Tree: a version's own size, else the store's."""
        version = self._target.version
        if version is not None:
            return Space(version.size_bytes, version.file_count)
        service = self._view.service
        catalog = service.repository.catalog
        if self._totals is None or not self._totals.ttl_s():
            try:
                totals = await self._flights.join(
                    "totals", lambda: service.threads.run(service.work, catalog.totals)
                ).landed()
            except ArtfsError:
                if self._totals is None:
                    raise
                totals = self._totals.value
            self._totals = Known.for_s(totals, _SPACE_TTL_S)
        totals = self._totals.value
        return Space(totals.blob_bytes, totals.blobs)


def _root(view: View, target: MountTarget) -> DirectoryNode:
    now_ns = time.time_ns()
    attributes = Attributes(ROOT_NUMBER, DIRECTORY_MODE, DIRECTORY_SIZE_BYTES, now_ns)
    version = target.version
    if version is not None:
        return TreeDirectory(
            view.service,
            version,
            version.tree,
            msgspec.structs.replace(attributes, mtime_ns=version.created_at_ns),
            parent_number=ROOT_NUMBER,
            # What is in it has the numbers that it has where more of the store is mounted.
            place=_version_identity(f"{version.project}/{version.name}", version.version, version),
        )
    if target.project is None:
        return StoreDirectory(view, attributes, parent_number=ROOT_NUMBER, about={})
    if target.name is None:
        about = {"path": target.project}
        return ProjectDirectory(view, attributes, parent_number=ROOT_NUMBER, about=about)
    about = {"path": f"{target.project}/{target.name}"}
    return ArtifactDirectory(view, attributes, parent_number=ROOT_NUMBER, about=about)


def _version_identity(artifact: str, name: str, version: VersionRecord) -> int:
    """The identity of a version below its number or an alias; with the alias it does not move."""
    return identity_of(artifact.encode(), name.encode(), version.id.encode())
