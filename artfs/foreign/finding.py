"""Which tool keeps what a path names."""

from __future__ import annotations

import os
from pathlib import Path

from artfs.errors import InvalidArgument, PathNotFound
from artfs.foreign.base import ForeignTree
from artfs.foreign.dvc import is_tracked, read_dvc
from artfs.foreign.huggingface import is_repository, read_huggingface, repositories
from artfs.foreign.wandb import MANIFEST, read_wandb

_KNOWN = (
    "name a wandb_manifest.json or a directory with one, a .dvc file or what it tracks, "
    "or models--ORG--NAME of a Hugging Face cache"
)


def read_foreign(
    source: str | os.PathLike[str], *, revision: str | None = None, cache: Path | None = None
) -> ForeignTree:
    """What there is to be imported, and where.

    `revision` is for a Hugging Face cache, `cache` the place of blobs that W&B or DVC name.
    Blocks: on the disk. Raises: PathNotFound, InvalidArgument, InvalidManifest, IntegrityError,
    Unsupported, PermissionDenied.
    """
    path = Path(source)
    if is_repository(path):
        if cache is not None:
            raise InvalidArgument("--cache", "a Hugging Face cache has its own blobs")
        return read_huggingface(path, revision=revision)
    if revision is not None:
        raise InvalidArgument("--revision", f"{path} is no repository of a Hugging Face cache")
    if cache is not None and not cache.is_dir():
        raise PathNotFound(str(cache), "there is no such directory")
    if is_tracked(path):
        return read_dvc(path, cache=cache)
    if path.is_file() or (path / MANIFEST).is_file():
        return read_wandb(path, cache=cache)
    if not path.exists():
        raise PathNotFound(str(path), "there is no such file or directory")
    found = repositories(path)
    hint = f"name one of its repositories, as {path / found[0]}" if found else _KNOWN
    raise InvalidArgument(str(path), "holds nothing that can be imported", hint=hint)
