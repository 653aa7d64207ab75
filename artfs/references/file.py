"""`file://`: files and directories of this machine, read in place and never cached."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import md5
from io import BufferedReader
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import msgspec

from artfs.credentials import without_credentials
from artfs.errors import InvalidArgument, InvalidName, PermissionDenied, ReferenceChanged
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, split_entry_path, storable_time_ns
from artfs.references.base import (
    Body,
    Described,
    Found,
    Observed,
    Source,
    SourceGone,
    TransientFailure,
    UnusableKey,
    announced,
    described,
    limit_error,
)
from artfs.system.files import check_unchanged, file_state, pread_full
from artfs.system.mountinfo import artfs_mountpoints
from artfs.system.oserrors import translate_os_errors, translated
from artfs.system.paths import Below, is_own_path, open_directory, open_file, path_of
from artfs.system.threads import in_parallel

logger = logging.getLogger(__name__)

_SCHEME = "file:"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class _LocalFile(msgspec.Struct, frozen=True):
    path: Path
    name: str
    uri: str


class FileHandler:
    """Implements ReferenceHandler. Pins size and mtime; with a checksum the md5 as well."""

    only_public = False
    """Whether only files are read that everybody on this machine may read."""

    def describe(
        self, uri: str, *, name: str | None, checksum: bool, max_objects: int | None
    ) -> Iterator[Found]:
        """See ReferenceHandler. Links to files are followed, links to directories are not."""
        uri, path = _local_path(uri)
        found = self._describe(uri, path, name, checksum=checksum, max_objects=max_objects)
        if checksum and path.is_dir():
            files = "all files" if max_objects is None else f"up to {max_objects} files"
            found = announced(found, f'Generating checksum for {files} in "{path}"...\n')
        yield from found

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler."""
        return FileSource(entry, only_public=self.only_public)

    def _describe(
        self, uri: str, path: Path, name: str | None, *, checksum: bool, max_objects: int | None
    ) -> Iterator[Found]:
        found = _listing(uri, path, name, max_objects)
        workers = min(8, 2 * (os.cpu_count() or 1))
        yield from in_parallel(lambda item: _describe(item, checksum), found, workers=workers)


class FileSource:
    """Implements Source."""

    def __init__(self, entry: ReferenceEntry, *, only_public: bool = False) -> None:
        self._entry = entry
        self._only_public = only_public

    def observe(self, *, timeout_s: float) -> Observed:  # noqa: ARG002 - the port's signature
        """See Source."""
        fd = self.open_local()
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
        return Observed(found.st_size, Pin(mtime_ns=storable_time_ns(found.st_mtime_ns)))

    def read(self, span: ByteRange, *, timeout_s: float) -> Body:  # noqa: ARG002 - see above
        """See Source."""
        descriptor = _Descriptor(self.open_local())
        return Body(span.start, self._pieces(descriptor, span), descriptor)

    def open_local(self) -> int:
        """See Source."""
        refused: OSError | None = None
        changed: str | None = None
        for path in _candidates(self._entry.uri):
            try:
                fd = open_file(path, _FLAGS)
            except OSError as error:
                if error.errno not in _GONE:
                    refused = error
                continue
            if self._only_public and not is_public(fd):
                # Before anything is told of it, its size and times among that.
                os.close(fd)
                raise PermissionDenied(
                    self._entry.uri,
                    "not everybody may read this file, and others can write to the store",
                    hint="ARTFS_FILE_REFERENCES=on reads whatever files its versions name",
                )
            changed = self.difference(fd)
            if changed is None:
                return fd
            os.close(fd)
        if changed is None and refused is not None:
            raise translated(refused, self._entry.uri) from refused
        if changed is None:
            raise SourceGone(self._entry.uri, "the file is gone")
        raise ReferenceChanged(self._entry.uri, changed)

    def difference(self, fd: int) -> str | None:
        """How an open file differs from what was pinned, in words; None where it does not."""
        found, entry = os.fstat(fd), self._entry
        if not stat.S_ISREG(found.st_mode):
            return "it is no longer a file"
        if entry.size_bytes is not None and found.st_size != entry.size_bytes:
            return f"pinned at {entry.size_bytes} bytes, it now has {found.st_size}"
        mtime_ns = storable_time_ns(found.st_mtime_ns)
        if entry.pin.mtime_ns not in {None, mtime_ns}:
            return f"pinned with mtime {entry.pin.mtime_ns} ns, it now has {mtime_ns} ns"
        return None

    def _pieces(self, descriptor: _Descriptor, span: ByteRange) -> Iterator[bytes]:
        for start in range(span.start, span.stop, BLOCK_SIZE_BYTES):
            length = min(BLOCK_SIZE_BYTES, span.stop - start)
            with translate_os_errors(self._entry.uri):
                data = pread_full(descriptor.fd, length, start)
                changed = self.difference(descriptor.fd)
            if changed is not None:
                raise ReferenceChanged(self._entry.uri, changed)
            if len(data) != length:
                raise TransientFailure(self._entry.uri, f"ends before byte {start + length}")
            yield data


def is_public(fd: int) -> bool:
    """Whether everybody on this machine may read an open file at its path. Raises: OSError."""
    if not os.fstat(fd).st_mode & stat.S_IROTH:
        return False
    # The kernel's word for where it is, whatever links led to it.
    try:
        path = Path(f"/proc/self/fd/{fd}").readlink()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False
    return path.is_absolute() and all(
        parent.stat().st_mode & stat.S_IXOTH for parent in path.parents
    )


class _Descriptor:
    """A file descriptor that is closed once."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()


def _local_path(uri: str) -> tuple[str, Path]:
    """The URI to store, and the path that it names.

    Raises: InvalidArgument for a host, or where there is neither a file nor a directory.
    """
    host = urlsplit(without_credentials(uri)).netloc
    if host not in {"", "localhost"}:
        raise InvalidArgument(uri, f"names a host, {host!r}", hint="write file:///path")
    for path in _candidates(uri):
        if path.is_file() or path.is_dir():
            if path.is_absolute():
                return uri, path
            absolute = path.absolute()
            return f"file://{quote(str(absolute))}", absolute
    raise InvalidArgument(uri, "there is no file or directory at this path")


def _candidates(uri: str) -> list[Path]:
    """The paths that a URI may mean, the likeliest first.

    W&B reads a URI as quoted, but writes those of files below a directory without quoting.
    """
    literal = uri[len(_SCHEME) :]
    if literal.startswith("//"):
        literal = literal[2:].removeprefix("localhost")
    texts = [unquote(urlsplit(uri).path), literal, unquote(literal)]
    return [Path(text) for text in dict.fromkeys(texts) if text and "\0" not in text]


def _listing(uri: str, path: Path, name: str | None, max_objects: int | None) -> list[_LocalFile]:
    if path.is_file():
        return [_LocalFile(path, path.name if name is None else name, uri)]
    found: list[_LocalFile] = []
    for relative in _files_below(path):
        if max_objects is not None and len(found) >= max_objects:
            raise limit_error(uri, max_objects)
        entry_path = relative if name is None else f"{name.rstrip('/')}/{relative}"
        found.append(_LocalFile(path / relative, entry_path, f"{uri.rstrip('/')}/{relative}"))
    return sorted(found, key=lambda item: item.name)


def _files_below(path: Path) -> Iterator[str]:
    mountpoints = artfs_mountpoints(str(path))
    root = os.path.realpath(path)

    def leave_out(relative: str) -> bool:
        if is_own_path(relative):
            return True
        is_mount = bool(mountpoints) and f"{root}/{relative}" in mountpoints
        if is_mount:
            logger.warning("%s/%s: left out: it is a mount of artfs", path, relative)
        return is_mount

    with translate_os_errors(path):
        below = Below(open_directory(path))
        for directory, _, names in below.walk(leave_out=leave_out):
            prefix = f"{directory}/" if directory else ""
            opened = below.open(directory)[0]
            # Links to directories are left out, those to nothing are errors later.
            yield from (prefix + name for name in names if not path_of(name, opened.fd).is_dir())


def _describe(item: _LocalFile, checksum: bool) -> Found:
    try:
        split_entry_path(item.name)
    except InvalidName as error:
        shown = os.fsencode(item.path).decode(errors="backslashreplace")
        return UnusableKey(shown, error.reason)
    digest_of = _md5_of if checksum else None
    return describe_file(item.path, name=item.name, uri=item.uri, digest_of=digest_of)


def describe_file(
    path: Path, *, name: str, uri: str, digest_of: Callable[[BufferedReader], bytes] | None
) -> Described:
    """The reference to a local file, pinned as it is now.

    `digest_of` reads the open file to its end and gives its md5; without it the pin is the size
    and mtime alone. Blocks: on the disk. Raises: InvalidArgument for what is no file; InvalidName,
    SourceChanged, PermissionDenied.
    """
    with translate_os_errors(path):
        try:
            file = os.fdopen(open_file(path, _FLAGS), "rb")
        except (FileNotFoundError, IsADirectoryError):
            raise InvalidArgument(str(path), "is not a file, or a link to nothing") from None
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidArgument(str(path), "is not a file, or a link to nothing")
            before = file_state(file.fileno())
            content_md5 = None
            if digest_of is not None:
                content_md5 = digest_of(file)
                check_unchanged(file.fileno(), before, file.tell())
    digest = content_md5 or md5(str(before.size_bytes).encode()).digest()
    return described(
        name,
        uri,
        b64encode(digest).decode("ascii"),
        size_bytes=before.size_bytes,
        pin=Pin(mtime_ns=before.mtime_ns, md5=content_md5),
        mtime_ns=before.mtime_ns,
    )


def _md5_of(file: BufferedReader) -> bytes:
    return hashlib.file_digest(file, md5).digest()
