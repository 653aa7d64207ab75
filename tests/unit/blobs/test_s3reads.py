"""Reads of S3 that boto3 shows once: the same signature, the same server, nothing left over."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials

from artfs.blobs.s3client import make_client
from artfs.blobs.s3reads import SignedReads, pieces_of
from artfs.blobs.s3signature import Scope, Signer
from artfs.errors import BackendUnavailable
from artfs.manifest.entries import ReferenceEntry
from artfs.references.s3 import S3Handler
from tests.servers.lyings3 import BUCKET, LyingS3, Refusal, lying_s3
from tests.support.references import PATIENT, QUICK, Reading

DATA = Random(3).randbytes(300_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingS3]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "TOKEN")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with lying_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        server.put("a", DATA)
        yield server


class Noted:
    """What arrives at a server: which headers, by whom it was made, through which connection."""

    def __init__(self, server: LyingS3) -> None:
        self.headers: list[dict[str, str]] = []
        self.connections: list[int] = []
        server.refuse = self._note

    def _note(self, request: BaseHTTPRequestHandler, _key: str) -> Refusal | None:
        self.headers.append({name.lower(): text for name, text in request.headers.items()})
        self.connections.append(request.client_address[1])
        return None

    @property
    def by_client(self) -> list[bool]:
        return ["amz-sdk-invocation-id" in headers for headers in self.headers]


def get(reads: SignedReads, key: str, start: int, stop: int) -> bytes:
    answer = reads.get(BUCKET, key, headers={"Range": f"bytes={start}-{stop - 1}"})
    return b"".join(pieces_of(answer, key, length=stop - start, piece_bytes=64))


@pytest.mark.parametrize("token", [None, "TOKEN"])
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/bucket/plain", ""),
        ("/bucket/%20%2B//a~b/./../%F0%9F%98%80/", "versionId=a-b_c.d~e"),
        ("/", ""),
    ],
)
def test_a_signature_is_the_one_that_botocore_makes(
    path: str, query: str, token: str | None
) -> None:
    asked = {"Host": "server:8333", "Range": "bytes=0-9", "If-Match": '"an  etag"'}
    url = f"http://server:8333{path}" + (f"?{query}" if query else "")
    request = AWSRequest("GET", url, headers=dict(asked))
    S3SigV4Auth(Credentials("KEY", "SECRET", token), "s3", "eu-west-1").add_auth(request)
    made = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signer = Signer(Scope("eu-west-1", "s3"))
    # With the key of a day that it made for others.
    signer.signed(ReadOnlyCredentials("OTHER", "OTHER", None), path, query, asked)
    found = signer.signed(
        ReadOnlyCredentials("KEY", "SECRET", token), path, query, asked, now_s=made.timestamp()
    )
    assert found["Authorization"] == request.headers["Authorization"]
    assert found.get("X-Amz-Security-Token") == token


def test_one_request_of_boto3_shows_where_all_others_go(server: LyingS3) -> None:
    reads = SignedReads(make_client(endpoint_url=server.url))
    noted = Noted(server)
    for start in (0, 10, 200_000):
        assert get(reads, "a", start, start + 10) == DATA[start : start + 10]
    assert noted.by_client == [True, False, False]
    assert len(set(noted.connections)) == 1
    first, second = noted.headers[:2]
    for name in ("host", "user-agent", "x-amz-security-token", "accept-encoding"):
        assert first[name] == second[name]


def test_a_body_that_nobody_read_to_its_end_is_not_taken_for_the_next_answer(
    server: LyingS3,
) -> None:
    reads = SignedReads(make_client(endpoint_url=server.url))
    get(reads, "a", 0, 1)
    for read_bytes in (0, 1, 10, 11):
        answer = reads.get(BUCKET, "a", headers={"Range": "bytes=0-10"})
        answer.raw.read(read_bytes, decode_content=False)
        answer.raw.close()
        answer.raw.close()
        assert get(reads, "a", 100, 120) == DATA[100:120]


def test_many_threads_get_each_its_own_bytes(server: LyingS3) -> None:
    reads = SignedReads(make_client(endpoint_url=server.url))
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(
            lambda start: get(reads, "a", start, start + 1000), range(0, 90_000, 500)
        )
        assert list(found) == [DATA[start : start + 1000] for start in range(0, 90_000, 500)]


def test_no_token_follows_a_redirect_to_another_server(server: LyingS3, tmp_path: Path) -> None:
    reading = Reading(tmp_path / "cache", {"s3": S3Handler(policy=QUICK)})
    entry = reading.one(f"s3://{BUCKET}/a")
    assert reading.bytes_of(entry) == DATA
    with lying_s3() as stranger:
        stranger.put("a", DATA)
        where = {"Location": f"{stranger.url}/{BUCKET}/a"}
        server.refuse = lambda *_: Refusal(307, "TemporaryRedirect", headers=where)
        for block in list(reading.cache.layout.blocks()):
            block.path.unlink()
        with pytest.raises(BackendUnavailable):
            reading.bytes_of(entry)
        assert stranger.requests == []


def test_what_leads_through_a_proxy_is_left_to_boto3(
    server: LyingS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This server takes whole URLs, too, as a proxy does.
    monkeypatch.setenv("http_proxy", server.url)
    reads = SignedReads(make_client(endpoint_url="http://s3.invalid"))
    noted = Noted(server)
    for start in (0, 10):
        assert get(reads, "a", start, start + 10) == DATA[start : start + 10]
    assert noted.by_client == [True, True]


def test_a_forked_child_reads_through_connections_of_its_own(
    server: LyingS3, tmp_path: Path
) -> None:
    reading = Reading(tmp_path / "cache", {"s3": S3Handler(policy=PATIENT)}, policy=PATIENT)
    entry: ReferenceEntry = reading.one(f"s3://{BUCKET}/a")
    assert reading.bytes_of(entry) == DATA
    noted = Noted(server)
    for block in list(reading.cache.layout.blocks()):
        block.path.unlink()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if reading.bytes_of(entry) == DATA else 2
        except BaseException:  # noqa: BLE001 - said here, or nowhere
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    of_child = set(noted.connections)
    for block in list(reading.cache.layout.blocks()):
        block.path.unlink()
    noted.connections.clear()
    assert reading.bytes_of(entry) == DATA
    assert of_child
    assert of_child.isdisjoint(noted.connections)
