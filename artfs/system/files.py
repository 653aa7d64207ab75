"""Local files: whole reads, copies, and the proof that a file did not change meanwhile."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.errors import SourceChanged
from artfs.model import Buffer, storable_time_ns

_FICLONE = 0x40049409  # linux/fs.h; the same number on every architecture but alpha, mips, ppc
_COPY_CHUNK_BYTES = 1 << 30

_TRUSTED_BYTES = 64 * 2**20
"""A longer read is measured against the file before room is made for it."""
_NO_SYNC = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EBADF})
"""What file systems say that cannot sync a directory: CIFS, some of FUSE, some of NFS."""
_NO_MODES = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What file systems say that have no modes: vfat, exFAT, CIFS."""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
_ALIGNMENT_BYTES = 4096


class FileState(msgspec.Struct, frozen=True, gc=False):
    """What changes when the content of a file does, or another file takes its name."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


class SharedDescriptor:
    """A file descriptor that lives as long as somebody refers to it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        # The last reader may be in any thread, long after the pool has let go of the file.
        os.close(self.fd)


def open_quietly(path: Path) -> int:
    """Open a file for reading, without a trace in its atime where that may be. Raises: OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def file_state(fd: int) -> FileState:
    """The present state of an open file. Raises: OSError."""
    return state_of(os.fstat(fd))


def state_of(found: os.stat_result) -> FileState:
    """The state that a status tells; its times are those that can be kept."""
    return FileState(
        found.st_dev,
        found.st_ino,
        found.st_size,
        storable_time_ns(found.st_mtime_ns),
        storable_time_ns(found.st_ctime_ns),
    )


def check_unchanged(fd: int, before: FileState, read_bytes: int) -> None:
    """Check that all of a file was read while it stayed as it was.

    Raises: SourceChanged; OSError.
    """
    if read_bytes != before.size_bytes or file_state(fd) != before:
        raise _changed(fd)


def _changed(fd: int) -> SourceChanged:
    return SourceChanged(
        file_name(fd), "changed while it was being read", hint="try again when it is at rest"
    )


def file_name(fd: int) -> str:
    """A name for an open file, good enough for an error's subject."""
    with suppress(OSError):
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    return f"file descriptor {fd}"


def read_whole(fd: int, before: os.stat_result | None = None) -> bytes:
    """The content of a file that fits in memory, whatever the file position.

    `before` is its status, for who knows it. Raises: SourceChanged; OSError.
    """
    # A thousand times for a thousand small files: one read and one status more are felt.
    if before is None:
        before = os.fstat(fd)
    size_bytes = before.st_size
    # One byte more than there should be, so that growth shows without another read.
    data = os.pread(fd, size_bytes + 1, 0)
    if len(data) < size_bytes:
        data = pread_full(fd, size_bytes + 1, 0)
    after = os.fstat(fd)
    if (
        len(data) != size_bytes
        or after.st_ctime_ns != before.st_ctime_ns
        or after.st_mtime_ns != before.st_mtime_ns
        or after.st_size != size_bytes
    ):
        raise _changed(fd)
    return data


def pread_full(fd: int, length: int, offset: int) -> bytes:
    """`length` bytes from `offset`, fewer only where the file ends. Raises: OSError."""
    if length > _TRUSTED_BYTES:
        # The room is taken before the file is asked, and a length may come from a damaged store.
        length = min(length, max(0, os.fstat(fd).st_size - offset))
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    missing = length - len(data)
    while missing and (part := os.pread(fd, missing, offset + length - missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def fill_buffer(fd: int, buffer: memoryview, offset: int) -> int:
    """Read from `offset` until `buffer` is full or the file ends; how many bytes came.

    Raises: OSError.
    """
    filled = 0
    while filled < len(buffer) and (count := os.preadv(fd, [buffer[filled:]], offset + filled)):
        filled += count
    return filled


def pwrite_full(fd: int, data: Buffer, offset: int) -> None:
    """Write all of `data` at `offset`. Raises: OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def sync_directory(fd: int) -> None:
    """Make the names in an open directory durable, where its file system can. Raises: OSError."""
    try:
        os.fsync(fd)
    except OSError as error:
        # Names are as durable there as the file system makes them by itself.
        if error.errno not in _NO_SYNC:
            raise


def set_mode(file: int | Path, mode: int) -> bool:
    """Give a file of ours a mode; False where its file system has none. Raises: OSError."""
    try:
        os.chmod(file, mode)  # noqa: PTH101 - of a descriptor, too
    except OSError as error:
        if error.errno not in _NO_MODES:
            raise
        return False
    return True


def missing_abilities(directory: Path) -> list[str]:
    """What the file system of a directory does not do, in words: found out by trying.

    Raises: OSError.
    """
    missing = []
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=directory) as name:
        probe = Path(name)
        file = probe / "file"
        file.touch()
        fd = os.open(probe, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError:
            missing.append("names of new files may be lost with the host (no sync of directories)")
        finally:
            os.close(fd)
        if not set_mode(file, 0o400) or stat.S_IMODE(file.stat().st_mode) != 0o400:
            missing.append("who may read and change it is not kept (no modes)")
        set_mode(file, 0o600)
        try:
            (probe / "link").hardlink_to(file)
        except OSError:
            missing.append("files are copied, never linked (no hard links)")
    return missing


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable, where its file system can. Raises: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_directory(fd)
    finally:
        os.close(fd)


def create_durably(path: Path, data: bytes) -> None:
    """Make a file, whole and durable, unless there is one. Raises: OSError."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Without links the last of several that come at the same moment stays.
            if not path.exists():
                temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_directory(path.parent)


def clone_file(source_fd: int, target_fd: int) -> bool:
    """Make an empty file share the source's extents; False where that cannot be.

    Blocks: briefly; no data are copied.
    """
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError:
        return False
    return True


def copy_file(source_fd: int, target_fd: int) -> None:
    """Copy a whole file into an empty one, inside the kernel, sharing extents if possible.

    Raises: SourceChanged; OSError. Blocks: disk.
    """
    before = file_state(source_fd)
    if clone_file(source_fd, target_fd):
        copied = os.fstat(target_fd).st_size
    else:
        copied = _copy_range(source_fd, target_fd, before.size_bytes)
    check_unchanged(source_fd, before, copied)


def _copy_range(source_fd: int, target_fd: int, size_bytes: int) -> int:
    offset = 0
    in_kernel = True
    while offset < size_bytes:
        count = min(_COPY_CHUNK_BYTES, size_bytes - offset)
        try:
            if in_kernel:
                copied = os.copy_file_range(source_fd, target_fd, count, offset, offset)
            else:
                os.lseek(target_fd, offset, os.SEEK_SET)
                copied = os.sendfile(target_fd, source_fd, offset, count)
        except OSError as error:
            # Old kernels and some file systems cannot, in several words; sendfile always can.
            if in_kernel and error.errno in {
                errno.EXDEV,
                errno.EINVAL,
                errno.ENOSYS,
                errno.EOPNOTSUPP,
                errno.EPERM,
            }:
                in_kernel = False
                continue
            raise
        if copied == 0:
            break
        offset += copied
    return offset


def page_buffer(size_bytes: int) -> memoryview:
    """A buffer of huge pages, if there are any: what is read and written directly."""
    pages = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(pages)


def _opened_directly(fd: int, access: int) -> SharedDescriptor | None:
    """The same file once more, past the page cache; None where its file system cannot."""
    with suppress(OSError):
        # The file may have no name any more; its descriptor always has one.
        flags = access | os.O_DIRECT | os.O_CLOEXEC
        return SharedDescriptor(os.open(f"/proc/self/fd/{fd}", flags))
    return None


class DirectWriter:
    """Writes a file of ours past the page cache, as far as its file system and the buffers allow.

    What is written once, and synced then, gains nothing by a copy of it in the page cache, which
    costs as much as hashing it where memory has to be found first.
    """

    def __init__(self, fd: int) -> None:
        """`fd` is open for writing, and the caller's to close and to sync."""
        self._fd = fd
        self._direct = _opened_directly(fd, os.O_WRONLY)

    def write(self, data: Buffer, offset: int) -> None:
        """Write all of `data` at `offset`. Blocks: on disk. Raises: OSError."""
        view = memoryview(data)
        if self._direct is not None and offset % _ALIGNMENT_BYTES == 0:
            whole = len(view) - len(view) % _ALIGNMENT_BYTES
            try:
                written = os.pwrite(self._direct.fd, view[:whole], offset)
            except OSError:
                # A buffer that is not aligned, or a full disk, which is told below.
                self._direct = None
            else:
                view, offset = view[written:], offset + written
        pwrite_full(self._fd, view, offset)

    def close(self) -> None:
        """Let go of the file, so that it takes no space once it has no name."""
        self._direct = None


class DirectFile:
    """A local file, read into buffers of huge pages; from the page cache only what is there."""

    def __init__(self, opened: SharedDescriptor) -> None:
        self.opened = opened
        self._direct = _opened_directly(opened.fd, os.O_RDONLY)

    def read(self, length: int, offset: int) -> memoryview:
        """`length` bytes from `offset`, fewer only where the file ends.

        Blocks: on disk. Raises: OSError.
        """
        buffer = page_buffer(-(-length // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES)
        if self._direct is not None and offset % _ALIGNMENT_BYTES == 0 and not self._has(offset):
            # Not every file system that opens a file so also reads it so.
            with suppress(OSError):
                count = os.preadv(self._direct.fd, [buffer], offset)
                if count >= length:
                    return buffer[:length]
        return buffer[: fill_buffer(self.opened.fd, buffer[:length], offset)]

    def _has(self, offset: int) -> bool:
        """Whether the page cache has the byte at `offset`, and so likely those behind it."""
        try:
            return os.preadv(self.opened.fd, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except OSError:
            return False
