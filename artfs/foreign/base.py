"""What is to be imported, whatever keeps it: paths, where their bytes are, and what proves them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec

from artfs.errors import InvalidArgument, InvalidManifest, PathNotFound
from artfs.manifest.entries import ReferenceEntry
from artfs.system.oserrors import translate_os_errors, translated
from artfs.system.texts import format_size

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Kind(StrEnum):
    """Which tool keeps it."""

    WANDB = "wandb"
    DVC = "dvc"
    HUGGING_FACE = "huggingface"


class Algorithm(StrEnum):
    """How a tool names content."""

    MD5 = "md5"
    MD5_OF_TEXT = "md5-dos2unix"
    """DVC's before 3.0: of what looks like text, that with Unix line ends; else as md5."""
    SHA256 = "sha256"
    GIT = "git-sha1"
    """As git names a file: SHA-1 over its size and content."""


class Proof(msgspec.Struct, frozen=True):
    """What the bytes must have as their digest."""

    algorithm: Algorithm
    digest: bytes


class ForeignFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the version to be."""

    path: str
    place: str
    """The local path of its bytes."""
    size_bytes: int = 0
    proof: Proof | None = None
    """None where the tool does not say."""
    executable: bool = False
    is_missing: bool = False
    damage: str = ""
    """How what is there differs from what it is said to be, as far as its size tells."""


class ForeignTree(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found."""

    kind: Kind
    source: str
    """The local path of what lists it."""
    revision: str = ""
    """What the tool calls this state: a commit, or a digest."""
    files: tuple[ForeignFile, ...]
    references: tuple[tuple[str, ReferenceEntry], ...] = ()
    """What stays where it is, with its path."""
    type: str | None = None
    """The type of a new artifact."""
    cure: str = ""
    """What brings back that which is missing."""


def located(
    path: str,
    places: Iterable[str],
    *,
    size_bytes: int | None = None,
    proof: Proof | None = None,
    executable: bool = False,
) -> ForeignFile:
    """The file at the first of the places where one of the right size is.

    `size_bytes` is None where nobody says it. Blocks: on the disk. Raises: PermissionDenied,
    BackendUnavailable.
    """
    first, wrong = "", None
    for place in places:
        first = first or place
        found = _file_at(place)
        if found is None:
            continue
        file = ForeignFile(
            path=path, place=place, size_bytes=found, proof=proof, executable=executable
        )
        if size_bytes is None or found == size_bytes:
            return file
        if wrong is None:
            damage = f"has {found} bytes, not {size_bytes}"
            wrong = msgspec.structs.replace(file, damage=damage)
    if wrong is not None:
        return wrong
    return ForeignFile(path=path, place=first, proof=proof, is_missing=True)


def _file_at(place: str) -> int | None:
    """The size in bytes of the regular file at a path; None where there is none."""
    try:
        status = os.stat(place)  # noqa: PTH116 - strings, for speed
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise translated(error, place) from error
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def read_listing(path: Path, *, limit_bytes: int) -> bytes:
    """A file that says what there is. Raises: PathNotFound, InvalidArgument, PermissionDenied,
    InvalidManifest for one that is larger than any can be.
    """
    with translate_os_errors(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidArgument(str(path), "is not a file")
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise InvalidManifest(str(path), f"is larger than {format_size(limit_bytes)}")
    return data


def hex_digest(text: str, *, length: int, subject: str) -> bytes:
    """The digest that some tool wrote in hexadecimal digits, `length` bytes long.

    Raises: InvalidManifest. It becomes part of a path: nothing else may stand there.
    """
    if len(text) == 2 * length and text.isascii() and text.isalnum():
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    raise InvalidManifest(subject, f"says that {text[:80]!r} is a digest")


def check_there(tree: ForeignTree) -> None:
    """Raises: PathNotFound where files are missing: it names the first and says how many."""
    missing = [file for file in tree.files if file.is_missing]
    if missing:
        first = missing[0]
        raise PathNotFound(
            first.place,
            f"{first.path!r} is missing, the first of {len(missing)} among {len(tree.files)} files",
            hint=tree.cure,
        )
