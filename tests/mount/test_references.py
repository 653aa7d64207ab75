"""References on a mount: local files, which need no server."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.facade import CommitRequest, Repository
from tests.support.mounts import Mounter

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
