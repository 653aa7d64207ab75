"""Every ObjectStore keeps the same promises."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.blobs.local import LocalObjectStore
from artfs.blobs.s3 import S3ObjectStore
from artfs.testing.blobs_contract import ObjectStoreContract, RecordStoreContract
from artfs.testing.faults import FaultyObjectStore
from tests.servers.seaweedfs import SeaweedFS


class TestLocalObjectStore(ObjectStoreContract, RecordStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalObjectStore:
        (tmp_path / "store").mkdir()
        return LocalObjectStore(tmp_path / "store")


class TestLocalObjectStoreOnAnotherFileSystem(ObjectStoreContract):
    """Nothing can be moved in: everything is copied."""

    @pytest.fixture
    def store(self) -> Iterator[LocalObjectStore]:
        shared_memory = Path("/dev/shm")
        if not shared_memory.is_dir():
            pytest.skip("needs a second file system")
        with tempfile.TemporaryDirectory(dir=shared_memory) as root:
            yield LocalObjectStore(Path(root))


class TestFaultyObjectStoreWithoutFaults(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FaultyObjectStore:
        (tmp_path / "store").mkdir()
        return FaultyObjectStore(LocalObjectStore(tmp_path / "store"))


class TestS3ObjectStore(ObjectStoreContract, RecordStoreContract):
    large_size_bytes = 70 * 1024 * 1024 + 7  # in parts

    @pytest.fixture
    def store(self, seaweedfs: SeaweedFS) -> S3ObjectStore:
        return S3ObjectStore(seaweedfs.client(), seaweedfs.bucket, seaweedfs.new_prefix())
