"""Reading everything that versions hold, and naming what is damaged.

A blob is read and hashed once, whichever paths lead to it; blobs of one pack are read in the
order in which they lie there.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256

import msgspec

from artfs.blobs.cache import BlockCache
from artfs.blobs.cache_eviction import Quota
from artfs.catalog.records import BlobRecord, VersionRecord
from artfs.content.base import read_blocks
from artfs.errors import ArtfsError, BlobNotFound, IntegrityError, InvalidManifest
from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.repository.facade import Repository
from artfs.system.progress import ProgressMeter

_LIMIT_BYTES = 256 * 1024 * 1024

_MAX_THREADS = 8
_BATCH_BLOBS = 128
_BATCH_BYTES = BLOCK_SIZE_BYTES
_LOCATE_BLOBS = 16_384
_DAMAGE = (BlobNotFound, IntegrityError, InvalidManifest)
"""What is wrong with the store; any other error is a reason to stop."""


@contextmanager
def reading_anew(repository: Repository) -> Iterator[Repository]:
    """The store, with a cache of its own that is empty; an embedded store as it is.

    So is a W&B server, which has references in place of files. A request for many small blobs
    needs a place for them until they are asked for.
    """
    if repository.info.root is not None or repository.is_server:
        yield repository
        return
    root = repository.workspace.temporaries.new("reread")
    quota = msgspec.structs.replace(Quota.standard(root), limit_bytes=_LIMIT_BYTES)
    try:
        yield Repository(
            repository.info,
            catalog=repository.catalog,
            objects=repository.objects,
            workspace=repository.workspace,
            cache=BlockCache(root, quota),
            address=repository.address,
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Damage(msgspec.Struct, frozen=True):
    """A path of a version that cannot be read as it was committed."""

    version: str
    """`project/name:vN`."""
    path: str
    """Inside the version; a directory's path stands for everything below it."""
    reason: str


class VerifyReport(msgspec.Struct, frozen=True):
    """What was verified, and what is damaged."""

    versions: int
    files: int
    """Files and references of all these versions together."""
    references: int
    """Distinct references: they are foreign, so they are counted and not read."""
    blobs: int
    """Distinct blobs that were read."""
    blob_bytes: int
    suspects: tuple[str, ...]
    """SHA-256 of each blob that may be what is damaged, or missing."""
    damages: tuple[Damage, ...]


def verify(
    repository: Repository,
    versions: Iterable[VersionRecord],
    *,
    meter: ProgressMeter | None = None,
) -> VerifyReport:
    """Read and verify every byte of these versions: directories, block lists and files.

    Blocks: until everything was read, in threads. Raises: BackendUnavailable, PermissionDenied;
    damage is reported, not raised.
    """
    survey = Survey(repository)
    surveyed = list(versions)
    for version in surveyed:
        survey.add(version.tree)
    damaged, blob_bytes = _read_all(repository, survey.files, meter or ProgressMeter())
    damaged |= survey.damaged
    damages = tuple(
        damage for version in surveyed for damage in damages_of(repository, version, damaged)
    )
    return VerifyReport(
        versions=len(surveyed),
        files=sum(version.file_count for version in surveyed),
        references=survey.references,
        blobs=len(survey.files),
        blob_bytes=blob_bytes,
        suspects=tuple(sorted(digest.hex() for digest in _suspects(damaged, survey.files))),
        damages=damages if damaged else (),
    )


def _suspects(damaged: Iterable[Digest], files: dict[Digest, FileEntry]) -> Iterator[Digest]:
    """A file that cannot be read may be right, and its block list wrong."""
    for digest in damaged:
        yield digest
        entry = files.get(digest)
        if entry is not None and entry.block_list is not None:
            yield entry.block_list


class Survey:
    """Every distinct blob of some trees; equal subtrees are looked into once."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._seen: set[Digest] = set()
        self.files: dict[Digest, FileEntry] = {}
        self.references = 0
        self.damaged: dict[Digest, str] = {}

    def add(self, tree: Digest) -> None:
        """Look through one tree."""
        stack = [tree]
        while stack:
            digest = stack.pop()
            if digest in self._seen:
                continue
            self._seen.add(digest)
            try:
                for entry in self._repository.directory(digest).entries():
                    if isinstance(entry, DirectoryEntry):
                        stack.append(entry.sha256)
                    elif isinstance(entry, FileEntry):
                        self.files.setdefault(entry.sha256, entry)
                    elif isinstance(entry, ReferenceEntry):
                        self.references += 1
            except _DAMAGE as error:
                self.damaged[digest] = error.reason


def _read_all(
    repository: Repository, files: dict[Digest, FileEntry], meter: ProgressMeter
) -> tuple[dict[Digest, str], int]:
    """Which blobs are damaged and why, and how many bytes there were."""
    damaged: dict[Digest, str] = {}
    located: list[BlobRecord] = []
    wanted = list(files)
    for start in range(0, len(wanted), _LOCATE_BLOBS):
        some = wanted[start : start + _LOCATE_BLOBS]
        found = repository.catalog.locate(some)
        located.extend(found.values())
        damaged |= {digest: "the store does not have it" for digest in some if digest not in found}
    total_bytes = sum(record.size_bytes for record in located)
    meter.expect(size_bytes=total_bytes)
    located.sort(key=lambda record: (record.pack or b"", record.offset))
    workers = min(_MAX_THREADS, (os.cpu_count() or 1) + 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="verify") as pool:
        waiting: deque[Future[dict[Digest, str]]] = deque()
        try:
            for batch in _batches(located):
                if len(waiting) >= 2 * workers:
                    damaged |= waiting.popleft().result()
                entries = [files[record.sha256] for record in batch]
                waiting.append(pool.submit(_read_some, repository, entries, meter))
            for future in waiting:
                damaged |= future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return damaged, total_bytes


def _batches(records: Iterable[BlobRecord]) -> Iterator[list[BlobRecord]]:
    batch: list[BlobRecord] = []
    size_bytes = 0
    for record in records:
        batch.append(record)
        size_bytes += record.size_bytes
        if len(batch) >= _BATCH_BLOBS or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _read_some(
    repository: Repository, entries: list[FileEntry], meter: ProgressMeter
) -> dict[Digest, str]:
    damaged: dict[Digest, str] = {}
    repository.prepare(entries)
    for entry in entries:
        try:
            _read_one(repository, entry, meter)
        except _DAMAGE as error:
            damaged[entry.sha256] = error.reason
    return damaged


def _read_one(repository: Repository, entry: FileEntry, meter: ProgressMeter) -> None:
    state = sha256()
    if entry.block_list is not None:
        # Reading the file needs a part of it.
        repository.blobs.fetch(entry.block_list)
    # Each block is verified by itself; the whole proves that the block list is the right one.
    for block in read_blocks(repository.content(entry)):
        if entry.size_bytes > BLOCK_SIZE_BYTES:
            state.update(block)
        meter.advance_bytes(len(block))
    if entry.size_bytes > BLOCK_SIZE_BYTES and state.digest() != entry.sha256:
        raise IntegrityError(
            f"blob {entry.sha256.hex()}", "its blocks are right, the whole does not match"
        )


def damages_of(
    repository: Repository, version: VersionRecord, damaged: dict[Digest, str]
) -> Iterator[Damage]:
    """The paths of a version that damaged blobs are at; nothing is read when there are none."""
    if not damaged:
        return
    stack = [("", version.tree)]
    while stack:
        directory, digest = stack.pop()
        if digest in damaged:
            yield Damage(version.path, directory or ".", damaged[digest])
            continue
        prefix = f"{directory}/" if directory else ""
        try:
            entries = list(repository.directory(digest).entries())
        except ArtfsError as error:
            yield Damage(version.path, directory or ".", error.reason)
            continue
        for entry in entries:
            if isinstance(entry, DirectoryEntry):
                stack.append((prefix + entry.name, entry.sha256))
            elif isinstance(entry, FileEntry) and entry.sha256 in damaged:
                yield Damage(version.path, prefix + entry.name, damaged[entry.sha256])
