"""The entries of a directory object: file, reference, symlink, directory.

They are msgpack arrays that begin with a one-letter kind, so that a directory of a million
entries stays small and decodes fast. New fields go to the end, with a default.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec

from artfs.model import BlockList, Digest, blobs_of, block_list_name

SERVER_SCHEMES = ("wandb://", "wandb+http://", "wandb+https://")
"""How the addresses of W&B servers begin, and of files there (artfs/wandbstore/address.py)."""
BIRTH = "birthArtifactID"
"""In `extra` of a file that a W&B server has: the version that brought it there."""


class FileEntry(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """An uploaded blob. Of its mode only the executable bit is kept."""

    name: str
    sha256: Digest
    size_bytes: int
    md5: bytes
    blocks: BlockList | None
    """What names and proves the block list; None for content of one block or less."""
    executable: bool
    mtime_ns: int

    @property
    def blobs(self) -> tuple[Digest, ...]:
        """The blobs that it is made of: its content and, if there is one, its block list."""
        return blobs_of(self.sha256, self.blocks)

    @property
    def block_list(self) -> Digest | None:
        """The SHA-256 of the block list, itself a blob."""
        return None if self.blocks is None else block_list_name(self.blocks)

    @property
    def digest(self) -> str:
        """The W&B digest: base64 of the binary md5."""
        return b64encode(self.md5).decode("ascii")


class Pin(msgspec.Struct, frozen=True, omit_defaults=True):
    """What proves that a foreign object is still the one that was referred to.

    Every field that is set must hold on each read; a pin with none set cannot be checked.
    """

    etag: str | None = None
    """The ETag with its quotes and any `W/`; older entries have it as it was sent."""
    version_id: str | None = None
    generation: int | None = None
    mtime_ns: int | None = None
    last_modified: str | None = None
    md5: bytes | None = None
    """The binary md5 of the whole content, where it is known."""

    @property
    def proof(self) -> str:
        """The strongest thing that it proves by: content, version, etag, time or none."""
        if self.md5 is not None:
            return "content"
        if self.version_id is not None or self.generation is not None:
            return "version"
        if self.etag is not None:
            return "etag"
        return "none" if self == Pin() else "time"


class ReferenceEntry(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A foreign object, pinned, never copied into the store."""

    name: str
    uri: str
    digest: str
    """The W&B digest of the entry: an ETag, a base64 md5, or the URI itself.

    Empty for what W&B's manifest and digest leave out: empty objects of S3.
    """
    size_bytes: int | None
    pin: Pin
    extra: dict[str, Any]
    """W&B's `extra` of the manifest entry, kept word for word."""
    mtime_ns: int = 0

    @property
    def is_server_file(self) -> bool:
        """Whether it is a file of a version on a W&B server: no reference there, only here."""
        return BIRTH in self.extra and self.uri.startswith(SERVER_SCHEMES)

    @property
    def place(self) -> str:
        """Where its content is, as far as that tells contents apart beside the pin.

        A W&B server names contents by their md5: under whatever path, in whatever version.
        """
        if self.pin.md5 is not None and self.uri.startswith(SERVER_SCHEMES):
            return f"{'/'.join(self.uri.split('/', 3)[:3])}/{self.size_bytes}"
        return self.uri

    @property
    def manifest_size_bytes(self) -> int | None:
        """The size in W&B's manifest, where a zero stands for entries of other artifacts."""
        return 0 if self.uri.startswith("wandb-artifact://") else self.size_bytes


class SymlinkEntry(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A symbolic link, kept as it was written and never followed by artfs."""

    name: str
    target: str


class DirectoryEntry(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """A directory, by the SHA-256 of its directory object, with its totals."""

    name: str
    sha256: Digest
    size_bytes: int
    """The sum over all files and references below it; references of unknown size count 0."""
    file_count: int
    """Files and references below it, at any depth."""


Entry = FileEntry | ReferenceEntry | SymlinkEntry | DirectoryEntry

LeafEntry = FileEntry | ReferenceEntry | SymlinkEntry
