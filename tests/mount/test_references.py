"""References on a mount: local files, which need no server."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.catalog.records import CommitRequest
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES
from artfs.mounts import client
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.mounts.options import MountOptions
from artfs.repository.facade import Repository
from tests.support.mounts import Mounter, mounting

DATA = os.urandom(BLOCK_SIZE_BYTES + 12_345)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(DATA)
    return path


def refer(repository: Repository, source: Path, *, size_bytes: int | None) -> None:
    """Make `p/a:v0` with `ref`, a pinned reference to a local file."""
    ingest = repository.ingest()
    builder = TreeBuilder(repository.directory)
    pin = Pin(mtime_ns=source.stat().st_mtime_ns)
    uri = source.as_uri()
    builder.put("ref", ReferenceEntry("ref", uri, uri, size_bytes, pin, {}))
    request = CommitRequest(project="p", name="a", type="dataset")
    repository.commit(ingest, builder.build(ingest.add_directory), request)


def test_a_reference_is_read_in_place(
    repository: Repository, mounted: Mounter, source: Path
) -> None:
    refer(repository, source, size_bytes=len(DATA))
    path = mounted(repository, "p/a:v0") / "ref"
    assert path.stat().st_size == len(DATA)
    assert path.read_bytes() == DATA
    assert os.getxattr(path, "user.artfs.reference") == source.as_uri().encode()


def test_a_reference_that_does_not_say_its_size_is_read_whole(
    repository: Repository, mounted: Mounter, source: Path
) -> None:
    refer(repository, source, size_bytes=None)
    path = mounted(repository, "p/a:v0") / "ref"
    assert path.stat().st_size == len(DATA)
    assert path.read_bytes() == DATA
    with path.open("rb") as file:
        file.seek(BLOCK_SIZE_BYTES - 10)
        assert file.read(20) == DATA[BLOCK_SIZE_BYTES - 10 : BLOCK_SIZE_BYTES + 10]


def test_r2_a_reference_that_changed_is_stale(
    repository: Repository, mounted: Mounter, source: Path
) -> None:
    refer(repository, source, size_bytes=len(DATA))
    path = mounted(repository, "p/a:v0") / "ref"
    source.write_bytes(b"x" * len(DATA))
    with pytest.raises(OSError) as caught:
        path.read_bytes()
    assert caught.value.errno == errno.ESTALE


def test_r2_a_reference_that_is_gone_is_an_error(
    repository: Repository, mounted: Mounter, source: Path
) -> None:
    refer(repository, source, size_bytes=len(DATA))
    path = mounted(repository, "p/a:v0") / "ref"
    source.unlink()
    with pytest.raises(OSError) as caught:
        path.read_bytes()
    assert caught.value.errno in {errno.EIO, errno.ESTALE}


OTHER_UID = 65534


@pytest.fixture
def mounted_for_all(runtime: Path) -> Iterator[Mounter]:
    """Like `mounted`, at a place that other users reach."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory(prefix="artfs-") as name:
        Path(name).chmod(0o755)
        with mounting(Path(name)) as mounter:
            yield mounter


def read_as_other(path: Path) -> subprocess.CompletedProcess[bytes]:
    """What another user gets who reads a file."""
    return subprocess.run(["cat", path], user=OTHER_UID, capture_output=True, check=False)


def test_r8_a_version_cannot_lend_the_rights_of_who_mounts_to_others(
    repository: Repository, mounted_for_all: Mounter, source: Path
) -> None:
    source.chmod(0o600)
    refer(repository, source, size_bytes=len(DATA))
    path = mounted_for_all(repository, "p/a:v0", allow_other=True) / "ref"
    # It is listed with its size all the same.
    assert path.stat().st_size == len(DATA)
    done = read_as_other(path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Permission denied" in done.stderr
    with pytest.raises(PermissionError):
        path.read_bytes()


def test_local_files_are_read_for_others_where_that_is_said(
    repository: Repository, mounted_for_all: Mounter, source: Path
) -> None:
    source.chmod(0o600)
    refer(repository, source, size_bytes=len(DATA))
    mount = mounted_for_all(repository, "p/a:v0", allow_other=True, file_references=True)
    assert read_as_other(mount / "ref").stdout == DATA


def test_local_files_can_be_left_unread_in_any_mount(
    repository: Repository, mounted: Mounter, source: Path
) -> None:
    refer(repository, source, size_bytes=len(DATA))
    path = mounted(repository, "p/a:v0", file_references=False) / "ref"
    with pytest.raises(PermissionError):
        path.read_bytes()


def test_a_staging_mount_keeps_local_files_from_others_too(
    repository: Repository, runtime: Path, tmp_path: Path, source: Path
) -> None:
    refer(repository, source, size_bytes=len(DATA))
    mountpoint = tmp_path / "staged"
    mountpoint.mkdir()
    request = MountRequest(
        store=repository.info.location,
        target="p/a",
        mountpoint=mountpoint,
        stage=StageOrder(base="v0"),
        options=MountOptions(file_references=False),
    )
    client.start(request)
    try:
        with pytest.raises(PermissionError):
            (mountpoint / "ref").read_bytes()
        with pytest.raises(PermissionError), (mountpoint / "ref").open("ab") as file:
            # The first write copies what is there.
            file.write(b"more")
    finally:
        client.stop(mountpoint, force=True, timeout_s=10)
