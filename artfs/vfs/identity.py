"""Who is who: identities from content and place, the same in every mount and process.

Their low bits become inode numbers. Files are known by content, mode and mtime, and so are
shared by all versions that hold them; directories by where they are, and never shared.
"""

from __future__ import annotations

from hashlib import blake2b

from artfs.errors import InvalidManifest
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.vfs.tree import NUMBER_MASK

_IDENTITY_BYTES = 9  # 60 bits of number, and some to tell apart those that share one


def identity_of(*parts: bytes) -> int:
    """An identity from parts; no two lists of parts are the same to it."""
    state = blake2b(digest_size=_IDENTITY_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(4, "little"))
        state.update(part)
    return int.from_bytes(state.digest(), "little")


def file_key(entry: FileEntry) -> bytes:
    """What tells a file's content from all others.

    Size and block list follow from the SHA-256, but in an entry that lies: it must not share
    anything with the one that does not.
    """
    size = entry.size_bytes.to_bytes(8, "little", signed=True)
    return b"".join((entry.sha256, size, entry.blocks or b""))


def file_identity(entry: FileEntry) -> int:
    """The identity of an uploaded file. Raises: InvalidManifest for numbers out of range."""
    try:
        place = entry.mtime_ns.to_bytes(8, "little", signed=True)
        key = file_key(entry)
    except OverflowError:
        raise InvalidManifest(repr(entry.name), "its size or mtime is out of range") from None
    kind = b"x" if entry.executable else b"f"
    digest = blake2b(kind + place + key, digest_size=_IDENTITY_BYTES).digest()
    return int.from_bytes(digest, "little")


def reference_key(entry: ReferenceEntry) -> bytes:
    """What tells a reference's content from all others."""
    pin = entry.pin
    return repr((entry.digest, entry.uri, entry.size_bytes, pin)).encode(errors="surrogatepass")


def number_of(identity: int) -> int:
    """The inode number that an identity asks for."""
    return identity & NUMBER_MASK
