"""What a mounted tree looks like to whoever mounts it. Knows nothing of FUSE.

A tree is made of nodes. A *node* is an object with a life of its own: every directory, and
whatever can change. Files of a version are no objects until they are used: a directory tells
them by their position, so that a million of them can be known to the kernel at once.

Nodes raise the errors of artfs/errors.py and no others on purpose. All of this runs on the loop;
what takes long is awaited. A tree that can be changed has no such nodes: its names are those of
its staging area (artfs/vfs/staging_tree.py).
"""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping
from hashlib import blake2b
from typing import Protocol

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.model import Buffer
from artfs.repository.facade import Repository
from artfs.targets import ArtifactPath

_IDENTITY_BYTES = 12  # 60 bits of number, and enough that no two directories are the same

FOREVER_S = math.inf
"""The time for which an answer holds that never changes."""
NUMBER_BITS = 60
"""Inode numbers below 2**60 stay small integers in Python."""
NUMBER_MASK = (1 << NUMBER_BITS) - 1
ROOT_NUMBER = 1


def identity_of(*parts: bytes) -> int:
    """An identity from parts; no two lists of parts are the same to it."""
    state = blake2b(digest_size=_IDENTITY_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(4, "little"))
        state.update(part)
    return int.from_bytes(state.digest(), "little")


def key_of(identity: int) -> bytes:
    """What stands for a directory in the identities of what is in it."""
    return identity.to_bytes(_IDENTITY_BYTES, "little")


def identity_in(directory: bytes, name: str) -> int:
    """The identity of a name in the directory that has this key."""
    # Once for each name that is listed: a million times for a million files.
    digest = blake2b(directory + name.encode(), digest_size=_IDENTITY_BYTES).digest()
    return int.from_bytes(digest, "little")


def number_of(identity: int) -> int:
    """The inode number that an identity asks for."""
    return identity & NUMBER_MASK


class MountTarget(msgspec.Struct, frozen=True):
    """What a mount's root is; parts that are None are below it."""

    project: str | None = None
    name: str | None = None
    version: VersionRecord | None = None


def resolve_target(
    repository: Repository, text: str | None, *, default_project: str | None = None
) -> MountTarget:
    """Find the project, artifact or version that `text` names (artfs/targets.py).

    None is the whole store. A version is pinned: the mount stays with the one found here.
    Blocks: on the catalog. Raises: InvalidName, ArtifactNotFound, VersionNotFound,
    AliasNotFound, DamagedRecord, BackendUnavailable.
    """
    target = repository.target(text, project=default_project)
    if target.project is None:
        return MountTarget()
    if target.name is None:
        repository.require_project(target.project)
        return MountTarget(target.project)
    path = ArtifactPath(None, target.project, target.name, target.selector, target.path)
    if target.selector is not None:
        version = repository.resolve(path)
        return MountTarget(version.project, version.name, version)
    repository.artifact(path, on_damage=lambda _: None)
    return MountTarget(target.project, target.name)


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """What stat(2) says; the permission bits of `mode` are those before any umask."""

    identity: int
    """Tells this node from all others. Its low NUMBER_BITS are the wanted inode number; the bits
    above them tell nodes apart that want the same number."""
    mode: int
    size_bytes: int
    mtime_ns: int
    size_is_known: bool = True
    """Where it is not, the node is a MeasurableNode, and `size_bytes` is 0."""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        """Whether the node is a DirectoryNode."""
        return stat.S_ISDIR(self.mode)


class OpenFile(Protocol):
    """A file that was opened for reading."""

    @property
    def size_is_known(self) -> bool:
        """Whether the file ends where its attributes say, and its pages may be kept."""
        ...

    async def read(self, offset: int, length: int) -> Buffer:
        """Exactly `length` bytes from `offset`, fewer only at the end of the file."""
        ...


class Node(Protocol):
    """A file, symlink or directory."""

    @property
    def attributes(self) -> Attributes:
        """What it is; the same for the node's life in a tree that never changes."""
        ...

    def xattrs(self) -> Mapping[str, bytes]:
        """Extended attributes by name, from memory."""
        ...

    def open(self) -> OpenFile:
        """Open a file for reading; fetches nothing. Raises: Unsupported for other nodes."""
        ...

    def readlink(self) -> str:
        """The target of a symlink. Raises: Unsupported for other nodes."""
        ...


class MeasurableNode(Protocol):
    """A file whose size somebody else has to be asked for."""

    async def measured(self) -> Attributes:
        """The attributes with the size, which then stays; without one where nobody knows it."""
        ...


class ListedName(msgspec.Struct, frozen=True):
    """One name of a directory."""

    name: str
    attributes: Attributes
    position: int
    """Where the directory finds it again, for what is no node."""
    node: Node | None = None
    """What is told by position has none."""


class Lookup(msgspec.Struct, frozen=True):
    """What a directory says of one name, and for how long that holds."""

    found: ListedName | None
    ttl_s: float


class Listing(Protocol):
    """The names of a directory, as of the moment when the listing was asked for."""

    def ttl_s(self) -> float:
        """For how long the names hold, from now."""
        ...

    async def chunk(self, start: int) -> list[ListedName]:
        """Some names from place `start` on, in order; empty at the end.

        What cannot be listed is an error there, after all that can.
        """
        ...


class DirectoryNode(Node, Protocol):
    """A directory."""

    @property
    def parent_number(self) -> int:
        """The inode number of the directory that it is in; the root's is its own."""
        ...

    async def lookup(self, name: str) -> Lookup:
        """What `name` is here."""
        ...

    async def listing(self) -> Listing:
        """All names."""
        ...

    async def child(self, position: int) -> Node:
        """What stands at a position that `ListedName` told. Raises: PathNotFound."""
        ...


class Space(msgspec.Struct, frozen=True):
    """How much a mount shows."""

    size_bytes: int
    files: int


class Tree(Protocol):
    """Everything that one mount shows."""

    @property
    def root(self) -> DirectoryNode:
        """The directory at the mountpoint; its inode number is ROOT_NUMBER."""
        ...

    async def space(self) -> Space:
        """How much there is in it."""
        ...
