"""How much the block cache may keep, and what goes first when that is too much.

Blocks that were used once form a queue and go first, in the order in which they came; a tenth of
the quota is theirs, so that a second use has time to happen. Blocks that were used again go when
there are no others, the least recently used first. What was evicted is remembered for a while: a
block that comes back counts as used again, so that a new working set displaces an old one.
"""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs import forks
from artfs.blobs.cache_layout import CachedBlock, CacheLayout
from artfs.failpoints import reach
from artfs.model import Digest
from artfs.system.locks import take_abandoned

logger = logging.getLogger(__name__)

STANDARD_LIMIT_BYTES = 50 * 1024**3
_STANDARD_SHARE = 10
_RESERVE_SHARE = 20
_CHECKS_PER_QUOTA = 400
_TARGET_RATIO = 0.95
_NEW_SHARE = 0.1


class Quota(msgspec.Struct, frozen=True):
    """What the cache may use of its disk."""

    limit_bytes: int
    """Of all blocks together, pinned ones included."""
    reserve_bytes: int
    """What stays free of the disk, whoever filled it."""

    @classmethod
    def standard(cls, root: Path, limit_bytes: int | None = None) -> Quota:
        """50 GiB or a tenth of the disk, whichever is less; 5% of the disk stay free."""
        try:
            disk_bytes = _statvfs(root).f_blocks * _statvfs(root).f_frsize
        except OSError:
            disk_bytes = _STANDARD_SHARE * STANDARD_LIMIT_BYTES
        standard = min(STANDARD_LIMIT_BYTES, disk_bytes // _STANDARD_SHARE)
        return cls(limit_bytes or standard, disk_bytes // _RESERVE_SHARE)

    @property
    def check_after_bytes(self) -> int:
        """How much may be written before the sizes are added up again."""
        return max(1, self.limit_bytes // _CHECKS_PER_QUOTA)

    def missing_bytes(self, root: Path) -> int:
        """How much must be freed for the reserve; negative where more is free. Raises: OSError."""
        found = _statvfs(root)
        return self.reserve_bytes - found.f_bavail * found.f_frsize


def evict(layout: CacheLayout, quota: Quota) -> int:
    """Bring the cache below its quota; how many bytes went. Blocks: disk.

    Only one process does this at a time; for the others there is nothing to do.
    """
    try:
        layout.create(layout.data)
        directory = forks.open_private(layout.tmp, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return 0
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _evict(layout, quota)
    except OSError as error:
        logger.debug("cache: no eviction: %s", error)
        return 0
    finally:
        forks.close_private(directory)


def _evict(layout: CacheLayout, quota: Quota) -> int:
    _remove_stale(layout)
    pinned = frozenset[Digest]().union(*layout.pinned().values())
    blocks = list(layout.blocks())
    total = sum(block.disk_bytes for block in blocks)
    excess = total - quota.limit_bytes
    shortage = quota.missing_bytes(layout.root)
    if excess <= 0 and shortage <= 0:
        return 0
    # A little more than needed, so that the next blocks do not begin all over.
    slack = round(quota.limit_bytes * (1 - _TARGET_RATIO))
    wanted = max(excess, shortage) + slack
    ghosts, freed = [], 0
    for block in _victims([block for block in blocks if block.key not in pinned], quota):
        if freed >= wanted:
            break
        with suppress(FileNotFoundError):
            block.path.unlink()
            reach("cache.evicted")
            freed += block.disk_bytes
            ghosts.append(layout.ghost(block.key, block.index))
    if ghosts:
        layout.add_ghosts(ghosts)
    logger.info("cache: %d blocks evicted, %d bytes freed", len(ghosts), freed)
    return freed


def _victims(blocks: list[CachedBlock], quota: Quota) -> list[CachedBlock]:
    """All blocks, in the order in which they go."""
    new = sorted((block for block in blocks if not block.kept), key=lambda block: block.used_s)
    kept = sorted((block for block in blocks if block.kept), key=lambda block: block.used_s)
    spared_bytes = 0
    first_spared = len(new)
    while first_spared and spared_bytes < quota.limit_bytes * _NEW_SHARE:
        first_spared -= 1
        spared_bytes += new[first_spared].disk_bytes
    return [*new[:first_spared], *kept, *new[first_spared:]]


def _remove_stale(layout: CacheLayout) -> None:
    """Remove what processes that died were writing."""
    for file in layout.temporaries():
        held = take_abandoned(file.path)
        if held is not None:
            with suppress(FileNotFoundError):
                Path(file.path).unlink()
            held.close()


def _statvfs(root: Path) -> os.statvfs_result:
    """Of the root, or of the nearest directory above it that exists. Raises: OSError."""
    for path in (root, *root.parents):
        with suppress(FileNotFoundError):
            return os.statvfs(path)
    raise FileNotFoundError(str(root))
