"""This user's block cache."""

from __future__ import annotations

import os
from pathlib import Path

from artfs.blobs.cache import BlockCache
from artfs.blobs.eviction import Quota
from artfs.errors import ConfigError
from artfs.settings import cache_limit_bytes, cache_path
from artfs.system.directories import own_directory
from artfs.system.oserrors import translate_os_errors

_NOWHERE = Path("/proc/no-home/artfs")


def cache_root() -> Path:
    """Where the block cache is."""
    try:
        return cache_path() / "blocks"
    except ConfigError:
        # Of somebody without a home: nothing can be made there, so nothing is kept.
        return _NOWHERE


def open_cache(*, read_directly: bool = False) -> BlockCache:
    """The block cache, with the quota of the configuration or the standard one.

    Raises: ConfigError; PermissionDenied for a cache that somebody else made or can write to: what
    is in it would be taken for what was fetched.
    """
    root = cache_root()
    if os.path.lexists(root):
        with translate_os_errors(root):
            own_directory(root).close()
    quota = Quota.standard(root, cache_limit_bytes())
    return BlockCache(root, quota, read_directly=read_directly)
