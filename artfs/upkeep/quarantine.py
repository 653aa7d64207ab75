"""Setting damaged content aside, so that whoever has it can put it again.

A `put` takes what the store has for granted when it is there in its right size. Damaged bytes of
the right size would stay for ever: so an object is moved away, and a blob in a pack, whose
neighbours may be sound, is forgotten. What versions need is then missing in place of damaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from artfs.blobs.base import Namespace, ObjectKey
from artfs.catalog.records import BlobRecord
from artfs.content.blobs import stored_object
from artfs.errors import BlobNotFound, IntegrityError, Unsupported
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, Digest
from artfs.repository.facade import Repository
from artfs.system.directories import DirectoryHandle
from artfs.system.oserrors import translate_os_errors

_WHOLE_PACK = ByteRange(0, 1 << 62)

DIRECTORY = "damaged"
"""Where objects are moved to, below the directory of the store."""


class SetAside(msgspec.Struct, frozen=True):
    """What was set aside."""

    files: tuple[str, ...]
    """Objects, where they are now."""
    forgotten: int
    """Blobs in packs."""


def set_aside(repository: Repository, suspects: Iterable[Digest]) -> SetAside:
    """Set aside those of the suspects whose bytes are not what their names say.

    Each is read once more, and so is what lies in the same packs: what was healed meanwhile, or is
    only referred to wrongly, stays.

    Blocks: on reading all that. Raises: Unsupported for a shared store; BackendUnavailable,
    PermissionDenied.
    """
    root = repository.info.root
    if root is None:
        raise Unsupported(
            repository.info.location,
            "only content of a store in a directory can be set aside",
            hint="restore the damaged objects from a backup",
        )
    located = repository.catalog.locate(sorted(set(suspects))).values()
    own = [record for record in located if record.pack is None]
    moved = [
        _move(root, stored_object(record)) for record in own if _is_damaged(repository, record)
    ]
    forgotten = 0
    for pack in sorted({record.pack for record in located if record.pack is not None}):
        # What a damaged directory leads to lies beside it, and nobody could look at that.
        held = repository.catalog.pack_contents(pack, _WHOLE_PACK)
        damaged = [record for record in held if _is_damaged(repository, record)]
        forgotten += repository.catalog.forget(damaged)
        if damaged and len(damaged) == len(held):
            # The same content, put again, makes a pack of the same name.
            moved.append(_move(root, ObjectKey(Namespace.PACKS, pack)))
    return SetAside(tuple(str(path) for path in moved), forgotten)


def _is_damaged(repository: Repository, record: BlobRecord) -> bool:
    """Whether a blob is there, and is not what its name says."""
    key, state = stored_object(record), sha256()
    try:
        for start in range(0, record.size_bytes, BLOCK_SIZE_BYTES):
            length = min(BLOCK_SIZE_BYTES, record.size_bytes - start)
            state.update(repository.objects.read(key, ByteRange(record.offset + start, length)))
    except BlobNotFound:
        return False
    except IntegrityError:
        return True
    return state.digest() != record.sha256


def _move(root: Path, key: ObjectKey) -> Path:
    digest = key.sha256.hex()
    with (
        translate_os_errors(root / str(key)),
        DirectoryHandle.at(root) as store,
        store.below(DIRECTORY, create=True) as aside,
        store.below(key.namespace.value) as shards,
        shards.below(digest[:2]) as shard,
    ):
        with suppress(FileNotFoundError):
            shard.move(digest[2:], aside, digest)
        aside.sync()
        shard.sync()
    return root / DIRECTORY / digest
