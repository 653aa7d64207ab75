"""Files that prove by themselves that they are whole: bytes, then their length and SHA-256."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from hashlib import blake2b, sha256
from pathlib import Path

import msgspec

from artfs.model import Buffer, Digest
from artfs.system.directories import make_parents
from artfs.system.files import DirectFile, SharedDescriptor, pread_full

_TRAILER = struct.Struct(">8sQ32s")
_MAGIC = b"artfsb1\n"

NEW_MODE = 0o400
"""Of a block that was used once, when it was fetched."""
KEPT_MODE = 0o600
"""Of a block that was used again later."""
_GHOST_BYTES = 16
_MAX_GHOSTS = 65_536
_BLOCK_NAME = re.compile(r"([0-9a-f]{62})\.(\d+|whole)")
_KEY_BYTES = 32


def write_checksummed(fd: int, data: Buffer) -> None:
    """Write `data` and its seal into an empty file. Raises: OSError, also on a short write."""
    trailer = _TRAILER.pack(_MAGIC, len(data), sha256(data).digest())
    # A disk that fills up shows as a short write first.
    if os.writev(fd, [data, trailer]) != len(data) + len(trailer):
        raise OSError("its disk is full")


def read_checksummed(fd: int, expected: bytes | None = None) -> bytes | None:
    """The data of a sealed file; None where they are not those that were written.

    `expected` is a SHA-256 that the data must have, whatever the seal says. Raises: OSError.
    """
    size = os.fstat(fd).st_size - _TRAILER.size
    if size < 0:
        return None
    data = pread_full(fd, size, 0)
    trailer = pread_full(fd, _TRAILER.size, size)
    return data if _is_whole(data, trailer, size, expected) else None


def read_checksummed_directly(
    opened: SharedDescriptor, expected: bytes | None = None
) -> memoryview | None:
    """As `read_checksummed`, past the page cache where the file is not in it: for large files."""
    size = os.fstat(opened.fd).st_size - _TRAILER.size
    if size < 0:
        return None
    found = DirectFile(opened).read(size + _TRAILER.size, 0)
    data, trailer = found[:size], found[size:]
    return data if _is_whole(data, trailer, size, expected) else None


def _is_whole(
    data: bytes | memoryview, trailer: bytes | memoryview, size: int, expected: bytes | None
) -> bool:
    if len(data) != size or len(trailer) != _TRAILER.size:
        return False
    magic, length, written = _TRAILER.unpack(trailer)
    if magic != _MAGIC or length != size:
        return False
    return bool(sha256(data).digest() == (expected or written))


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
        """The file of a block; index -1 is the whole content in one."""
        text = key.hex()
        return self.data / text[:2] / f"{text[2:]}.{index if index >= 0 else 'whole'}"

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
            label, _, keys = (read_checksummed(opened.fd) or b"").partition(b"\0")
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
        -1 if match[2] == "whole" else int(match[2]),
        status.st_blocks * 512,
        status.st_mtime,
        bool(status.st_mode & 0o200),
    )


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
