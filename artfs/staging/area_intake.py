"""Taking the files of a staging area into the store, ahead of a commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from artfs.blobs.base import Transfer
from artfs.errors import BackendUnavailable, PathNotFound, SourceChanged
from artfs.model import SMALL_BLOB_LIMIT_BYTES
from artfs.repository.ignore import IsIgnored
from artfs.repository.ingest import Ingest, StoredContent
from artfs.staging.area import Area
from artfs.staging.hasher import hash_node
from artfs.staging.nodes import FileNode, StagedDirectory
from artfs.staging.plain import ContentLost
from artfs.system.oserrors import translate_os_errors
from artfs.system.progress import ProgressMeter

_MAX_WORKERS = 4


class _Taken(msgspec.Struct, frozen=True):
    generation: int
    stored: StoredContent


class AreaIntake:
    """What one commit has taken in. Its methods are for one thread at a time."""

    def __init__(self, area: Area, ingest: Ingest, meter: ProgressMeter) -> None:
        self._area = area
        self._ingest = ingest
        self._meter = meter
        self._taken: dict[int, _Taken] = {}

    def stored(self, node: FileNode) -> StoredContent:
        """What a file's own content is in the store, after a strict `take`."""
        taken = self._taken[node.id]
        assert taken.generation == node.generation
        return taken.stored

    def take(self, is_ignored: IsIgnored, *, strict: bool) -> None:
        """Take in every file that was not yet, or was written since.

        Unless `strict`, what is open for writing, changes or vanishes is left for later.
        Blocks: disk, network, processor. Raises: SourceChanged, PathNotFound, OutOfSpace,
        PermissionDenied, BackendUnavailable.
        """
        large: list[FileNode] = []
        small: list[FileNode] = []
        total_bytes = 0
        for node in self._waiting(is_ignored):
            try:
                size_bytes = self._area.contents.status(node).size_bytes
            except (FileNotFoundError, ContentLost):
                # Removed a moment ago: with `strict` nobody may do that.
                if strict:
                    self._check_there()
                    raise PathNotFound(node.path(), "its content is gone") from None
                continue
            total_bytes += size_bytes
            (small if size_bytes < SMALL_BLOB_LIMIT_BYTES else large).append(node)
        self._meter.expect(files=len(small) + len(large), size_bytes=total_bytes)
        if not large:
            self._take_small(small, strict=strict)
            return
        with ThreadPoolExecutor(min(_MAX_WORKERS, os.cpu_count() or 1)) as pool:
            futures = [pool.submit(self._take_large, node, strict=strict) for node in large]
            try:
                self._take_small(small, strict=strict)
                for future in futures:
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def _waiting(self, is_ignored: IsIgnored) -> list[FileNode]:
        with self._area.tree.lock:
            found = {
                node.id: node
                for node in local_files(self._area.tree.root, is_ignored)
                if node.id not in self._taken or self._taken[node.id].generation != node.generation
            }
        return list(found.values())

    def _take_small(self, nodes: list[FileNode], *, strict: bool) -> None:
        plain, ingest = self._area.plain, self._ingest
        for node in nodes:
            generation = node.generation
            if node.writers and not strict:
                continue
            try:
                stored, status = ingest.add_file(plain.path(node.id))
            except (SourceChanged, PathNotFound):
                if strict:
                    raise
                continue
            self._note(node, generation, stored)
            self._meter.advance(files=1, size_bytes=status.st_size)

    def _check_there(self) -> None:
        path = self._area.path
        if not path.exists():
            raise BackendUnavailable(
                str(path), "the staging area is gone", hint="is its disk mounted?"
            )

    def _take_large(self, node: FileNode, *, strict: bool) -> None:
        try:
            with self._area.contents.held(node):
                self._take_held(node, strict=strict)
        except (FileNotFoundError, ContentLost):
            # Removed a moment ago, as above.
            if strict:
                self._check_there()
                raise SourceChanged(node.path(), "vanished while it was being committed") from None

    def _take_held(self, node: FileNode, *, strict: bool) -> None:
        area = self._area
        seen_bytes = 0

        def on_bytes(count: int) -> None:
            nonlocal seen_bytes
            seen_bytes += count
            self._meter.advance(size_bytes=count)

        hashed = hash_node(area, node, on_bytes=on_bytes)
        with area.contents.exclusive(node):
            generation = node.generation
            if hashed is None or hashed.generation != generation or node.writers:
                if strict:
                    raise SourceChanged(node.path(), "changed while it was being committed")
                return
            path = Path(area.plain.path(node.id))
            # Linked, not moved: until the version is there the area must have it, too.
            try:
                stored, _ = self._ingest.add_file(
                    path, transfer=Transfer.LINK, hashed=hashed.content, state=hashed.state
                )
            finally:
                with translate_os_errors(path):
                    area.contents.check_sealed(node)
        self._note(node, generation, stored)
        self._meter.advance(files=1, size_bytes=stored.size_bytes - seen_bytes)

    def _note(self, node: FileNode, generation: int, stored: StoredContent) -> None:
        if node.generation == generation and not node.writers:
            self._taken[node.id] = _Taken(generation, stored)


def local_files(directory: StagedDirectory, is_ignored: IsIgnored) -> Iterator[FileNode]:
    """Files below a directory that have content of their own, as they are to be in a version.

    One with several names comes several times. The tree's lock is held.
    """
    stack = [(directory, "")]
    while stack:
        current, prefix = stack.pop()
        for name, child in current.children.items():
            if child is None or not child.persisted:
                continue
            path = prefix + name
            is_directory = isinstance(child, StagedDirectory)
            if is_ignored(path, is_directory):
                continue
            if isinstance(child, StagedDirectory):
                stack.append((child, f"{path}/"))
            elif isinstance(child, FileNode) and child.content is None:
                yield child
