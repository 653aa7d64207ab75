"""Exporting a version, or a part of it, as a tar archive or as an OCI image layout.

Both are the same, byte for byte, whoever makes them of the same version: owners are root, modes
those that a mount shows, times those of the files. Directories have the time of the version.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast
from uuid import uuid4

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.content.base import read_blocks
from artfs.errors import Conflict, Unsupported
from artfs.manifest.entries import DirectoryEntry, FileEntry, LeafEntry, SymlinkEntry
from artfs.manifest.tree import walk
from artfs.model import Buffer
from artfs.repository.facade import Repository
from artfs.repository.path_filter import PathFilter
from artfs.system.files import fsync_directory
from artfs.system.oserrors import translate_os_errors
from artfs.system.progress import ProgressMeter

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Sink(Protocol):
    """Takes an archive, piece by piece."""

    def write(self, data: bytes, /) -> int:
        """Take all of it."""
        ...


class Exported(msgspec.Struct, frozen=True):
    """What was written."""

    files: int
    size_bytes: int
    """Of their contents."""
    digest: str | None = None
    """Of the manifest of an OCI image: `sha256:…`."""


def export_tar(
    repository: Repository,
    version: VersionRecord,
    chosen: PathFilter,
    target: Sink,
    *,
    meter: ProgressMeter,
) -> Exported:
    """Write what is chosen of a version as a tar archive in the format of POSIX.

    Blocks: on the store, the network and the target. Raises: PathNotFound where nothing is chosen,
    OSError of the target, and what reading raises; what was written then is no archive.
    """
    files = size_bytes = 0
    with tarfile.open(
        fileobj=cast(IO[bytes], target), mode="w|", format=tarfile.PAX_FORMAT
    ) as archive:
        for path, entry in _entries(repository, version, chosen):
            info = _info(path, entry, version)
            if isinstance(entry, DirectoryEntry | SymlinkEntry):
                archive.addfile(info)
                continue
            content = repository.content(entry)
            info.size = content.size_bytes
            archive.addfile(info, _Blocks(read_blocks(content)))
            files += 1
            size_bytes += info.size
            meter.advance(files=1)
            meter.advance_bytes(info.size)
    return Exported(files, size_bytes)


def export_oci(
    repository: Repository,
    version: VersionRecord,
    chosen: PathFilter,
    root: Path,
    *,
    meter: ProgressMeter,
) -> Exported:
    """Write what is chosen of a version as the one layer of an image, in a new OCI image layout.

    The image's tag is the version, `v3`. Blocks and raises: as `export_tar`; Conflict where
    something is at `root`. The layout is there as a whole, or not at all.
    """
    with translate_os_errors(root):
        if root.is_dir() and not any(root.iterdir()):
            root.rmdir()
        if os.path.lexists(root):
            raise Conflict(str(root), "is there already", hint="name a new directory")
        aside = root.with_name(f".{root.name}.{uuid4().hex[:8]}.artfs-export")
        blobs = aside / "blobs" / "sha256"
        blobs.mkdir(parents=True)
    try:
        with translate_os_errors(root):
            done = _write_layout(repository, version, chosen, aside, meter)
            aside.rename(root)
            fsync_directory(root.parent)
        return done
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_layout(
    repository: Repository,
    version: VersionRecord,
    chosen: PathFilter,
    root: Path,
    meter: ProgressMeter,
) -> Exported:
    layer = root / "blobs" / "layer"
    with layer.open("wb") as file:
        hashing = _Hashing(file)
        done = export_tar(repository, version, chosen, hashing, meter=meter)
        file.flush()
        os.fsync(file.fileno())
    digest = f"sha256:{hashing.state.hexdigest()}"
    size_bytes = layer.stat().st_size
    layer.rename(root / "blobs" / "sha256" / hashing.state.hexdigest())
    config = {
        "architecture": _ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        "config": {"Labels": _labels(version)},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _blob(root, _CONFIG, config),
        "layers": [{"mediaType": _LAYER, "digest": digest, "size": size_bytes}],
        "annotations": _labels(version),
    }
    described = _blob(root, _MANIFEST, manifest)
    tag = {"org.opencontainers.image.ref.name": version.version}
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [described | {"annotations": tag}],
    }
    (root / "index.json").write_text(json.dumps(index))
    (root / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return msgspec.structs.replace(done, digest=described["digest"])


def _labels(version: VersionRecord) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": f"{version.project}/{version.name}",
        "org.opencontainers.image.version": version.version,
        "artfs.path": version.path,
        "artfs.digest": version.digest,
    }


def _blob(root: Path, media_type: str, value: dict[str, Any]) -> dict[str, Any]:
    """Write a document of the layout; its descriptor."""
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    name = hashlib.sha256(data).hexdigest()
    (root / "blobs" / "sha256" / name).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}


@contextmanager
def archive_file(path: Path) -> Iterator[Sink]:
    """A file to write an archive to, compressed where its name ends with `.gz`.

    It is at its place when it is whole, in place of what was there; else nothing is.
    Raises: PermissionDenied, OutOfSpace and the like; Unsupported for other compressions.
    """
    if path.suffix in {".bz2", ".xz", ".zst", ".Z", ".zip"}:
        raise Unsupported(
            str(path), f"{path.suffix} is not made here", hint="write .tar or .tar.gz"
        )
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.artfs-export")
    try:
        with translate_os_errors(path), aside.open("xb") as file:
            if path.suffix in {".gz", ".tgz"}:
                # No time and no name: the same archive is the same bytes.
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    yield packed
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


_Placed = tuple[str, LeafEntry | DirectoryEntry]


def _entries(
    repository: Repository, version: VersionRecord, chosen: PathFilter
) -> Iterator[_Placed]:
    """What goes into the archive, directories before what is in them."""
    load = repository.directory
    if chosen.takes_all:
        for path, entry in walk(load, version.tree):
            yield path, entry
        return
    made: set[str] = set()
    for path, leaf in chosen.select(load, version.tree):
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            if above not in made:
                made.add(above)
                yield above, DirectoryEntry(parts[depth - 1], version.tree, 0, 0)
        yield path, leaf


def _info(path: str, entry: LeafEntry | DirectoryEntry, version: VersionRecord) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.uname = info.gname = "root"
    time_ns = getattr(entry, "mtime_ns", 0) or version.created_at_ns
    # Whole seconds: a fraction costs a header of its own for each file.
    info.mtime = max(0, time_ns // 1_000_000_000)
    info.mode = 0o644
    if isinstance(entry, DirectoryEntry):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif isinstance(entry, SymlinkEntry):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
    elif isinstance(entry, FileEntry) and entry.executable:
        info.mode = 0o755
    return info


class _Blocks(io.RawIOBase):
    """Blocks as a file that is read once."""

    def __init__(self, blocks: Iterator[Buffer]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Some bytes, as many as are asked for but at the end."""
        parts = []
        while size > 0:
            if not self._left:
                self._left = memoryview(next(self._blocks, b"")).cast("B")
                if not self._left:
                    break
            piece = self._left[:size]
            self._left = self._left[len(piece) :]
            parts.append(bytes(piece))
            size -= len(piece)
        return b"".join(parts)


class _Hashing:
    """Passes on what is written, and hashes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.state = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        """See Sink."""
        self.state.update(data)
        return self._file.write(data)
