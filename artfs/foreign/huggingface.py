"""A repository in the cache of the Hugging Face hub: `models--ORG--NAME` and the like."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from artfs.errors import InvalidArgument, InvalidManifest, PathNotFound
from artfs.foreign.base import (
    Algorithm,
    ForeignFile,
    ForeignTree,
    Kind,
    Proof,
    located,
    read_listing,
)
from artfs.system.oserrors import translate_os_errors
from artfs.system.paths import name_of

SNAPSHOTS = "snapshots"
_REFS, _BLOBS = "refs", "blobs"
_USUAL = "main"
_MAX_REF_BYTES = 1024
_TYPES = {"models": "model", "datasets": "dataset"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{7,40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_LINKED = 40
"""How many names of what is there an error tells."""


def is_repository(source: Path) -> bool:
    """Whether a directory is one of the cache, or a snapshot in one."""
    return _has_snapshots(source) or (
        source.parent.name == SNAPSHOTS and source.is_dir() and _has_snapshots(source.parent.parent)
    )


def _has_snapshots(source: Path) -> bool:
    return (source / SNAPSHOTS).is_dir() and (
        (source / _BLOBS).is_dir() or (source / _REFS).is_dir()
    )


def repositories(directory: Path) -> list[str]:
    """The names of the repositories in a cache."""
    kinds = (*_TYPES, "spaces")
    return sorted(
        each.name for kind in kinds for each in directory.glob(f"{kind}--*") if is_repository(each)
    )


def read_huggingface(source: Path, *, revision: str | None) -> ForeignTree:
    """The files of one revision, at the blobs that they are links to.

    `revision` is a branch, a tag, or a commit, of which 7 digits are enough; without one it is
    `main`, or the only one that is there. What a blob is called proves it: a SHA-256 of what is
    in LFS, and git's own SHA-1 of the rest. Blocks: on the disk.
    Raises: PathNotFound, InvalidArgument, InvalidManifest, PermissionDenied.
    """
    if source.parent.name == SNAPSHOTS and not _has_snapshots(source):
        if revision not in {None, source.name}:
            raise InvalidArgument("--revision", f"{source} is a snapshot of its own")
        source, revision = source.parent.parent, source.name
    commit = _commit(source, revision)
    root = source.absolute() / SNAPSHOTS / commit
    blobs = os.path.realpath(source / _BLOBS)
    files = tuple(_file(root, name, blobs) for name in sorted(_names(root)))
    return ForeignTree(
        kind=Kind.HUGGING_FACE,
        source=str(source),
        revision=commit,
        files=files,
        type=_TYPES.get(source.absolute().name.partition("--")[0]),
        cure="`hf download` brings it back",
    )


def _commit(source: Path, revision: str | None) -> str:
    """The snapshot that is meant."""
    with translate_os_errors(source):
        there = sorted(each.name for each in (source / SNAPSHOTS).iterdir() if each.is_dir())
    if not there:
        raise PathNotFound(str(source), "has no snapshot", hint="`hf download` makes one")
    wanted = _USUAL if revision is None else revision
    found = _of_ref(source, wanted)
    if found is None and wanted in there:
        found = wanted
    if found is None and _SHORT.fullmatch(wanted):
        matching = [each for each in there if each.startswith(wanted)]
        found = matching[0] if len(matching) == 1 else None
    if found is None and revision is None and len(there) == 1:
        found = there[0]
    if found in there:
        return found
    refs = _refs(source)
    known = ", ".join([*refs, *there][:_MAX_LINKED])
    if found is not None:
        raise PathNotFound(f"{source}: {wanted}", f"its snapshot {found} is not there")
    raise PathNotFound(f"{source}: {wanted}", "no such revision here", hint=f"there are {known}")


def _refs(source: Path) -> list[str]:
    root = source / _REFS
    return sorted(str(each.relative_to(root)) for each in root.rglob("*") if each.is_file())


def _of_ref(source: Path, name: str) -> str | None:
    """The commit that a branch or tag is at."""
    if name not in _refs(source):
        return None
    path = source / _REFS / name
    text = read_listing(path, limit_bytes=_MAX_REF_BYTES).decode(errors="replace").strip()
    if not _COMMIT.fullmatch(text):
        raise InvalidManifest(str(path), f"says that {text[:80]!r} is a commit")
    return text


def _names(root: Path) -> Iterator[str]:
    """The paths of all files and links below a snapshot; links are not followed."""

    def fail(error: OSError) -> None:
        raise error

    with translate_os_errors(root):
        for directory, below, names in os.walk(root, onerror=fail):
            # A link to a directory is no directory of a snapshot.
            links = [each for each in below if os.path.islink(os.path.join(directory, each))]  # noqa: PTH114, PTH118 - strings, for speed
            prefix = os.path.relpath(directory, root)
            for name in (*names, *links):
                yield name if prefix == "." else f"{prefix}/{name}"


def _file(root: Path, name: str, blobs: str) -> ForeignFile:
    """A file of a snapshot: a link to its blob, or, where there are no links, its content."""
    place, name = root / name, name_of(name)
    if not place.is_symlink():
        return located(name, [str(place)])
    with translate_os_errors(place):
        target = place.readlink()
    directory = os.path.realpath(place.parent / target.parent)
    if directory != blobs:
        raise InvalidManifest(
            str(place), "is a link that does not lead to a blob of its repository"
        )
    return located(name, [f"{blobs}/{target.name}"], proof=_proof(target.name))


def _proof(name: str) -> Proof | None:
    """What the name of a blob says of its content; servers may call it by something else."""
    if _SHA256.fullmatch(name):
        return Proof(Algorithm.SHA256, bytes.fromhex(name))
    if _COMMIT.fullmatch(name):
        return Proof(Algorithm.GIT, bytes.fromhex(name))
    return None
