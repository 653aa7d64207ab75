"""Writing a version, or part of it, to a local directory.

Every file is written aside and renamed to its place, so that whatever ends a download leaves
whole files only, and the next one keeps those that are right. All places are reached through
directory descriptors that follow no link: neither a name nor a link of a version can make a
download write outside its root (promise R8).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from artfs.blobs.oserrors import translate_os_errors
from artfs.errors import Conflict, PathNotFound
from artfs.manifest.entries import DirectoryEntry, FileEntry, LeafEntry, SymlinkEntry
from artfs.model import Digest
from artfs.repository.content import Buffer, read_blocks
from artfs.repository.facade import Repository
from artfs.sdk.intake import ProgressMeter

_ASIDE_PREFIX = ".artfs-download-"
_MAX_THREADS = 16
_MAX_PENDING = 4 * _MAX_THREADS
_CHUNK_FILES = 64
_CHUNK_BYTES = 4 * 1024 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Chunk(msgspec.Struct, frozen=True):
    """Some entries of one directory, written by one worker."""

    directory: str
    entries: list[LeafEntry]


def download_tree(
    repository: Repository,
    tree: Digest,
    root: Path,
    *,
    path_prefix: str = "",
    meter: ProgressMeter | None = None,
) -> None:
    """Write a version's tree below `root`; files that are right already and others stay.

    Only paths that begin with `path_prefix`, which may end within a name, are written.
    Blocks: on network and disk. Raises: IntegrityError, BlobNotFound, ReferenceChanged,
    Unsupported, Conflict where something of another kind is in the way, PermissionDenied,
    OutOfSpace, BackendUnavailable.
    """
    with translate_os_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    with _opened(root) as root_fd, _aside(root_fd) as aside_fd:
        target = _Target(repository, root, root_fd=root_fd, aside_fd=aside_fd, meter=meter)
        target.write(_chunks(repository, target, tree, path_prefix))


def download_one(repository: Repository, tree: Digest, root: Path, path: str) -> None:
    """Write the one file, reference or link at `path` below `root`.

    Blocks and raises: as `download_tree`; PathNotFound, also for a directory.
    """
    entry = repository.find(tree, path)
    if isinstance(entry, DirectoryEntry):
        raise PathNotFound(path, "is a directory")
    with translate_os_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    with _opened(root) as root_fd, _aside(root_fd) as aside_fd:
        target = _Target(repository, root, root_fd=root_fd, aside_fd=aside_fd, meter=None)
        target.write(iter([_Chunk(path.rpartition("/")[0], [entry])]))


def _chunks(
    repository: Repository, target: _Target, tree: Digest, path_prefix: str
) -> Iterator[_Chunk]:
    """The entries to write, directory by directory; directories are made on the way."""
    stack = [("", tree)]
    while stack:
        directory, digest = stack.pop()
        prefix = f"{directory}/" if directory else ""
        entries: list[LeafEntry] = []
        size_bytes = 0
        for entry in repository.directory(digest).entries():
            path = prefix + entry.name
            if isinstance(entry, DirectoryEntry):
                if f"{path}/".startswith(path_prefix) or path_prefix.startswith(f"{path}/"):
                    stack.append((path, entry.sha256))
            elif path.startswith(path_prefix):
                entries.append(entry)
                size_bytes += 0 if isinstance(entry, SymlinkEntry) else entry.size_bytes or 0
                if len(entries) >= _CHUNK_FILES or size_bytes >= _CHUNK_BYTES:
                    yield _Chunk(directory, entries)
                    entries, size_bytes = [], 0
        if entries:
            yield _Chunk(directory, entries)
        elif prefix.startswith(path_prefix):
            target.make_directory(directory)


class _Target:
    """The directory that is written to."""

    def __init__(
        self,
        repository: Repository,
        root: Path,
        *,
        root_fd: int,
        aside_fd: int,
        meter: ProgressMeter | None,
    ) -> None:
        self._repository = repository
        self._root = root
        self._root_fd = root_fd
        self._aside_fd = aside_fd
        self._meter = ProgressMeter(None) if meter is None else meter

    def write(self, chunks: Iterator[_Chunk]) -> None:
        """Write all chunks, several at a time."""
        pending: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="artfs-download") as pool:
            try:
                for chunk in chunks:
                    pending.append(pool.submit(self._write_chunk, chunk))
                    if len(pending) >= _MAX_PENDING:
                        pending.popleft().result()
                for future in pending:
                    future.result()
            except BaseException:
                self._meter.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def make_directory(self, directory: str) -> None:
        """Make a directory that may stay empty."""
        with self._directory(directory):
            pass

    def _write_chunk(self, chunk: _Chunk) -> None:
        self._repository.prepare(chunk.entries)
        with self._directory(chunk.directory) as directory_fd:
            for entry in chunk.entries:
                subject = self._root / chunk.directory / entry.name
                with translate_os_errors(subject):
                    try:
                        self._write_entry(directory_fd, entry)
                    except IsADirectoryError:
                        raise _in_the_way(subject, "a directory", "a file") from None
                self._meter.advance(files=1)

    @contextmanager
    def _directory(self, directory: str) -> Iterator[int]:
        """A descriptor of a directory below the root, made if need be; no link is followed."""
        fd = os.dup(self._root_fd)
        try:
            for part in directory.split("/") if directory else ():
                subject = self._root / directory
                with translate_os_errors(subject):
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=fd)
                    try:
                        below = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                    except NotADirectoryError:
                        raise _in_the_way(subject, "a file or link", "a directory") from None
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def _write_entry(self, directory_fd: int, entry: LeafEntry) -> None:
        if isinstance(entry, SymlinkEntry):
            if not _same_link(directory_fd, entry):
                aside = secrets.token_hex(8)
                os.symlink(entry.target, aside, dir_fd=self._aside_fd)
                self._install(aside, directory_fd, entry.name)
        elif isinstance(entry, FileEntry) and _same_file(directory_fd, entry):
            self._meter.advance(size_bytes=entry.size_bytes)
        else:
            self._write_content(directory_fd, entry)

    def _write_content(self, directory_fd: int, entry: LeafEntry) -> None:
        assert not isinstance(entry, SymlinkEntry)
        aside = secrets.token_hex(8)
        executable = isinstance(entry, FileEntry) and entry.executable
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(aside, flags, 0o777 if executable else 0o666, dir_fd=self._aside_fd)
        try:
            for block in read_blocks(self._repository.content(entry)):
                _write_all(fd, block)
                self._meter.advance(size_bytes=len(block))
            if entry.mtime_ns:
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self._install(aside, directory_fd, entry.name)

    def _install(self, aside: str, directory_fd: int, name: str) -> None:
        os.rename(aside, name, src_dir_fd=self._aside_fd, dst_dir_fd=directory_fd)


def file_has_content(fd: int, entry: FileEntry) -> bool:
    """Whether an open file holds exactly what `entry` says. Blocks: reads all of it."""
    if os.fstat(fd).st_size != entry.size_bytes:
        return False
    with open(fd, "rb", buffering=0, closefd=False) as file:
        return hashlib.file_digest(file, "sha256").digest() == entry.sha256


def _same_file(directory_fd: int, entry: FileEntry) -> bool:
    try:
        fd = os.open(
            entry.name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            dir_fd=directory_fd,
        )
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        executable = bool(status.st_mode & stat.S_IXUSR)
        if not stat.S_ISREG(status.st_mode) or executable != entry.executable:
            return False
        if not file_has_content(fd, entry):
            return False
        if status.st_mtime_ns != entry.mtime_ns:
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        return True
    finally:
        os.close(fd)


def _same_link(directory_fd: int, entry: SymlinkEntry) -> bool:
    try:
        return os.readlink(entry.name, dir_fd=directory_fd) == entry.target
    except OSError:
        return False


def _write_all(fd: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _in_the_way(subject: Path, found: str, wanted: str) -> Conflict:
    return Conflict(
        str(subject),
        f"there is {found} where the version has {wanted}",
        hint="remove it, or name another root",
    )


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    with translate_os_errors(directory):
        fd = os.open(directory, _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _aside(root_fd: int) -> Iterator[int]:
    """A directory in the root for unfinished files; those that nobody holds any more go."""
    for name in os.listdir(root_fd):
        if name.startswith(_ASIDE_PREFIX):
            _remove_abandoned(root_fd, name)
    name, fd = _make_aside(root_fd)
    try:
        yield fd
    finally:
        os.close(fd)
        shutil.rmtree(name, ignore_errors=True, dir_fd=root_fd)


def _make_aside(root_fd: int) -> tuple[str, int]:
    while True:
        name = _ASIDE_PREFIX + secrets.token_hex(8)
        os.mkdir(name, 0o700, dir_fd=root_fd)
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root_fd)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        # Another download may have taken it for an abandoned one before it was locked.
        if os.fstat(fd).st_nlink:
            return name, fd
        os.close(fd)


def _remove_abandoned(root_fd: int, name: str) -> None:
    with suppress(OSError):
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root_fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(name, ignore_errors=True, dir_fd=root_fd)
        finally:
            os.close(fd)
