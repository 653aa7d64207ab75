"""Word to gc, also to that of other hosts, of the tree that shows through an area which is open."""

from __future__ import annotations

import logging

from artfs.catalog.base import Catalog, Lease
from artfs.catalog.records import LeaseKind
from artfs.errors import ArtfsError
from artfs.model import Digest

logger = logging.getLogger(__name__)


class BaseLease:
    """The lease of one open area. For one thread at a time."""

    def __init__(self, catalog: Catalog, area_id: str) -> None:
        self._catalog = catalog
        self._area_id = area_id
        self._tree: Digest | None = None
        self._lease: Lease | None = None

    def keep(self, tree: Digest | None) -> None:
        """Keep this tree from gc, and no longer the one before. Blocks: on the catalog.

        What an area is good for without its store goes on where that is out of reach.
        """
        if tree == self._tree:
            return
        before, self._lease = self._lease, None
        try:
            if tree is not None:
                kind = LeaseKind.STAGING
                self._lease = self._catalog.lease(kind, subject=self._area_id, tree=tree)
            self._tree = tree
        except ArtfsError as error:
            logger.warning("gc of other hosts is not told of area %s: %s", self._area_id, error)
        if before is not None:
            before.release()

    def release(self) -> None:
        """Keep nothing any more. Blocks: on the catalog."""
        self._tree = None
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()
