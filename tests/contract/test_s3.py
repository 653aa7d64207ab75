"""What S3 adds to the promises of an object store: other people's servers, and the network."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.s3 import S3ObjectStore
from artfs.blobs.s3client import make_client
from artfs.errors import (
    BackendUnavailable,
    BlobNotFound,
    DeadlineExceeded,
    PermissionDenied,
    SourceChanged,
)
from artfs.model import ByteRange, Digest
from tests.servers.seaweedfs import SeaweedFS

LARGE_BYTES = 70 * 1024 * 1024  # in parts


def key_of(data: bytes) -> ObjectKey:
    return ObjectKey(Namespace.BLOBS, Digest(hashlib.sha256(data).digest()))


@pytest.fixture
def prefix(seaweedfs: SeaweedFS) -> str:
    return seaweedfs.new_prefix()


@pytest.fixture
def store(seaweedfs: SeaweedFS, prefix: str) -> S3ObjectStore:
    return S3ObjectStore(seaweedfs.client(), seaweedfs.bucket, prefix)


@pytest.mark.parametrize("size_bytes", [10, LARGE_BYTES])
def test_content_that_its_key_does_not_name_is_not_stored(
    seaweedfs: SeaweedFS, store: S3ObjectStore, prefix: str, tmp_path: Path, size_bytes: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(size_bytes))
    with pytest.raises(SourceChanged, match="source: is not the content of blobs/"):
        store.put(key_of(b"other"), source, transfer=Transfer.MOVE)
    assert source.exists()
    assert store.size(key_of(b"other")) is None
    # Nor are parts left behind.
    uploads = seaweedfs.client().list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=prefix)
    assert uploads.get("Uploads", []) == []


@pytest.mark.parametrize("size_bytes", [10, LARGE_BYTES])
def test_an_object_that_exists_is_not_overwritten(
    seaweedfs: SeaweedFS, store: S3ObjectStore, prefix: str, tmp_path: Path, size_bytes: int
) -> None:
    data = Random(size_bytes).randbytes(size_bytes)
    (tmp_path / "source").write_bytes(data)
    key = key_of(data)
    seaweedfs.client().put_object(Bucket=seaweedfs.bucket, Key=f"{prefix}/{key}", Body=b"first")
    store.put(key, tmp_path / "source", transfer=Transfer.COPY)
    assert store.read(key, ByteRange(0, 5)) == b"first"
    assert store.size(key) == 5


def test_a_listing_goes_on_behind_the_first_page(
    seaweedfs: SeaweedFS, store: S3ObjectStore, prefix: str
) -> None:
    client = seaweedfs.client()
    keys = [key_of(str(number).encode()) for number in range(1001)]
    for key in keys:
        client.put_object(Bucket=seaweedfs.bucket, Key=f"{prefix}/{key}", Body=b"x")
    found = [item.key for item in store.objects(Namespace.BLOBS)]
    assert len(found) == 1001
    assert set(found) == set(keys)


def test_foreign_objects_and_other_prefixes_are_not_listed(
    seaweedfs: SeaweedFS, store: S3ObjectStore, prefix: str, tmp_path: Path
) -> None:
    client = seaweedfs.client()
    (tmp_path / "source").write_bytes(b"content")
    store.put(key_of(b"content"), tmp_path / "source", transfer=Transfer.COPY)
    neighbour = S3ObjectStore(client, seaweedfs.bucket, f"/{prefix}2/")
    (tmp_path / "source").write_bytes(b"neighbour")
    neighbour.put(key_of(b"neighbour"), tmp_path / "source", transfer=Transfer.COPY)
    for name in ("blobs/readme.txt", "blobs/00/short", f"blobs/{key_of(b'x')}"):
        client.put_object(Bucket=seaweedfs.bucket, Key=f"{prefix}/{name}", Body=b"x")
    assert [item.key for item in store.objects(Namespace.BLOBS)] == [key_of(b"content")]
    assert [item.key for item in neighbour.objects(Namespace.BLOBS)] == [key_of(b"neighbour")]


def every_call(store: S3ObjectStore, source: Path) -> list[Callable[[], object]]:
    key = key_of(b"content")
    source.write_bytes(b"content")
    return [
        lambda: store.size(key),
        lambda: store.read(key, ByteRange(0, 1)),
        lambda: store.read(key, ByteRange(0, 0)),
        lambda: store.put(key, source, transfer=Transfer.MOVE),
        lambda: list(store.objects(Namespace.BLOBS)),
        lambda: store.delete(key),
    ]


def test_a_bucket_that_does_not_exist_is_an_outage_not_a_lost_object(
    seaweedfs: SeaweedFS, tmp_path: Path
) -> None:
    store = S3ObjectStore(seaweedfs.client(), "no-such-bucket")
    # Deleting from nowhere is the one call that may well succeed.
    for call in every_call(store, tmp_path / "source")[:-1]:
        with pytest.raises(BackendUnavailable, match="bucket"):
            call()
    assert (tmp_path / "source").exists()


def test_wrong_credentials_are_permission_denied(
    seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = S3ObjectStore(seaweedfs.client(), seaweedfs.bucket)
    for call in every_call(store, tmp_path / "source"):
        with pytest.raises(PermissionDenied):
            call()
    assert (tmp_path / "source").exists()


def test_missing_credentials_are_permission_denied_with_a_hint(
    seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = S3ObjectStore(seaweedfs.client(), seaweedfs.bucket)
    with pytest.raises(PermissionDenied, match="configure AWS credentials"):
        store.size(key_of(b"x"))


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")


@pytest.mark.usefixtures("credentials")
def test_a_server_that_is_down_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        store = S3ObjectStore(make_client(endpoint_url=url, attempts=1), "bucket")
        for call in every_call(store, tmp_path / "source"):
            with pytest.raises(BackendUnavailable, match="Could not connect"):
                call()


@pytest.mark.usefixtures("credentials")
def test_a_server_that_never_answers_runs_into_the_timeout(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = make_client(endpoint_url=url, attempts=1, read_timeout_s=0.05)
        for call in every_call(S3ObjectStore(client, "bucket"), tmp_path / "source"):
            with pytest.raises(DeadlineExceeded):
                call()


class ScriptedHandler(BaseHTTPRequestHandler):
    """Answers with what its server's script says."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_GET(self) -> None:
        self.server.script(self)

    def do_PUT(self) -> None:
        self.server.script(self)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""

    def answer(self, status: int, body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length is not None:
            self.close_connection = True


class ScriptedServer(ThreadingHTTPServer):
    """An S3 server of sorts that does what a test wants."""

    daemon_threads = True

    def __init__(self, script: Callable[[ScriptedHandler], None]) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.script = script


@contextmanager
def scripted_store(script: Callable[[ScriptedHandler], None]) -> Iterator[S3ObjectStore]:
    with ScriptedServer(script) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            client = make_client(endpoint_url=url, attempts=1, read_timeout_s=5)
            yield S3ObjectStore(client, "bucket")
            client.close()
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("credentials")
def test_a_body_that_breaks_off_is_asked_for_again() -> None:
    asked: list[str | None] = []

    def script(request: ScriptedHandler) -> None:
        asked.append(request.headers["Range"])
        if len(asked) < 3:
            request.answer(206, b"01", length=4)
        else:
            request.answer(206, b"0123")

    with scripted_store(script) as store:
        assert store.read(key_of(b"x"), ByteRange(10, 4)) == b"0123"
    assert asked == ["bytes=10-13"] * 3


@pytest.mark.usefixtures("credentials")
def test_a_stream_that_breaks_off_goes_on_behind_the_pieces_that_came() -> None:
    asked: list[str | None] = []

    def script(request: ScriptedHandler) -> None:
        asked.append(request.headers["Range"])
        if len(asked) == 1:
            request.answer(206, b"01234", length=6)
        else:
            request.answer(206, b"45")

    with scripted_store(script) as store:
        pieces = list(store.stream(key_of(b"x"), ByteRange(10, 6), piece_bytes=2))
    assert pieces == [b"01", b"23", b"45"]
    assert asked == ["bytes=10-15", "bytes=14-15"]


@pytest.mark.usefixtures("credentials")
def test_a_body_that_always_breaks_off_is_unavailable_never_short() -> None:
    with (
        scripted_store(lambda request: request.answer(206, b"01", length=4)) as store,
        pytest.raises(BackendUnavailable),
    ):
        store.read(key_of(b"x"), ByteRange(0, 4))


@pytest.mark.usefixtures("credentials")
def test_a_server_that_ignores_ranges_is_refused_before_it_sends_everything() -> None:
    with (
        scripted_store(lambda request: request.answer(200, bytes(1000))) as store,
        pytest.raises(BackendUnavailable, match="the server ignores byte ranges"),
    ):
        store.read(key_of(b"x"), ByteRange(0, 4))


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("status", [501, 409])
def test_a_server_without_conditional_writes_gets_a_plain_one(tmp_path: Path, status: int) -> None:
    stored: list[bytes] = []

    def script(request: ScriptedHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if request.headers["If-None-Match"]:
            request.answer(status, b"")
        else:
            stored.append(body)
            request.answer(200, b"")

    (tmp_path / "source").write_bytes(b"content")
    with scripted_store(script) as store:
        store.put(key_of(b"content"), tmp_path / "source", transfer=Transfer.MOVE)
    assert stored == [b"content"]
    assert not (tmp_path / "source").exists()


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", BlobNotFound),
        (404, "NoSuchBucket", BackendUnavailable),
        (403, "AccessDenied", PermissionDenied),
        (503, "SlowDown", BackendUnavailable),
        (500, "InternalError", BackendUnavailable),
    ],
)
def test_each_answer_has_its_error(status: int, code: str, expected: type[Exception]) -> None:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with scripted_store(lambda request: request.answer(status, body)) as store:
        with pytest.raises(expected) as caught:
            store.read(key_of(b"x"), ByteRange(0, 4))
        assert type(caught.value) is expected
        assert str(caught.value).startswith("s3://bucket/blobs/")
