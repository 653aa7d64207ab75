"""Reads here and there in large files of a shared store fetch and prove what they need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from artfs.content.base import RemoteContent
from artfs.errors import BackendUnavailable, IntegrityError
from artfs.manifest.entries import FileEntry
from artfs.model import BLOCK_SIZE_BYTES, PART_BYTES, ByteRange
from artfs.repository.facade import Repository
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.unit.content.test_remote_blobs import FILES, LARGE, Remote, contents, store

LIST_BYTES = 8 * 1024
"""At least as much as the block list of three blocks takes."""
SPANS = [
    ByteRange(5_000_000, 4096),
    ByteRange(BLOCK_SIZE_BYTES - 7, 20),
    ByteRange(len(LARGE) - 3, 3),
    ByteRange(2 * PART_BYTES, PART_BYTES),
]


@pytest.fixture(scope="module")
def filled(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        remote = Remote(seaweedfs, proxy, tmp_path_factory.mktemp("parts"))
        store(remote, seaweedfs)
        yield remote


@pytest.fixture
def remote(filled: Remote) -> Iterator[Remote]:
    with filled.forgetting():
        yield filled


def content_of(repository: Repository) -> RemoteContent:
    entry = repository.find(repository.resolve("p/a").tree, "large.bin")
    assert isinstance(entry, FileEntry)
    content = repository.content(entry).remote
    assert content is not None
    return content


def data_of(span: ByteRange) -> bytes:
    return LARGE[span.start : span.stop]


@pytest.mark.parametrize("span", SPANS)
def test_a_part_moves_little_more_than_was_asked_for(remote: Remote, span: ByteRange) -> None:
    with remote.open() as repository:
        content = content_of(repository)
        before = remote.proxy.body_bytes
        assert content.has_parts
        assert content.load_part(span) == data_of(span)
        moved = remote.proxy.body_bytes - before
    assert span.length <= moved <= span.length + 2 * PART_BYTES


def test_a_part_that_was_read_once_is_read_without_the_store(remote: Remote) -> None:
    with remote.open() as repository:
        for span in SPANS:
            content_of(repository).load_part(span)
    remote.proxy.set(Fault(refuse=True))
    with remote.open() as repository:
        content = content_of(repository)
        for span in SPANS:
            assert content.read_kept(span) == data_of(span)
        with pytest.raises(BackendUnavailable):
            content.load_part(ByteRange(1_000_000, 1))


@pytest.mark.parametrize("at", [0, -1])
def test_r2_a_part_that_is_wrong_is_neither_served_nor_kept(remote: Remote, at: int) -> None:
    with remote.open() as repository:
        content = content_of(repository)
        remote.proxy.set(Fault(flip_byte=at, min_body_bytes=PART_BYTES - 1))
        with pytest.raises(IntegrityError, match="does not match its digest"):
            content.load_part(SPANS[0])
        remote.proxy.set()
        assert content.read_kept(SPANS[0]) is None
        assert content.load_part(SPANS[0]) == data_of(SPANS[0])


def test_parts_and_blocks_are_read_beside_each_other(remote: Remote) -> None:
    with remote.open() as repository:
        content = content_of(repository)
        for span in SPANS:
            content.load_part(span)
        assert contents(repository) == FILES
        for span in SPANS:
            assert content.read_kept(span) == data_of(span)
