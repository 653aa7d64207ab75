"""A bucket's server that leaves something out of its answers: an error, and nothing half-known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from botocore.exceptions import ReadTimeoutError

from artfs.blobs.base import Namespace, ObjectKey
from artfs.blobs.s3 import S3ObjectStore
from artfs.blobs.s3client import make_client
from artfs.errors import BackendUnavailable
from artfs.model import Digest
from tests.servers.lyings3 import BUCKET, LyingS3, lying_s3
from tests.servers.scripted import trickling

DATA = b"content"
KEY = ObjectKey(Namespace.BLOBS, Digest(sha256(DATA).digest()))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LyingS3]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with lying_s3() as server:
        server.put(str(KEY), DATA)
        yield server


@pytest.fixture
def store(server: LyingS3) -> S3ObjectStore:
    return S3ObjectStore(make_client(endpoint_url=server.url, region="us-east-1"), BUCKET)


@pytest.mark.parametrize("field", ["Key", "Size", "LastModified"])
def test_a_listing_without_a_field_is_an_error(
    field: str, server: LyingS3, store: S3ObjectStore
) -> None:
    assert [each.key for each in store.objects(Namespace.BLOBS)] == [KEY]
    server.edit_listing = lambda text: re.sub(f"<{field}>[^<]*</{field}>", "", text)
    with pytest.raises(BackendUnavailable, match=f"has no {field}"):
        list(store.objects(Namespace.BLOBS))


def test_a_listing_that_does_not_say_where_it_goes_on_is_not_taken_for_whole(
    server: LyingS3, store: S3ObjectStore
) -> None:
    server.edit_listing = lambda text: text.replace(
        "</ListBucketResult>", "<IsTruncated>true</IsTruncated></ListBucketResult>"
    ).replace("<IsTruncated>false</IsTruncated>", "")
    with pytest.raises(BackendUnavailable, match="has no NextContinuationToken"):
        list(store.objects(Namespace.BLOBS))


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_head_that_does_not_end_is_no_answer(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with trickling(beginning, b"H") as url:
        client = make_client(endpoint_url=url, region="region", read_timeout_s=0.2, attempts=1)
        for request in (client.list_objects_v2, client.head_bucket):
            with pytest.raises(ReadTimeoutError):
                request(Bucket=BUCKET)
