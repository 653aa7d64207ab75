"""Local files and directories on their way into a version under construction."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from artfs.blobs.base import Transfer
from artfs.manifest.entries import FileEntry, LeafEntry, SymlinkEntry
from artfs.model import SMALL_BLOB_LIMIT_BYTES, storable_time_ns
from artfs.repository.ingest import Ingest, StoredContent
from artfs.sdk.draft_entries import DraftEntries
from artfs.sdk.scan import Scan, ScannedDirectory, Selection, check_regular
from artfs.system.oserrors import translate_os_errors
from artfs.system.paths import local_name, name_of
from artfs.system.progress import ProgressMeter

_EXECUTABLE = 0o111
_MAX_LARGE_FILES = 2
_MAX_WAITING = 64


class FileIntake:
    """Takes local files into an Ingest and notes them in a DraftEntries.

    Small files are read one after the other in the calling thread: what they cost is Python's
    own time. Large ones go to a few threads, for hashing releases the interpreter.
    """

    def __init__(
        self,
        ingest: Ingest,
        contents: DraftEntries,
        *,
        transfer: Transfer = Transfer.COPY,
        meter: ProgressMeter | None = None,
        overwrite: bool = False,
    ) -> None:
        """With `overwrite` files take the place of other contents that have their paths."""
        self._overwrite = overwrite
        self._ingest = ingest
        self._contents = contents
        self._transfer = transfer
        self._meter = ProgressMeter() if meter is None else meter

    def add_file(self, source: str, path: str) -> FileEntry:
        """Take in one file, or what a link leads to, as `path`.

        Raises: PathNotFound, InvalidArgument for what is no regular file or a path that is taken,
        InvalidName, SourceChanged, PermissionDenied, OutOfSpace, BackendUnavailable.
        """
        with translate_os_errors(source):
            check_regular(source, os.stat(source).st_mode)  # noqa: PTH116 - as in scan.py
        entry = self._stored(source, path.rpartition("/")[2])
        self._contents.add(path, entry, overwrite=self._overwrite)
        return entry

    def add_files(self, files: Iterable[tuple[str, str]]) -> Iterator[FileEntry]:
        """Take in files, or what links lead to, as (local path, path in the version); in order.

        Raises: as `add_file` does; what was added before that stays.
        """
        waiting: deque[Future[FileEntry]] = deque()
        with self._workers() as pool:
            for source, path in files:
                with translate_os_errors(source):
                    size_bytes = os.stat(source).st_size  # noqa: PTH116 - as in scan.py
                if size_bytes < SMALL_BLOB_LIMIT_BYTES and not waiting:
                    yield self.add_file(source, path)
                    continue
                waiting.append(pool.submit(self.add_file, source, path))
                while waiting and (waiting[0].done() or len(waiting) > _MAX_WAITING):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def add_link(self, source: str, path: str) -> None:
        """Take in a symbolic link as it is written. Raises: as `add_file` does."""
        with translate_os_errors(source):
            target = name_of(os.readlink(source))  # noqa: PTH115 - as in scan.py
        self._contents.add(path, SymlinkEntry(path.rpartition("/")[2], target))

    def add_directory(self, source: str, path: str, selection: Selection) -> list[tuple[str, str]]:
        """Take in everything below a directory, under `path` or, where it is empty, the root.

        Returns the local path of each file with its path in the version.
        Raises: as `add_file` and `Scan` do; what was added before that stays.
        """
        names: list[tuple[str, str]] = []
        large: deque[tuple[str, Future[FileEntry]]] = deque()
        scan = Scan(source, selection)
        with self._workers() as pool:
            for found in scan:
                directory = "/".join(part for part in (path, found.path) if part)
                entries: list[LeafEntry] = [
                    SymlinkEntry(link.name, link.target) for link in found.links
                ]
                prefix = f"{directory}/" if directory else ""
                for file in found.files:
                    local = found.path_of(file.name)
                    names.append((local, prefix + file.name))
                    if file.size_bytes < SMALL_BLOB_LIMIT_BYTES:
                        entries.append(self._stored(local, file.name, directory_fd=found.fd))
                    else:
                        future = pool.submit(self._stored_later, scan, found, file.name)
                        large.append((directory, future))
                self._contents.add_all(directory, entries, overwrite=self._overwrite)
                self._collect(large, only_done=True)
            self._collect(large, only_done=False)
        return names

    def _stored_later(self, scan: Scan, found: ScannedDirectory, name: str) -> FileEntry:
        with translate_os_errors(found.prefix):
            # Opened again: more files may wait here than directories can be open.
            directory = scan.open(found.path)
        return self._stored(found.path_of(name), name, directory_fd=directory.fd)

    def _collect(self, large: deque[tuple[str, Future[FileEntry]]], *, only_done: bool) -> None:
        while large and (not only_done or large[0][1].done()):
            directory, future = large.popleft()
            self._contents.add_all(directory, [future.result()], overwrite=self._overwrite)

    @contextmanager
    def _workers(self) -> Iterator[ThreadPoolExecutor]:
        # The executor starts no thread before there is a large file.
        with ThreadPoolExecutor(_MAX_LARGE_FILES, thread_name_prefix="artfs-intake") as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._meter.stop()
                raise

    def _stored(self, source: str, name: str, *, directory_fd: int | None = None) -> FileEntry:
        """The entry of a file that is found by its name in a directory, or else by its path."""
        content, status = self._ingest.add_file(
            source if directory_fd is None else local_name(name),
            directory_fd=directory_fd,
            subject=source,
            transfer=self._transfer,
            on_bytes=self._meter.advance_bytes,
        )
        self._meter.advance(files=1)
        return file_entry(
            name,
            content,
            executable=bool(status.st_mode & _EXECUTABLE),
            mtime_ns=status.st_mtime_ns,
        )


def file_entry(name: str, content: StoredContent, *, executable: bool, mtime_ns: int) -> FileEntry:
    """The entry for content that was taken in."""
    return FileEntry(
        name,
        content.sha256,
        content.size_bytes,
        content.md5,
        content.blocks,
        executable,
        storable_time_ns(mtime_ns),
    )
