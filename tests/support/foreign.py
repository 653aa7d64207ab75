"""What W&B, DVC and Hugging Face leave on a disk, made as their documentation describes it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import md5, sha1, sha256
from pathlib import Path
from typing import Any


def wandb_manifest(
    files: Mapping[str, bytes], references: Mapping[str, dict[str, Any]] | None = None
) -> str:
    """The text of a `wandb_manifest.json`."""
    contents: dict[str, Any] = {
        path: {"digest": b64encode(md5(data).digest()).decode(), "size": len(data)}
        for path, data in files.items()
    }
    return json.dumps(
        {
            "version": 1,
            "storagePolicy": "wandb-storage-policy-v1",
            "storagePolicyConfig": {"storageLayout": "V2"},
            "contents": contents | dict(references or {}),
        }
    )


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a directory."""
    for path, data in files.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def fill_md5_cache(objects: Path, files: Mapping[str, bytes]) -> None:
    """Keep contents by their md5, `ab/cdef…`, as W&B and DVC do."""
    for data in files.values():
        name = md5(data).hexdigest()
        write_files(objects, {f"{name[:2]}/{name[2:]}": data})


def dvc_directory(root: Path, name: str, files: Mapping[str, bytes], *, legacy: bool) -> Path:
    """A DVC repository that tracks a directory of which only the cache has the bytes.

    `legacy` is the layout and the digest of DVC 2, to which what has a NUL is no text. Returns the
    `.dvc` file.
    """
    objects = root / ".dvc" / "cache" / ("" if legacy else "files/md5")

    def digest(data: bytes) -> str:
        is_changed = legacy and b"\0" not in data
        return md5(data.replace(b"\r\n", b"\n") if is_changed else data).hexdigest()

    listed = [{"md5": digest(data), "relpath": path} for path, data in sorted(files.items())]
    listing = json.dumps(listed, sort_keys=True).encode()
    named = {f"{digest(listing)}.dir": listing} | {digest(each): each for each in files.values()}
    write_files(objects, {f"{key[:2]}/{key[2:]}": data for key, data in named.items()})
    place = root / f"{name}.dvc"
    lines = [f"- md5: {digest(listing)}.dir", f"  nfiles: {len(files)}", f"  path: {name}"]
    place.write_text("\n".join(["outs:", *lines, *([] if legacy else ["  hash: md5"])]) + "\n")
    return place


def hub_repository(
    cache: Path, name: str, files: Mapping[str, bytes], *, large: frozenset[str], revision: str
) -> Path:
    """A repository of the hub's cache with one snapshot, at which `revision` is.

    `large` are the files that LFS keeps, which are called by their SHA-256; the others have the
    name that git gives them.
    """
    root = cache / name
    commit = sha1(name.encode() + b"".join(files.values())).hexdigest()
    write_files(root, {f"refs/{revision}": commit.encode()})
    for path, data in files.items():
        git = sha1(b"blob %d\0" % len(data) + data).hexdigest()
        blob = sha256(data).hexdigest() if path in large else git
        write_files(root, {f"blobs/{blob}": data})
        place = root / "snapshots" / commit / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to("../" * (2 + path.count("/")) + f"blobs/{blob}")
    return root
