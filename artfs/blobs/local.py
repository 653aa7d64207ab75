"""Objects as files below one directory: the embedded store, and the layout of the cache."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artfs.blobs.base import Namespace, ObjectKey, StoredObject, Transfer
from artfs.blobs.temporaries import Temporaries
from artfs.errors import BackendUnavailable, IntegrityError
from artfs.model import ByteRange, Digest
from artfs.system import forks
from artfs.system.files import copy_file, fsync_directory, pread_full
from artfs.system.oserrors import reading_content, translate_os_errors

_TEMPORARY = "tmp"
_OBJECT_MODE = 0o444
_EXECUTABLE = 0o111
# Somebody else's file, another file system behind the same device number, or no (more) links.
_CANNOT_TAKE = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP})
_SHARD = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")


class LocalObjectStore:
    """An ObjectStore below `root`: `blobs/ab/cdef…`, `packs/ab/cdef…`, and `tmp/`.

    `root` must exist. An object appears under its name by one rename, whole and durable, with
    mode 0444. Thread-safe; any number of processes may share one root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.temporaries = Temporaries(root / _TEMPORARY)
        """What is on its way into the store, on the store's own file system."""
        # Shards whose names in their parent are known to be durable.
        self._durable_shards: set[Path] = set()
        # A reader of somebody else's store may not create anything, and need not.
        with suppress(OSError):
            self._create_layout()

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """Store the file `source` under `key`, durably and atomically, before returning.

        A put that raises leaves the source where it is. A key that exists keeps its object; only
        one of another size, which is damaged, is replaced.
        Blocks: disk.
        Raises: SourceChanged, PathNotFound, OutOfSpace, PermissionDenied, BackendUnavailable.
        """
        target = self._path(key)
        with translate_os_errors(f"storing {key}"):
            self._require_layout(key.namespace)
            self._create_shard(target.parent)
            if not _is_stored(target, source) and not self._take_in(source, target, transfer):
                self._copy_in(source, target)
            if transfer is Transfer.MOVE:
                source.unlink(missing_ok=True)

    def read(self, key: ObjectKey, span: ByteRange) -> bytes:
        """Return exactly the bytes of `span`, unverified. Blocks: disk.

        Raises: BlobNotFound, IntegrityError, PermissionDenied, BackendUnavailable.
        """
        fd = self.open_local(key)
        try:
            with reading_content(key):
                data = pread_full(fd, span.length, span.start)
        finally:
            os.close(fd)
        if len(data) != span.length:
            raise IntegrityError(
                str(key), f"ends at byte {span.start + len(data)}, needed up to {span.stop}"
            )
        return data

    def open_local(self, key: ObjectKey) -> int:
        """Return a new read-only file descriptor of the object, for the caller to close.

        Raises: BlobNotFound, PermissionDenied, BackendUnavailable.
        """
        with reading_content(key):
            try:
                return os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._require_layout(key.namespace)
                raise

    def size(self, key: ObjectKey) -> int | None:
        """Return the object's size in bytes, or None where it does not exist.

        Raises: Unreadable, PermissionDenied, BackendUnavailable.
        """
        with reading_content(key):
            try:
                return self._path(key).stat().st_size
            except FileNotFoundError:
                self._require_layout(key.namespace)
                return None

    def delete(self, key: ObjectKey) -> None:
        """Remove the object; one that does not exist is no error.

        Raises: PermissionDenied, BackendUnavailable.
        """
        path = self._path(key)
        with translate_os_errors(key):
            try:
                with _locked(path.parent, durably=False):
                    path.unlink()
            except FileNotFoundError:
                self._require_layout(key.namespace)

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """List a namespace, in no particular order; objects that vanish meanwhile may be left out.

        Raises: PermissionDenied, BackendUnavailable.
        """
        directory = self._root / namespace.value
        with translate_os_errors(directory):
            self._require_layout(namespace)
            shards = [path for path in directory.iterdir() if _SHARD.fullmatch(path.name)]
        for shard in sorted(shards):
            with translate_os_errors(shard):
                found = _list_shard(namespace, shard)
            yield from found

    def _path(self, key: ObjectKey) -> Path:
        return self._root / str(key)

    def _create_layout(self) -> None:
        missing = [name for name in (*Namespace, _TEMPORARY) if not (self._root / name).is_dir()]
        for name in missing:
            (self._root / name).mkdir(exist_ok=True)
        if missing:
            fsync_directory(self._root)

    def _require_layout(self, namespace: Namespace) -> None:
        # A disk that is not mounted must not look like a store that lost its objects.
        directory = self._root / namespace.value
        if not directory.is_dir():
            raise BackendUnavailable(
                str(directory), "is not there", hint="is the store's file system mounted?"
            )

    def _create_shard(self, shard: Path) -> None:
        if shard not in self._durable_shards:
            shard.mkdir(exist_ok=True)
            fsync_directory(shard.parent)
            self._durable_shards.add(shard)

    def _take_in(self, source: Path, target: Path, transfer: Transfer) -> bool:
        """Make the source itself the object, moved or linked; False where only a copy will do."""
        if transfer is Transfer.COPY:
            return False
        with translate_os_errors(source):
            found = source.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_dev != self._root.stat().st_dev:
            return False
        # With another name, whoever holds it could write to the object.
        if transfer is Transfer.MOVE and found.st_nlink != 1:
            return False
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            executable = found.st_mode & _EXECUTABLE if transfer is Transfer.LINK else 0
            os.fchmod(fd, _OBJECT_MODE | executable)
            os.fsync(fd)
            _install(source, target, transfer)
        except OSError as error:
            # The caller keeps the file, as it was.
            with suppress(OSError):
                os.fchmod(fd, stat.S_IMODE(found.st_mode))
            if error.errno in _CANNOT_TAKE:
                return False
            raise
        finally:
            os.close(fd)
        return True

    def _copy_in(self, source: Path, target: Path) -> None:
        with translate_os_errors(source):
            source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        temporary = self.temporaries.new("put")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            target_fd = os.open(temporary, flags, 0o600)
            try:
                copy_file(source_fd, target_fd)
                os.fchmod(target_fd, _OBJECT_MODE)
                os.fsync(target_fd)
            finally:
                os.close(target_fd)
            _install(temporary, target, Transfer.MOVE)
        finally:
            os.close(source_fd)
            temporary.unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path, *, durably: bool) -> Iterator[None]:
    """Keep others from adding, renewing and deleting in a directory; its names become durable."""
    fd = forks.open_private(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Where there are no locks, two puts of one key replace the same bytes by the same bytes.
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        if durably:
            os.fsync(fd)
    finally:
        forks.close_private(fd)


def _install(source: Path, target: Path, transfer: Transfer) -> None:
    """Give a durable file its name, durably; the first of several puts of a key stays."""
    with _locked(target.parent, durably=True):
        if _is_whole(target, source):
            return
        if transfer is Transfer.LINK:
            target.unlink(missing_ok=True)
            target.hardlink_to(source)
        else:
            source.rename(target)


def _is_stored(target: Path, source: Path) -> bool:
    """Whether there is an object, which then is durable: whoever stored it may not be done yet.

    False where there is none, or only what a damaged disk has left of it.
    """
    if not _is_whole(target, source):
        return False
    with _locked(target.parent, durably=True):
        return _is_whole(target, source)


def _is_whole(target: Path, source: Path) -> bool:
    """Whether there is an object, with as many bytes as its source."""
    try:
        found = target.stat()
        return found.st_size == source.stat().st_size
    except FileNotFoundError:
        # A source that was given away is no proof of anything.
        return target.exists()


def _list_shard(namespace: Namespace, shard: Path) -> list[StoredObject]:
    found = []
    with os.scandir(shard) as entries:
        for entry in entries:
            if _REST.fullmatch(entry.name) is None:
                continue
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                digest = Digest(bytes.fromhex(shard.name + entry.name))
                key = ObjectKey(namespace, digest)
                found.append(StoredObject(key, status.st_size, status.st_ctime))
    return found
