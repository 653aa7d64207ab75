"""Reading a store itself, and nothing that this user's cache has kept of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from artfs.blobs.cache import BlockCache
from artfs.blobs.eviction import Quota
from artfs.repository.facade import Repository

_LIMIT_BYTES = 256 * 1024 * 1024


@contextmanager
def reading_anew(repository: Repository) -> Iterator[Repository]:
    """The store, with a cache of its own that is empty; an embedded store as it is.

    A request for many small blobs needs a place for them until they are asked for.
    """
    if repository.info.root is not None:
        yield repository
        return
    root = repository.workspace.temporaries.new("anew")
    quota = msgspec.structs.replace(Quota.standard(root), limit_bytes=_LIMIT_BYTES)
    try:
        yield Repository(
            repository.info,
            catalog=repository.catalog,
            objects=repository.objects,
            workspace=repository.workspace,
            cache=BlockCache(root, quota),
            address=repository.address,
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)
