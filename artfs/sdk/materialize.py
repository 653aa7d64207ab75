"""The directory in a download's root where files are until they are whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import count
from pathlib import Path

import msgspec

from artfs import forks
from artfs.content.base import Content, read_blocks
from artfs.errors import SourceChanged
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES, SMALL_BLOB_LIMIT_BYTES, block_count
from artfs.repository.facade import Repository
from artfs.system.files import (
    FileState,
    SharedDescriptor,
    clone_file,
    file_name,
    file_state,
    pwrite_full,
)
from artfs.system.locks import hold_new_directory, take_abandoned
from artfs.system.oserrors import translate_os_errors
from artfs.system.paths import is_own_path, local_name, new_own_name
from artfs.system.progress import ProgressMeter
from artfs.system.threads import Workers

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_RUN_BLOCKS = 2
"""So many blocks are asked for at once: what a thread holds in memory."""
_EXECUTABLE = 0o111
_WRITABLE = 0o222
_CANNOT_LINK = {
    errno.EXDEV: "the store is on another file system",
    errno.EPERM: "the store belongs to somebody else, or its file system has no hard links",
    errno.EACCES: "the store belongs to somebody else",
    errno.EMLINK: "its file system allows no more links",
    errno.EOPNOTSUPP: "its file system has no hard links",
    errno.ENOSYS: "its file system has no hard links",
    errno.ENOENT: "its file was moved meanwhile",
}


class PartialFiles:
    """A private directory on the root's file system; `name()` gives names in it."""

    __slots__ = ("_directory", "_numbers")

    def __init__(self, directory: SharedDescriptor) -> None:
        self._directory = directory
        self._numbers = count()

    @property
    def fd(self) -> int:
        """Its descriptor, which lives as long as this."""
        return self._directory.fd

    def name(self) -> str:
        """A name that nothing has yet. Thread-safe."""
        return str(next(self._numbers))

    def install(self, name: str, directory_fd: int, final_name: str) -> None:
        """Move a finished file to its place, and over what is there. Raises: OSError."""
        os.rename(name, local_name(final_name), src_dir_fd=self.fd, dst_dir_fd=directory_fd)


@contextmanager
def opened_root(root: Path) -> Iterator[tuple[SharedDescriptor, PartialFiles]]:
    """A directory, made if need be, and an Aside in it, whose files are gone afterwards.

    What earlier downloads left aside when they were killed goes too. The descriptors live as
    long as somebody refers to them: a thread that was left behind can not mistake another file.
    Raises: PermissionDenied, OutOfSpace, BackendUnavailable.
    """
    with translate_os_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        directory = SharedDescriptor(os.open(root, DIRECTORY_FLAGS))
        _remove_abandoned(directory.fd)
        name, aside = _make(directory.fd)
    generation = forks.generation()
    try:
        yield directory, PartialFiles(aside)
    finally:
        if generation == forks.generation():
            shutil.rmtree(name, ignore_errors=True, dir_fd=directory.fd)


def _make(root_fd: int) -> tuple[str, SharedDescriptor]:
    name = new_own_name()
    return name, SharedDescriptor(hold_new_directory(name, dir_fd=root_fd).detach())


def _remove_abandoned(root_fd: int) -> None:
    for name in os.listdir(root_fd):
        if is_own_path(name):
            held = take_abandoned(name, dir_fd=root_fd)
            if held is not None:
                shutil.rmtree(name, ignore_errors=True, dir_fd=root_fd)
                held.close()


class Placement(StrEnum):
    """How a file came to its place."""

    KEPT = "kept"
    """It was there, and right."""
    LINKED = "linked"
    """It is the store's own file."""
    REFLINKED = "reflinked"
    """It is a file of its own that shares the store's disk space."""
    COPIED = "copied"


class Placements(msgspec.Struct, frozen=True):
    """How the files of a download came to their places."""

    counts: dict[Placement, int]
    not_linked: int
    """Files of the store that should have been hard-linked, and had to be copied."""
    why_not_linked: str | None
    """The reason for one of them."""


class Placer:
    """Puts files to their places, below one root. Thread-safe."""

    def __init__(
        self,
        repository: Repository,
        aside: PartialFiles,
        *,
        link: bool,
        meter: ProgressMeter,
        workers: Workers,
    ) -> None:
        self._repository = repository
        self._aside = aside
        self._link = link
        self._meter = meter
        self._workers = workers
        self._lock = forks.lock()
        self._counts: Counter[Placement] = Counter()
        self._not_linked: Counter[str] = Counter()

    def report(self) -> Placements:
        """What was done until now."""
        with self._lock:
            counts = {placement: self._counts[placement] for placement in Placement}
            why = next(iter(self._not_linked), None)
            return Placements(counts, self._not_linked.total(), why)

    def place(
        self, directory_fd: int, entry: FileEntry | ReferenceEntry, *, is_new: bool = False
    ) -> None:
        """Make the file `entry.name` in a directory hold what the entry says.

        `is_new` tells that the directory was made a moment ago, and so has no such file.
        Blocks and raises: as Content.load_block; OSError, which is the target's.
        """
        if not is_new and _is_right(directory_fd, entry):
            self._meter.advance(size_bytes=entry.size_bytes or 0)
            placement = Placement.KEPT
        else:
            placement = self._write(directory_fd, entry)
        with self._lock:
            self._counts[placement] += 1

    def _write(self, directory_fd: int, entry: FileEntry | ReferenceEntry) -> Placement:
        found: FileEntry | ReferenceEntry = entry
        if isinstance(entry, ReferenceEntry):
            found = self._repository.references.resolve(entry)
        content = self._repository.content(found)
        original = self._original(found)
        name = self._aside.name()
        executable = isinstance(entry, FileEntry) and entry.executable
        if self._link and _is_large(found) and self._try_link(original, name, executable):
            assert original is not None
            self._verify(content, original, file_state(original.fd))
            placement = Placement.LINKED
        else:
            placement = self._write_new(name, entry, content, original)
        self._aside.install(name, directory_fd, entry.name)
        return placement

    def _original(self, entry: FileEntry | ReferenceEntry) -> SharedDescriptor | None:
        """The store's own file of some content, where it has one."""
        if (
            isinstance(entry, FileEntry)
            and _is_large(entry)
            and self._repository.info.root is not None
        ):
            return self._repository.blobs.whole_file(entry)
        return None

    def _try_link(self, original: SharedDescriptor | None, name: str, executable: bool) -> bool:
        mode = 0 if original is None else os.fstat(original.fd).st_mode
        if original is None:
            why = "the store is not a directory of this machine"
        elif bool(mode & _EXECUTABLE) != executable:
            why = "it is stored with another executable bit"
        elif mode & _WRITABLE:
            why = "it is stored writable"
        else:
            try:
                # By descriptor: the file that is verified and none that takes its name.
                os.link(
                    f"/proc/self/fd/{original.fd}",
                    name,
                    dst_dir_fd=self._aside.fd,
                    follow_symlinks=True,
                )
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
                why = _CANNOT_LINK[error.errno]
            else:
                return True
        with self._lock:
            self._not_linked[why] += 1
        return False

    def _write_new(
        self,
        name: str,
        entry: FileEntry | ReferenceEntry,
        content: Content,
        original: SharedDescriptor | None,
    ) -> Placement:
        executable = isinstance(entry, FileEntry) and entry.executable
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        mode = 0o777 if executable else 0o666
        if content.file_mode is not None:
            # As `cp` does it: who may not read the file may not read its copy.
            mode &= content.file_mode | stat.S_IRUSR | stat.S_IWUSR
        fd = os.open(name, flags, mode, dir_fd=self._aside.fd)
        try:
            state = None if original is None else file_state(original.fd)
            if original is not None and state is not None and clone_file(original.fd, fd):
                self._verify(content, original, state)
                placement = Placement.REFLINKED
            else:
                self._load(content, fd)
                placement = Placement.COPIED
            if entry.mtime_ns:
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        return placement

    def _verify(self, content: Content, original: SharedDescriptor, before: FileState) -> None:
        """Prove all of a content whose file was linked or cloned in the state `before`."""
        self._load(content, None)
        # Others may link it meanwhile, which its ctime tells as well.
        if msgspec.structs.replace(file_state(original.fd), ctime_ns=before.ctime_ns) != before:
            raise SourceChanged(
                file_name(original.fd), "changed while it was being verified", hint="try again"
            )

    def _load(self, content: Content, fd: int | None) -> None:
        """Verify all of a content, and write it to an empty file where there is one."""
        count = block_count(content.size_bytes)

        def load(first: int) -> None:
            blocks = read_blocks(content, first, min(_RUN_BLOCKS, count - first))
            for index, block in enumerate(blocks, first):
                if fd is not None:
                    pwrite_full(fd, block, index * BLOCK_SIZE_BYTES)
                self._meter.advance(size_bytes=len(block))

        runs = range(0, count, _RUN_BLOCKS)
        # The first answer shows whether a server knows ranges.
        for first in runs[:1]:
            load(first)
        if len(runs) > 1 and content.any_order:
            self._workers.share(load, runs[1:])
        else:
            for first in runs[1:]:
                load(first)


def file_has_content(fd: int, entry: FileEntry) -> bool:
    """Whether an open file holds exactly what `entry` says. Blocks: reads all of it."""
    return os.fstat(fd).st_size == entry.size_bytes and _digest(fd, "sha256") == entry.sha256


def _digest(fd: int, algorithm: str) -> bytes:
    with open(fd, "rb", buffering=0, closefd=False) as file:
        return hashlib.file_digest(file, algorithm).digest()


def _is_right(directory_fd: int, entry: FileEntry | ReferenceEntry) -> bool:
    """Whether the file is there already, with the entry's content, executable bit and time.

    The time is set where it alone is wrong. What a reference without an md5 leads to is unknown.
    """
    if isinstance(entry, ReferenceEntry) and entry.pin.md5 is None:
        return False
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(local_name(entry.name), flags, dir_fd=directory_fd)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        executable = isinstance(entry, FileEntry) and entry.executable
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_size != entry.size_bytes
            or bool(status.st_mode & stat.S_IXUSR) != executable
        ):
            return False
        if isinstance(entry, FileEntry):
            is_right = _digest(fd, "sha256") == entry.sha256
        else:
            is_right = _digest(fd, "md5") == entry.pin.md5
        # Other names of the file, the store's among them, have a say in its time.
        if is_right and status.st_nlink == 1 and entry.mtime_ns not in {0, status.st_mtime_ns}:
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        return is_right
    finally:
        os.close(fd)


def _is_large(entry: FileEntry | ReferenceEntry) -> bool:
    """Whether it is an object of its own in a store; small content is one of many in a pack."""
    return isinstance(entry, FileEntry) and entry.size_bytes >= SMALL_BLOB_LIMIT_BYTES
