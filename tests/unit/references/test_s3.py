"""s3:// against SeaweedFS: entries as W&B makes them, pins, versions and prefixes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artfs.content.remote import CachedContent
from artfs.errors import InvalidArgument, PathNotFound, PermissionDenied, ReferenceChanged
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES
from artfs.references.s3 import S3Handler
from tests.servers.seaweedfs import REGION, SeaweedFS
from tests.support.references import QUICK, Reading

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSIONED = "artfs-versioned"


@pytest.fixture(scope="session")
def versioned(seaweedfs: SeaweedFS) -> str:
    client = seaweedfs.client()
    client.create_bucket(Bucket=VERSIONED)
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    return VERSIONED


@pytest.fixture
def reading(seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    # As a user would: the endpoint and the region come from the environment.
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return Reading(tmp_path / "cache", {"s3": S3Handler(policy=QUICK)})


class Bucket:
    """A place of its own in a bucket."""

    def __init__(self, server: SeaweedFS, bucket: str) -> None:
        self.client = server.client()
        self.bucket = bucket
        self.prefix = server.new_prefix()

    def put(self, key: str, data: bytes, **more: str) -> str:
        """Store an object; its version, or an empty text."""
        answer = self.client.put_object(
            Bucket=self.bucket,
            Key=f"{self.prefix}/{key}",
            Body=data,
            **more,  # type: ignore[arg-type]
        )
        return answer.get("VersionId", "")

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}/{key}".rstrip("/")


@pytest.fixture
def plain(seaweedfs: SeaweedFS) -> Bucket:
    return Bucket(seaweedfs, seaweedfs.bucket)


@pytest.fixture
def with_versions(seaweedfs: SeaweedFS, versioned: str) -> Bucket:
    return Bucket(seaweedfs, versioned)


def describe(reading: Reading, uri: str, **options: object) -> dict[str, ReferenceEntry]:
    return dict(reading.references.describe(uri, **options))  # type: ignore[arg-type]


def md5_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def test_the_digest_of_an_object_is_its_etag_without_quotes(
    reading: Reading, plain: Bucket
) -> None:
    plain.put("dir/a.bin", b"content")
    [(path, entry)] = describe(reading, plain.uri("dir/a.bin")).items()
    md5 = md5_of(b"content")
    assert (path, entry.digest, entry.size_bytes) == ("a.bin", md5, 7)
    assert entry.extra == {"etag": md5, "versionID": None}
    assert entry.pin == Pin(etag=f'"{md5}"')
    assert entry.uri == plain.uri("dir/a.bin")
    assert reading.bytes_of(entry) == b"content"


def test_an_object_in_parts_keeps_the_etag_that_it_has(reading: Reading, plain: Bucket) -> None:
    key = f"{plain.prefix}/parts"
    upload = plain.client.create_multipart_upload(Bucket=plain.bucket, Key=key)
    parts = []
    data = [b"a" * 5 * 1024 * 1024, b"b" * 1000]
    for number, part in enumerate(data, 1):
        answer = plain.client.upload_part(
            Bucket=plain.bucket,
            Key=key,
            UploadId=upload["UploadId"],
            PartNumber=number,
            Body=part,
        )
        parts.append({"ETag": answer["ETag"], "PartNumber": number})
    plain.client.complete_multipart_upload(
        Bucket=plain.bucket,
        Key=key,
        UploadId=upload["UploadId"],
        MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
    )
    entry = reading.one(plain.uri("parts"))
    assert entry.digest.endswith("-2")
    assert reading.bytes_of(entry) == b"".join(data)


def test_a_prefix_is_all_objects_below_it(reading: Reading, plain: Bucket) -> None:
    plain.put("top/one", b"1")
    plain.put("top/sub/two", b"22")
    plain.put("top/sub/deep/er/three", b"333")
    plain.put("top/empty", b"")
    plain.put("topping", b"no")
    for uri in (plain.uri("top"), f"{plain.uri('top')}/"):
        found = describe(reading, uri)
        assert sorted(found) == ["empty", "one", "sub/deep/er/three", "sub/two"]
    found = describe(reading, plain.uri("top"), name="in/side")
    assert {path: entry.uri for path, entry in found.items()} == {
        "in/side/empty": plain.uri("top/empty"),
        "in/side/one": plain.uri("top/one"),
        "in/side/sub/deep/er/three": plain.uri("top/sub/deep/er/three"),
        "in/side/sub/two": plain.uri("top/sub/two"),
    }
    assert reading.bytes_of(found["in/side/sub/two"]) == b"22"


def test_many_directories_are_listed_completely(reading: Reading, plain: Bucket) -> None:
    names = [f"{directory:02}/{file}" for directory in range(12) for file in range(3)]
    for name in names:
        plain.put(f"many/{name}", b"x")
    assert sorted(describe(reading, plain.uri("many"))) == names


def test_a_directory_object_is_listed_like_a_prefix(reading: Reading, plain: Bucket) -> None:
    plain.put("dir/", b"marker", ContentType="application/x-directory")
    plain.put("dir/a", b"1")
    assert "a" in describe(reading, f"{plain.uri('dir')}/")


def test_more_objects_than_max_objects_are_refused(reading: Reading, plain: Bucket) -> None:
    for number in range(3):
        plain.put(f"top/{number}", b"x")
    assert len(describe(reading, plain.uri("top"), max_objects=3)) == 3
    with pytest.raises(InvalidArgument, match="Exceeded 2 objects"):
        describe(reading, plain.uri("top"), max_objects=2)


def test_without_a_checksum_there_is_one_entry_named_like_the_key(
    reading: Reading, plain: Bucket
) -> None:
    plain.put("dir/a.bin", b"content")
    uri = plain.uri("dir/a.bin")
    [(path, entry)] = describe(reading, uri, checksum=False).items()
    assert path == f"{plain.prefix}/dir/a.bin"
    assert (entry.digest, entry.uri, entry.size_bytes, entry.pin) == (uri, uri, None, Pin())
    assert reading.reader.content(entry).size_bytes == 7
    assert reading.bytes_of(entry) == b"content"


def test_a_changed_object_is_refused_and_read_again_when_changed_back(
    reading: Reading, plain: Bucket
) -> None:
    data = b"0123456789" * 1000
    plain.put("a", data)
    entry = reading.one(plain.uri("a"))
    for other in (data[::-1], data + b"more"):
        plain.put("a", other)
        with pytest.raises(ReferenceChanged, match="pin"):
            reading.bytes_of(entry)
    plain.client.delete_object(Bucket=plain.bucket, Key=f"{plain.prefix}/a")
    with pytest.raises(ReferenceChanged, match="gone"):
        reading.bytes_of(entry)
    plain.put("a", data)
    assert reading.bytes_of(entry) == data


def test_an_object_of_a_versioned_bucket_is_pinned_to_its_version(
    reading: Reading, with_versions: Bucket
) -> None:
    first = with_versions.put("dir/a", b"first")
    entry = reading.one(with_versions.uri("dir/a"))
    assert entry.pin.version_id == entry.extra["versionID"] == first
    second = with_versions.put("dir/a", b"second")
    assert reading.bytes_of(entry) == b"first"
    # A listing pins versions as well, the present ones.
    listed = describe(reading, with_versions.uri("dir"))["a"]
    assert listed.extra == {"etag": md5_of(b"second"), "versionID": second}
    explicit = reading.one(f"{with_versions.uri('dir/a')}?versionId={first}")
    assert (explicit.uri, explicit.digest) == (with_versions.uri("dir/a"), md5_of(b"first"))
    unchecked = reading.one(f"{with_versions.uri('dir/a')}?versionId={first}", checksum=False)
    assert unchecked.digest == with_versions.uri("dir/a")
    assert reading.bytes_of(unchecked) == b"first"


def test_a_deleted_version_is_refused(reading: Reading, with_versions: Bucket) -> None:
    version_id = with_versions.put("a", b"first")
    entry = reading.one(with_versions.uri("a"))
    with_versions.client.delete_object(
        Bucket=with_versions.bucket, Key=f"{with_versions.prefix}/a", VersionId=version_id
    )
    with pytest.raises(ReferenceChanged, match="gone"):
        reading.bytes_of(entry)


def test_a_version_of_a_bucket_without_versions_is_a_value_error(
    reading: Reading, plain: Bucket
) -> None:
    plain.put("a", b"x")
    with pytest.raises(InvalidArgument, match="has no versions") as caught:
        reading.one(f"{plain.uri('a')}?versionId=1")
    assert isinstance(caught.value, ValueError)


def test_what_is_missing_or_refused_says_so(
    reading: Reading, plain: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match="no object of this name"):
        reading.one(plain.uri("nothing"))
    with pytest.raises(PathNotFound, match="bucket"):
        reading.one("s3://artfs-no-such-bucket/key")
    with pytest.raises(InvalidArgument, match="names no bucket"):
        reading.one("s3:///key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    stranger = Reading(tmp_path / "stranger", {"s3": S3Handler(policy=QUICK)})
    with pytest.raises(PermissionDenied):
        stranger.one(plain.uri("a"))


def test_keys_with_odd_characters_are_read(reading: Reading, plain: Bucket) -> None:
    keys = ["a b", "a%20b", "caf\u00e9", "what?", "#hash", "a?versionId"]
    for key in keys:
        plain.put(f"odd/{key}", key.encode())
    found = describe(reading, plain.uri("odd"))
    assert {path: reading.bytes_of(entry) for path, entry in found.items()} == {
        key: key.encode() for key in keys
    }


def test_a_client_is_made_ahead_without_a_request(seaweedfs: SeaweedFS, plain: Bucket) -> None:
    made: list[S3Client] = []
    asked: list[object] = []

    def make() -> S3Client:
        client = seaweedfs.client()
        client.meta.events.register("before-send.s3.*", lambda **_: asked.append(1))
        made.append(client)
        return client

    handler = S3Handler(make, policy=QUICK)
    for _ in range(2):
        handler.prepare()
    assert len(made) == 1
    assert not asked
    plain.put("a", b"a")
    assert [
        found[0]
        for found in handler.describe(plain.uri("a"), name=None, checksum=True, max_objects=None)
        if isinstance(found, tuple)
    ] == ["a"]
    assert len(made) == 1
    assert asked


def test_only_the_first_object_of_a_bucket_is_read_by_the_client(
    seaweedfs: SeaweedFS, plain: Bucket, with_versions: Bucket, tmp_path: Path
) -> None:
    client = seaweedfs.client()
    asked: list[str] = []
    client.meta.events.register(
        "provide-client-params.s3.GetObject", lambda params, **_: asked.append(params["Key"])
    )
    reading = Reading(tmp_path / "cache", {"s3": S3Handler(lambda: client, policy=QUICK)})
    for bucket in (plain, with_versions):
        names = [f"{number} %2F" for number in range(5)]
        for name in names:
            bucket.put(name, name.encode())
        entries = describe(reading, bucket.uri(""))
        bucket.put(names[3], b"changed")
        asked.clear()
        versions_stay = bucket is with_versions
        for name in names:
            if name == names[3] and not versions_stay:
                with pytest.raises(ReferenceChanged, match="pin"):
                    reading.bytes_of(entries[name])
            else:
                assert reading.bytes_of(entries[name]) == name.encode()
        # The client tells what is wrong with an object that is not what was pinned.
        wanted = names[:1] if versions_stay else [names[0], names[3]]
        assert asked == [f"{bucket.prefix}/{name}" for name in wanted]


def test_adjacent_blocks_come_with_one_request(reading: Reading, plain: Bucket) -> None:
    data = b"".join(bytes([number]) * BLOCK_SIZE_BYTES for number in range(4)) + b"end"
    plain.put("large", data)
    content = reading.reader.content(reading.one(plain.uri("large")))
    assert isinstance(content, CachedContent)
    assert b"".join(content.load_run(1, 4)) == data[BLOCK_SIZE_BYTES:]
    assert next(content.load_run(0, 5)) == data[:BLOCK_SIZE_BYTES]
