"""Objects as files below one directory: the embedded store, and the layout of the cache."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.blobs.base import (
    RECORD_NAME,
    Namespace,
    ObjectKey,
    RecordKind,
    StoredObject,
    StoredRecord,
    Transfer,
    not_mounted,
)
from artfs.blobs.temporaries import Temporaries
from artfs.errors import BlobNotFound, IntegrityError
from artfs.failpoints import reach
from artfs.model import ByteRange, Digest
from artfs.system.directories import DirectoryHandle
from artfs.system.files import SharedDescriptor, copy_file, pread_full
from artfs.system.oserrors import reading_content, translate_os_errors
from artfs.system.ownership import Ownership

_TEMPORARY = "tmp"
_LAYOUT = (*(each.value for each in Namespace), _TEMPORARY)
# No link is followed, and nothing that is no file can make us wait.
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_EXECUTABLE = 0o111
# Somebody else's file, another file system behind the same device number, or no (more) links.
_CANNOT_TAKE = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
)
_SHARD = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")


class LocalObjectStore:
    """A Store below `root`: `blobs/ab/cdef…`, `packs/ab/cdef…`, `tmp/`.

    `root` must exist. An object appears under its name by one rename, whole and durable, and can
    only be read. Its owner, group and mode are those of `root` (system/ownership.py), and no link
    below `root` is followed. Thread-safe; any number of processes may share one root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.temporaries = Temporaries(root / _TEMPORARY)
        """What is on its way into the store, on the store's own file system."""
        # Shards whose names in their parent are known to be durable.
        self._durable_shards: set[tuple[Namespace, str]] = set()
        # A reader of somebody else's store may not create anything, and need not.
        with suppress(OSError):
            if root.stat().st_uid in {os.geteuid(), 0}:
                create_layout(root)

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """Store the file `source` under `key`, durably and atomically, before returning.

        A put that raises leaves the source where it is. A key that exists keeps its object; only
        one of another size, which is damaged, is replaced.
        Blocks: disk.
        Raises: SourceChanged, PathNotFound, OutOfSpace, PermissionDenied, BackendUnavailable.
        """
        with translate_os_errors(f"storing {key}"):
            self._require_layout(key.namespace)
            with self._shard(key, create=True) as shard:
                target = _ObjectPath(shard, _file_name(key))
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

    def stream(self, key: ObjectKey, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """The bytes of `span` in pieces of that size. Blocks, and raises, as `read` at each."""
        for start in range(span.start, span.stop, piece_bytes):
            yield self.read(key, ByteRange(start, min(piece_bytes, span.stop - start)))

    def open_local(self, key: ObjectKey) -> int:
        """Return a new read-only file descriptor of the object, for the caller to close.

        Raises: BlobNotFound, PermissionDenied, BackendUnavailable.
        """
        with reading_content(key):
            try:
                return os.open(self._path(key), _READ_FLAGS)
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
        name = _file_name(key)
        with translate_os_errors(key):
            try:
                with self._shard(key) as shard, shard.locked():
                    reach("object.deleting")
                    shard.unlink(name)
            except FileNotFoundError:
                self._require_layout(key.namespace)

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """List a namespace, in no particular order; objects that vanish meanwhile may be left out.

        Raises: PermissionDenied, BackendUnavailable.
        """
        directory = self._root / namespace.value
        with translate_os_errors(directory):
            self._require_layout(namespace)
            with DirectoryHandle.at(self._root) as root, root.below(namespace.value) as shards:
                names = [name for name in shards.names() if _SHARD.fullmatch(name)]
        for name in names:
            with (
                translate_os_errors(directory / name),
                DirectoryHandle.at(self._root) as root,
                root.below(namespace.value) as shards,
                shards.below(name) as shard,
            ):
                found = _list_shard(namespace, name, shard)
            yield from found

    def put_record(self, kind: RecordKind, name: str, data: bytes) -> None:
        """Store `data` durably and atomically; over what has the name already. Blocks: disk.

        Raises: OutOfSpace, PermissionDenied, BackendUnavailable.
        """
        with translate_os_errors(f"storing {kind.value}/{name}"):
            self._require_layout(Namespace.BLOBS)
            with (
                DirectoryHandle.at(self._root) as root,
                root.below(kind.value, create=True) as directory,
            ):
                temporary = self.temporaries.new("record")
                try:
                    with temporary.open("xb") as file:
                        file.write(data)
                        file.flush()
                        ownership = directory.ownership
                        ownership.claim(file.fileno(), ownership.sealed_mode)
                        os.fsync(file.fileno())
                    reach("record.written")
                    os.rename(temporary, name, dst_dir_fd=directory.fd)
                finally:
                    temporary.unlink(missing_ok=True)
                directory.sync()

    def read_record(self, kind: RecordKind, name: str) -> bytes:
        """Return all of a record, unverified. Blocks: disk.

        Raises: BlobNotFound, PermissionDenied, BackendUnavailable.
        """
        with reading_content(f"{kind.value}/{name}"):
            try:
                opened = SharedDescriptor(os.open(self._root / kind.value / name, _READ_FLAGS))
            except FileNotFoundError:
                raise BlobNotFound(f"{kind.value}/{name}", "does not exist") from None
            return pread_full(opened.fd, os.fstat(opened.fd).st_size, 0)

    def records(self, kind: RecordKind) -> Iterator[StoredRecord]:
        """List a kind, in no particular order. Raises: PermissionDenied, BackendUnavailable."""
        found: list[StoredRecord] = []
        with translate_os_errors(self._root / kind.value):
            self._require_layout(Namespace.BLOBS)
            with (
                suppress(FileNotFoundError),
                DirectoryHandle.at(self._root) as root,
                root.below(kind.value) as directory,
                os.scandir(directory.fd) as entries,
            ):
                for entry in entries:
                    if RECORD_NAME.fullmatch(entry.name) is None:
                        continue
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        found.append(StoredRecord(entry.name, status.st_size, status.st_ctime))
        yield from found

    def delete_record(self, kind: RecordKind, name: str) -> None:
        """Remove a record; one that does not exist is no error.

        Raises: PermissionDenied, BackendUnavailable.
        """
        with (
            translate_os_errors(f"{kind.value}/{name}"),
            suppress(FileNotFoundError),
            DirectoryHandle.at(self._root) as root,
            root.below(kind.value) as directory,
        ):
            directory.unlink(name)

    def _path(self, key: ObjectKey) -> Path:
        return self._root / str(key)

    def _require_layout(self, namespace: Namespace) -> None:
        # A disk that is not mounted must not look like a store that lost its objects.
        directory = self._root / namespace.value
        if not directory.is_dir():
            raise not_mounted(directory)

    def _shard(self, key: ObjectKey, *, create: bool = False) -> DirectoryHandle:
        """The open directory of an object. Raises: FileNotFoundError; as Directory.below."""
        name = key.sha256.hex()[:2]
        with DirectoryHandle.at(self._root) as root, root.below(key.namespace.value) as shards:
            shard = shards.below(name, create=create)
            if create and (key.namespace, name) not in self._durable_shards:
                # Somebody else may have made it, and not be done.
                shards.sync()
                self._durable_shards.add((key.namespace, name))
            return shard

    def _take_in(self, source: Path, target: _ObjectPath, transfer: Transfer) -> bool:
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
        ownership = target.shard.ownership
        # With a link, the owner of the store would also own what keeps its other name.
        if transfer is Transfer.LINK and os.geteuid() == 0 and ownership.uid != found.st_uid:
            return False
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            executable = found.st_mode & _EXECUTABLE if transfer is Transfer.LINK else 0
            ownership.claim(fd, _sealed(ownership, executable))
            reach("object.sealed")
            os.fsync(fd)
            _install(source, fd, target, transfer)
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

    def _copy_in(self, source: Path, target: _ObjectPath) -> None:
        # In place of a file of ours somebody may have put a link.
        nofollow = os.O_NOFOLLOW if self.temporaries.made(source) else 0
        with translate_os_errors(source):
            source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | nofollow)
        temporary = self.temporaries.new("put")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            target_fd = os.open(temporary, flags, 0o600)
            try:
                copy_file(source_fd, target_fd)
                ownership = target.shard.ownership
                ownership.claim(target_fd, ownership.sealed_mode)
                reach("object.copied")
                os.fsync(target_fd)
                _install(temporary, target_fd, target, Transfer.MOVE)
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)
            temporary.unlink(missing_ok=True)


class _ObjectPath(msgspec.Struct, frozen=True):
    """Where an object is, or is to be."""

    shard: DirectoryHandle
    name: str


def create_layout(root: Path) -> None:
    """Make the directories of a store that are missing. Raises: PermissionDenied; OSError."""
    if all((root / name).is_dir() for name in _LAYOUT):
        return
    with DirectoryHandle.at(root) as directory, directory.locked():
        fill_layout(directory)


def fill_layout(root: DirectoryHandle) -> None:
    """As `create_layout`, for who holds the lock. Raises: PermissionDenied; OSError."""
    for name in _LAYOUT:
        root.make(name).close()


def _file_name(key: ObjectKey) -> str:
    return key.sha256.hex()[2:]


def _sealed(ownership: Ownership, executable: int) -> int:
    """The mode of an object: who may read one that is executable may execute it."""
    mode = ownership.sealed_mode
    return mode | executable & mode >> 2


def _install(source: Path, source_fd: int, target: _ObjectPath, transfer: Transfer) -> None:
    """Give a durable file its name, durably; the first of several puts of a key stays."""
    shard, name = target.shard, target.name
    with shard.locked():
        if _is_whole(target, os.fstat(source_fd).st_size):
            pass
        elif transfer is Transfer.LINK:
            with suppress(FileNotFoundError):
                shard.unlink(name)
            # By descriptor: the file that was looked at.
            os.link(f"/proc/self/fd/{source_fd}", name, dst_dir_fd=shard.fd, follow_symlinks=True)
        else:
            os.rename(source, name, dst_dir_fd=shard.fd)
    reach("object.named")
    shard.sync()


def _is_stored(target: _ObjectPath, source: Path) -> bool:
    """Whether there is an object, which then is durable: whoever stored it may not be done yet.

    False where there is none, or only what a damaged disk has left of it.
    """
    size_bytes: int | None = None
    with suppress(FileNotFoundError):
        # A source that was given away is no proof of anything.
        size_bytes = source.stat().st_size
    if not _is_whole(target, size_bytes):
        return False
    with target.shard.locked():
        is_stored = _is_whole(target, size_bytes)
    target.shard.sync()
    return is_stored


def _is_whole(target: _ObjectPath, size_bytes: int | None) -> bool:
    """Whether there is an object, with as many bytes as its source, where that is known."""
    try:
        found = target.shard.status(target.name)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and size_bytes in {None, found.st_size}


def _list_shard(
    namespace: Namespace, shard_name: str, shard: DirectoryHandle
) -> list[StoredObject]:
    found = []
    with os.scandir(shard.fd) as entries:
        for entry in entries:
            if _REST.fullmatch(entry.name) is None:
                continue
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                digest = Digest(bytes.fromhex(shard_name + entry.name))
                key = ObjectKey(namespace, digest)
                found.append(StoredObject(key, status.st_size, status.st_ctime))
    return found
