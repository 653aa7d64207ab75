"""Trees of versions on a server, from its manifests; kept in the block cache, where they stay true.

A version's tree is called by a key of its own, not by the digest of its root, which nobody knows
before the manifest is there: so that a thousand versions can be listed without a thousand
manifests. All other directory objects are called by their SHA-256, as everywhere.
"""

from __future__ import annotations

import logging
from hashlib import sha256

import msgspec
from cachetools import LRUCache

from artfs import forks
from artfs.blobs.cache import WHOLE, BlockCache
from artfs.decoding import analysed
from artfs.errors import BlobNotFound, ReferenceChanged
from artfs.manifest.directory import Directory
from artfs.manifest.entries import Entry
from artfs.manifest.tree import find
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.references.retry import Deadline, retrying
from artfs.wandbstore.address import FileAddress
from artfs.wandbstore.answers import ManifestAnswer
from artfs.wandbstore.client import WandbServer, nonsense
from artfs.wandbstore.manifests import BuiltTree, build_tree
from artfs.wandbstore.queries import MANIFEST

logger = logging.getLogger(__name__)

_MAX_MANIFEST_BYTES = 1024**3
_RECENT_BYTES = 32 * 1024 * 1024
_MAX_OPEN = 64


class TreeOf(msgspec.Struct, frozen=True):
    """Whose tree it is."""

    version: FileAddress
    gid: str
    """The server's id of it."""
    digest: str
    created_at_ns: int

    @property
    def key(self) -> Digest:
        """What the tree is called. A server that was made anew may use its ids again."""
        about = (b"wandb tree", self.version.server.base_url, self.gid, self.digest)
        return Digest(sha256(msgspec.msgpack.encode(about)).digest())


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What the cache says of a tree: the SHA-256 of its root, and of every other directory."""

    root: bytes
    others: list[bytes]


class Trees:
    """The directory objects of one server's versions. Thread-safe."""

    def __init__(self, server: WandbServer, cache: BlockCache) -> None:
        self._server = server
        self._cache = cache
        self._lock = forks.lock()
        self._known: dict[Digest, TreeOf] = {}
        """By the keys of trees, and by the digests of what is in those that were read."""
        self._recent: LRUCache[Digest, bytes] = LRUCache(_RECENT_BYTES, getsizeof=len)
        self._open: LRUCache[Digest, Directory] = LRUCache(_MAX_OPEN)

    def know(self, tree: TreeOf) -> Digest:
        """The key of a version's tree, which can be read from now on."""
        key = tree.key
        self._known[key] = tree
        return key

    def read(self, digest: Digest) -> bytes:
        """An encoded directory object.

        Blocks: on disk; on the server, where a version is read for the first time.
        Raises: BlobNotFound, InvalidManifest, BackendUnavailable, PermissionDenied,
        ReferenceChanged where the version was deleted.
        """
        tree = self._known.get(digest)
        with self._lock:
            found = self._recent.get(digest)
        if found is not None:
            return found
        if tree is None:
            raise BlobNotFound(f"directory {digest.hex()}", "is of no version that was looked up")
        is_root = digest == tree.key
        kept = self._kept(tree) if is_root else None
        wanted = digest if not is_root else Digest(kept.root) if kept is not None else None
        if wanted is not None:
            data = self._cached(wanted)
            if data is not None:
                return data
        built = self._build(tree)
        return built.objects[built.root.sha256 if is_root else digest]

    def directory(self, digest: Digest) -> Directory:
        """A directory object, decoded; blocks and raises as `read` does."""
        with self._lock:
            found = self._open.get(digest)
        if found is None:
            found = Directory(self.read(digest))
            with self._lock:
                self._open[digest] = found
        return found

    def find(self, tree: Digest, path: str) -> Entry:
        """The entry at a path. Blocks and raises as `read` does. Raises: PathNotFound."""
        return find(self.directory, tree, path)

    def _kept(self, tree: TreeOf) -> _Kept | None:
        data = self._cache.read(tree.key, WHOLE)
        if data is None:
            return None
        kept = msgspec.msgpack.decode(data, type=analysed(_Kept))
        for each in kept.others:
            self._known[Digest(each)] = tree
        return kept

    def _cached(self, digest: Digest) -> bytes | None:
        for index in (0, WHOLE):
            data = self._cache.read(digest, index, expected=digest)
            if data is not None:
                return bytes(data)
        return None

    def _build(self, tree: TreeOf) -> BuiltTree:
        text = retrying(self._server.policy, lambda deadline: self._manifest(tree, deadline))
        built = build_tree(text, tree.version, version_gid=tree.gid, mtime_ns=tree.created_at_ns)
        root = built.root.sha256
        others = [each for each in built.objects if each != root]
        for digest, data in built.objects.items():
            self._known.setdefault(digest, tree)
            with self._lock:
                if len(data) < _RECENT_BYTES:
                    self._recent[digest] = data
            index = 0 if len(data) <= BLOCK_SIZE_BYTES else WHOLE
            self._cache.put(digest, index, data, proved_by=digest)
        # Last: what it names is there.
        self._cache.put(tree.key, WHOLE, msgspec.msgpack.encode(_Kept(root, list(others))))
        return built

    def _manifest(self, tree: TreeOf, deadline: Deadline) -> bytes:
        # Anew with each attempt: such an address holds for a moment only.
        answer = self._server.ask(MANIFEST, ManifestAnswer, id=tree.gid)
        if answer.artifact is None:
            raise ReferenceChanged(str(tree.version), "the server has it no longer")
        if answer.artifact.current_manifest is None:
            raise nonsense(str(tree.version), "a version without a manifest")
        url = answer.artifact.current_manifest.file.direct_url
        return self._server.fetch(url, limit_bytes=_MAX_MANIFEST_BYTES, deadline=deadline)
