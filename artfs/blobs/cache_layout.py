"""Where the block cache keeps what, and what a listing of it shows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from artfs.blobs.sealed import read_sealed
from artfs.model import Digest
from artfs.system.directories import make_parents
from artfs.system.files import SharedDescriptor

NEW_MODE = 0o400
"""Of a block that was used once, when it was fetched."""
KEPT_MODE = 0o600
"""Of a block that was used again later."""
_GHOST_BYTES = 16
_MAX_GHOSTS = 65_536
_BLOCK_NAME = re.compile(r"([0-9a-f]{62})\.(\d+|whole|part\d+)")
_KEY_BYTES = 32


class CachedBlock(msgspec.Struct, frozen=True):
    """A block as a listing sees it."""

    path: Path
    key: Digest
    index: int
    disk_bytes: int
    used_s: float
    """When it was last used, in seconds since 1970."""
    kept: bool
    """Whether it was used more than once."""


class CacheLayout:
    """The paths below a cache's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.notes = root / "notes"
        self.pins = root / "pins"
        self.tmp = root / "tmp"
        self.ghosts = root / "ghosts"
        self.lock_file = root / "lock"

    def block(self, key: Digest, index: int) -> Path:
        """The file of a block; index -1 is the whole content in one, -2 and below are parts."""
        text = key.hex()
        name = str(index) if index >= 0 else "whole" if index == -1 else f"part{-2 - index}"
        return self.data / text[:2] / f"{text[2:]}.{name}"

    def note(self, key: Digest) -> Path:
        """The file with what was noted of some content."""
        text = key.hex()
        return self.notes / text[:2] / text[2:]

    def pin(self, label: str) -> Path:
        """The file that names what is kept for `label`."""
        return self.pins / blake2b(label.encode(), digest_size=16).hexdigest()

    def create(self, directory: Path) -> None:
        """Make `tmp` and `directory`, for this user alone. Raises: OSError."""
        make_parents(self.root)
        for path in (self.root, self.tmp, directory.parent, directory):
            path.mkdir(mode=0o700, exist_ok=True)

    def blocks(self) -> Iterator[CachedBlock]:
        """All blocks, in no order; those that vanish meanwhile may be left out.

        Blocks: disk. Raises: OSError, but not where there is no cache.
        """
        for shard in _directories(self.data):
            with os.scandir(shard.path) as files:
                for file in files:
                    found = _block(shard.name, file)
                    if found is not None:
                        yield found

    def pinned(self) -> dict[str, frozenset[Digest]]:
        """What is pinned, by label. Raises: OSError."""
        found = {}
        for file in _files(self.pins):
            opened = SharedDescriptor(os.open(file.path, os.O_RDONLY | os.O_CLOEXEC))
            sealed = read_sealed(opened)
            label, _, keys = (b"" if sealed is None else bytes(sealed[0])).partition(b"\0")
            starts = range(0, len(keys), _KEY_BYTES)
            found[label.decode()] = frozenset(Digest(keys[at : at + _KEY_BYTES]) for at in starts)
        return found

    def temporaries(self) -> Iterator[os.DirEntry[str]]:
        """What is being written, or was when a process died."""
        return _files(self.tmp)

    def ghost(self, key: Digest, index: int) -> bytes:
        """What is remembered of a block that was evicted."""
        return blake2b(key + str(index).encode(), digest_size=_GHOST_BYTES).digest()

    def read_ghosts(self) -> frozenset[bytes]:
        """The blocks that were evicted last. Raises: OSError."""
        text = self.ghosts.read_bytes()
        starts = range(0, len(text) - _GHOST_BYTES + 1, _GHOST_BYTES)
        return frozenset(text[at : at + _GHOST_BYTES] for at in starts)

    def add_ghosts(self, evicted: list[bytes]) -> None:
        """Remember evicted blocks, and forget the eldest. Raises: OSError."""
        try:
            before = self.ghosts.read_bytes()
        except FileNotFoundError:
            before = b""
        text = (before + b"".join(evicted))[-_MAX_GHOSTS * _GHOST_BYTES :]
        temporary = self.tmp / "ghosts"
        temporary.touch(mode=0o600)
        temporary.write_bytes(text)
        temporary.replace(self.ghosts)


def _block(shard: str, file: os.DirEntry[str]) -> CachedBlock | None:
    match = _BLOCK_NAME.fullmatch(file.name)
    if match is None:
        return None
    try:
        status = file.stat(follow_symlinks=False)
        key = Digest(bytes.fromhex(shard + match[1]))
    except (FileNotFoundError, ValueError):
        return None
    return CachedBlock(
        Path(file.path),
        key,
        _index(match[2]),
        status.st_blocks * 512,
        status.st_mtime,
        bool(status.st_mode & 0o200),
    )


def _index(name: str) -> int:
    if name == "whole":
        return -1
    return -2 - int(name[len("part") :]) if name.startswith("part") else int(name)


def _directories(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return


def _files(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return
