"""Who is who: identities from places, the same in every mount and process.

Their low bits become inode numbers. A place is a path below a version, which is itself below its
own number, or below an alias: programs that find one inode under two names take them for one file,
and write into one what was meant for the other.
"""

from __future__ import annotations

from hashlib import blake2b

from artfs.vfs.tree import NUMBER_MASK

_IDENTITY_BYTES = 12  # 60 bits of number, and enough that no two directories are the same


def identity_of(*parts: bytes) -> int:
    """An identity from parts; no two lists of parts are the same to it."""
    state = blake2b(digest_size=_IDENTITY_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(4, "little"))
        state.update(part)
    return int.from_bytes(state.digest(), "little")


def key_of(identity: int) -> bytes:
    """What stands for a directory in the identities of what is in it."""
    return identity.to_bytes(_IDENTITY_BYTES, "little")


def identity_in(directory: bytes, name: str) -> int:
    """The identity of a name in the directory that has this key."""
    # Once for each name that is listed: a million times for a million files.
    digest = blake2b(directory + name.encode(), digest_size=_IDENTITY_BYTES).digest()
    return int.from_bytes(digest, "little")


def number_of(identity: int) -> int:
    """The inode number that an identity asks for."""
    return identity & NUMBER_MASK
