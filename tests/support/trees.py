"""A store as a read-only mount shows it, without a mount: the tree itself, on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from artfs.engine.blocking import Threads
from artfs.engine.fetch import Fetcher
from artfs.engine.flights import Flights
from artfs.mounts.messages import Counters
from artfs.repository.facade import Repository
from artfs.vfs.artifacts import ArtifactsTree, View
from artfs.vfs.content_opener import ContentOpener
from artfs.vfs.name_cache import CatalogNames, FrozenNames, Names
from artfs.vfs.service import Service
from artfs.vfs.tree import DirectoryNode, ListedName, Node, resolve_target

TTL_S = 5.0
_TIMEOUT_S = 30.0


class ShownTree:
    """The tree of one mount, by paths."""

    def __init__(self, tree: ArtifactsTree) -> None:
        self.tree = tree

    async def found(self, path: str) -> ListedName | None:
        """What the last part of a path is told to be; None where one of its parts is nothing."""
        here: Node = self.tree.root
        found: ListedName | None = None
        for name in path.split("/"):
            if found is not None and found.node is None:
                return None
            found = (await as_directory(here).lookup(name)).found
            if found is None:
                return None
            here = found.node or here
        return found

    async def node(self, path: str) -> Node:
        """The node at a path; empty for the root. There must be one."""
        if not path:
            return self.tree.root
        found = await self.found(path)
        assert found is not None
        if found.node is not None:
            return found.node
        return await as_directory(await self.node(path.rpartition("/")[0])).child(found.position)

    async def directory(self, path: str) -> DirectoryNode:
        """The directory at a path."""
        return as_directory(await self.node(path))

    async def names(self, path: str) -> list[str]:
        """The names in a directory, in the order in which they are listed."""
        listing = await (await self.directory(path)).listing()
        names: list[str] = []
        while chunk := await listing.chunk(len(names)):
            names += [each.name for each in chunk]
        return names

    async def read(self, path: str, offset: int = 0, length: int = 1 << 40) -> bytes:
        """Bytes of the file at a path, by opening it."""
        return bytes(await (await self.node(path)).open().read(offset, length))


def as_directory(node: Node) -> DirectoryNode:
    """A node that is a directory."""
    assert node.attributes.is_directory
    return node  # type: ignore[return-value]


async def show(
    repository: Repository,
    nursery: trio.Nursery,
    target: str | None = None,
    *,
    alias_symlinks: bool = False,
    freeze: bool = False,
    ttl_s: float = TTL_S,
) -> ShownTree:
    """What a mount of `target` shows; its tasks are the nursery's."""
    threads = Threads()
    fetcher = Fetcher(nursery, threads, Counters(), timeout_s=_TIMEOUT_S)
    contents = ContentOpener(
        repository,
        threads,
        fetcher,
        nursery,
        flight_timeout_s=_TIMEOUT_S,
        read_timeout_s=_TIMEOUT_S,
    )
    service = Service(repository, threads, contents, nursery, flight_timeout_s=_TIMEOUT_S)
    found = resolve_target(repository, target)
    names: Names
    if freeze:
        names = FrozenNames.load(repository, project=found.project, name=found.name)
    else:
        names = CatalogNames(repository, threads, nursery, ttl_s=ttl_s, timeout_s=_TIMEOUT_S)
    view = View(names, service, alias_symlinks=alias_symlinks)
    return ShownTree(ArtifactsTree(view, found, Flights(nursery, timeout_s=_TIMEOUT_S)))


@asynccontextmanager
async def shown(
    repository: Repository,
    target: str | None = None,
    *,
    alias_symlinks: bool = False,
    freeze: bool = False,
    ttl_s: float = TTL_S,
) -> AsyncIterator[ShownTree]:
    """What a mount of `target` shows, for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        yield await show(
            repository,
            nursery,
            target,
            alias_symlinks=alias_symlinks,
            freeze=freeze,
            ttl_s=ttl_s,
        )
        nursery.cancel_scope.cancel()
