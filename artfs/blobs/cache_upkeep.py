"""Looking after the block cache: what is in it, emptying it, checking it."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from artfs.blobs.cache import BlockCache
from artfs.blobs.sealed import read_sealed
from artfs.model import Digest
from artfs.system.files import SharedDescriptor, open_quietly
from artfs.system.progress import ProgressMeter


class CacheInfo(msgspec.Struct, frozen=True):
    """What a cache holds; all sizes are of the disk."""

    root: str
    used_bytes: int
    limit_bytes: int
    reserve_bytes: int
    """What the cache leaves free of its disk."""
    blocks: int
    contents: int
    kept_bytes: int
    """Of blocks that were used more than once."""
    pinned_bytes: int
    pins: tuple[str, ...]
    """Sorted."""


class CacheCheck(msgspec.Struct, frozen=True):
    """What a check of all blocks found."""

    blocks: int
    checked_bytes: int
    dropped: int
    """Damaged blocks, which are gone now."""


class CacheCleaning(msgspec.Struct, frozen=True):
    """What was removed."""

    blocks: int
    freed_bytes: int


def cache_info(cache: BlockCache) -> CacheInfo:
    """What is in the cache. Blocks: disk. Raises: OSError."""
    pins = cache.layout.pinned()
    pinned = frozenset[Digest]().union(*pins.values())
    blocks = list(cache.layout.blocks())
    return CacheInfo(
        root=str(cache.layout.root),
        used_bytes=sum(block.disk_bytes for block in blocks),
        limit_bytes=cache.quota.limit_bytes,
        reserve_bytes=cache.quota.reserve_bytes,
        blocks=len(blocks),
        contents=len({block.key for block in blocks}),
        kept_bytes=sum(block.disk_bytes for block in blocks if block.kept),
        pinned_bytes=sum(block.disk_bytes for block in blocks if block.key in pinned),
        pins=tuple(sorted(pins)),
    )


def clean_cache(cache: BlockCache, *, pins: bool) -> CacheCleaning:
    """Remove all blocks; with `pins` also pinned ones, and the pins themselves.

    Harmless while others use the cache. Blocks: disk. Raises: OSError.
    """
    found = cache.layout.pinned()
    if pins:
        for label in found:
            cache.unpin(label)
        found = {}
    pinned = frozenset[Digest]().union(*found.values())
    blocks = freed_bytes = 0
    for block in cache.layout.blocks():
        if block.key not in pinned:
            with suppress(FileNotFoundError):
                block.path.unlink()
                blocks += 1
                freed_bytes += block.disk_bytes
    return CacheCleaning(blocks, freed_bytes)


def check_cache(cache: BlockCache, meter: ProgressMeter) -> CacheCheck:
    """Read every block and drop those that are not what was written.

    Blocks: disk, hashing. Raises: OSError.
    """
    found = list(cache.layout.blocks())
    meter.expect(size_bytes=sum(block.disk_bytes for block in found))
    blocks = checked_bytes = dropped = 0
    for block in found:
        try:
            opened = SharedDescriptor(open_quietly(block.path))
            data = read_sealed(opened)
        except FileNotFoundError:
            continue
        except OSError:
            data = None
        blocks += 1
        checked_bytes += block.disk_bytes
        if data is None:
            cache.drop(block.key, block.index)
            dropped += 1
        meter.advance_bytes(block.disk_bytes)
    return CacheCheck(blocks, checked_bytes, dropped)
