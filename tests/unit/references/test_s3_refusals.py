"""What S3 refuses is told by the error's code, and credentials are asked for anew."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from artfs.blobs.base import Namespace, Transfer
from artfs.blobs.locations import parse_place
from artfs.errors import Archived, ArtfsError, BackendUnavailable, PermissionDenied
from artfs.model import ByteRange
from artfs.references.s3 import S3Handler
from artfs.system.errnos import errno_of
from artfs.testing.blobs_contract import key_of
from tests.servers.lyings3 import BUCKET, LyingS3, Refusal, lying_s3
from tests.support.references import QUICK, Reading

DATA = b"content" * 1000
EXPIRED = Refusal(400, "ExpiredToken", "The provided token has expired.")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LyingS3]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with lying_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        server.put("a", DATA)
        yield server


@pytest.fixture
def reading(server: LyingS3, tmp_path: Path) -> Reading:
    log_in(tmp_path, "first")
    return Reading(tmp_path / "cache", {"s3": S3Handler(policy=QUICK)})


def log_in(home: Path, token: str) -> None:
    """What `aws sso login` and the like do: write a session token into the credentials file."""
    (home / "credentials").write_text(
        f"[default]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n"
        f"aws_session_token = {token}\n"
    )


def expire(server: LyingS3, *, valid: str) -> None:
    """From now on, only this token is taken."""

    def refuse(request: BaseHTTPRequestHandler, _: str) -> Refusal | None:
        return None if request.headers["X-Amz-Security-Token"] == valid else EXPIRED

    server.refuse = refuse


def refuse_always(server: LyingS3, refusal: Refusal, *, key: str = "a") -> None:
    server.refuse = lambda _, asked: refusal if asked == key else None


def read_again(reading: Reading, uri: str = f"s3://{BUCKET}/a") -> bytes:
    """All bytes, from the server."""
    entry = reading.one(uri)
    for block in list(reading.cache.layout.blocks()):
        block.path.unlink()
    return reading.bytes_of(entry)


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "InvalidToken", "RequestExpired"])
def test_a_token_that_was_renewed_is_seen_by_whoever_reads(
    server: LyingS3, reading: Reading, tmp_path: Path, code: str
) -> None:
    entry = reading.one(f"s3://{BUCKET}/a")
    assert reading.bytes_of(entry) == DATA
    expire(server, valid="second")
    server.refuse = _with_code(server, code)
    log_in(tmp_path, "second")
    for block in list(reading.cache.layout.blocks()):
        block.path.unlink()
    # Signed by itself, as the object before was read.
    assert reading.bytes_of(entry) == DATA
    # And by boto3, with an answer that has no body to say why.
    log_in(tmp_path, "third")
    expire(server, valid="third")
    assert read_again(reading) == DATA


def _with_code(
    server: LyingS3, code: str
) -> Callable[[BaseHTTPRequestHandler, str], Refusal | None]:
    inner = server.refuse

    def refuse(request: BaseHTTPRequestHandler, key: str) -> Refusal | None:
        found = inner(request, key)
        return None if found is None else Refusal(found.status, code)

    return refuse


def test_a_token_that_was_renewed_in_the_environment_or_by_a_process_is_seen(
    server: LyingS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(tmp_path / "cache", {"s3": S3Handler(policy=QUICK)})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "first")
    expire(server, valid="first")
    assert read_again(reading) == DATA
    expire(server, valid="second")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "second")
    assert read_again(reading) == DATA
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    program = tmp_path / "program"
    program.write_text(
        '#!/bin/sh\necho \'{"Version": 1, "AccessKeyId": "KEY", "SecretAccessKey": "S",'
        ' "SessionToken": "third"}\'\n'
    )
    program.chmod(stat.S_IRWXU)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\n")
    expire(server, valid="third")
    assert read_again(reading) == DATA


def test_credentials_that_come_after_the_first_request_are_found(
    server: LyingS3, tmp_path: Path
) -> None:
    reading = Reading(tmp_path / "cache", {"s3": S3Handler(policy=QUICK)})
    with pytest.raises(PermissionDenied, match="configure AWS credentials"):
        reading.one(f"s3://{BUCKET}/a")
    log_in(tmp_path, "first")
    assert read_again(reading) == DATA


def test_an_expired_token_that_nobody_renews_says_so_at_once(
    server: LyingS3, reading: Reading
) -> None:
    entry = reading.one(f"s3://{BUCKET}/a")
    expire(server, valid="another")
    server.requests.clear()
    for action in (lambda: reading.bytes_of(entry), lambda: reading.one(f"s3://{BUCKET}/a")):
        with pytest.raises(PermissionDenied, match=r"token.*expired.*renew"):
            action()
    assert len(server.requests) <= 6


def test_a_shared_store_sees_a_token_that_was_renewed(server: LyingS3, tmp_path: Path) -> None:
    log_in(tmp_path, "first")
    expire(server, valid="first")
    store = parse_place(f"s3://{BUCKET}/store").open()
    source = tmp_path / "source"
    source.write_bytes(DATA)
    key = key_of(DATA)
    log_in(tmp_path, "second")
    expire(server, valid="second")
    store.put(key, source, transfer=Transfer.COPY)
    log_in(tmp_path, "third")
    expire(server, valid="third")
    assert store.read(key, ByteRange(0, 7)) == DATA[:7]
    log_in(tmp_path, "fourth")
    expire(server, valid="fourth")
    # The answer to HEAD has no body that names a code.
    assert store.size(key) == len(DATA)
    expire(server, valid="another")
    for call in (
        lambda: store.size(key),
        lambda: store.read(key, ByteRange(0, 1)),
        lambda: list(store.objects(Namespace.BLOBS)),
    ):
        with pytest.raises(PermissionDenied, match=r"token.*expired.*renew"):
            call()


KMS_REFUSED = (
    "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on resource: "
    "arn:aws:kms:eu-west-1:1:key/abc because no identity-based policy allows it"
)
BUSY = (Refusal(503, "SlowDown"), Refusal(400, "RequestTimeout"))
CODES: list[tuple[Refusal, type[ArtfsError], int, str]] = [
    (Refusal(403, "AccessDenied"), PermissionDenied, errno.EACCES, "refused.*policy"),
    (
        Refusal(403, "AccessDenied", KMS_REFUSED),
        PermissionDenied,
        errno.EACCES,
        r"KMS key arn:aws:kms:eu-west-1:1:key/abc.*kms:Decrypt",
    ),
    (Refusal(400, "KMS.DisabledException"), PermissionDenied, errno.EACCES, "KMS key.*Disabled"),
    (Refusal(403, "InvalidAccessKeyId"), PermissionDenied, errno.EACCES, "access key.*not known"),
    (Refusal(403, "SignatureDoesNotMatch"), PermissionDenied, errno.EACCES, "secret.*wrong"),
    (Refusal(403, "AccountProblem"), PermissionDenied, errno.EACCES, "account.*owner"),
    (
        Refusal(403, "InvalidObjectState", "archived", {"StorageClass": "DEEP_ARCHIVE"}),
        Archived,
        errno.ENODATA,
        "archived in DEEP_ARCHIVE.*restore it",
    ),
    (
        Refusal(400, "InvalidRequest", "The object was stored using a form of SSE"),
        BackendUnavailable,
        errno.EIO,
        "InvalidRequest: The object was stored",
    ),
    *((each, BackendUnavailable, errno.EIO, "busy|503") for each in BUSY),
]


@pytest.mark.parametrize(
    ("refusal", "expected", "number", "text"), CODES, ids=lambda each: getattr(each, "code", None)
)
def test_each_code_has_one_line_with_a_cure(
    server: LyingS3,
    reading: Reading,
    refusal: Refusal,
    expected: type[ArtfsError],
    number: int,
    text: str,
) -> None:
    entry = reading.one(f"s3://{BUCKET}/a")
    refuse_always(server, refusal)
    store = parse_place(f"s3://{BUCKET}").open()
    with pytest.raises(ArtfsError, match=text) as caught:
        reading.bytes_of(entry)
    assert type(caught.value) is expected
    assert errno_of(caught.value) == number
    assert "\n" not in str(caught.value)
    if refusal in BUSY:
        assert f"gave up after {QUICK.attempts} attempts" in str(caught.value)
    else:
        # What describes an object asks by HEAD, whose answer names no code.
        with pytest.raises(expected, match=text):
            reading.one(f"s3://{BUCKET}/a")
    key = key_of(DATA)
    refuse_always(server, refusal, key=f"{key}")
    with pytest.raises(expected, match=text):
        store.read(key, ByteRange(0, 1))


def test_a_clock_that_is_wrong_is_named_with_the_difference(
    server: LyingS3, reading: Reading
) -> None:
    entry = reading.one(f"s3://{BUCKET}/a")
    there = datetime.now(UTC) + timedelta(hours=2, minutes=3)
    told = {"ServerTime": there.strftime("%Y-%m-%dT%H:%M:%SZ")}
    refuse_always(server, Refusal(403, "RequestTimeTooSkewed", more=told))
    with pytest.raises(
        PermissionDenied, match=r"this machine's clock.*2:0[23]:\d\d.*set.*clock"
    ) as caught:
        reading.bytes_of(entry)
    assert "\n" not in str(caught.value)


def test_a_bucket_of_another_region_is_found_there(server: LyingS3, reading: Reading) -> None:
    def refuse(request: BaseHTTPRequestHandler, _: str) -> Refusal | None:
        if "/eu-west-1/s3/" in request.headers["Authorization"]:
            return None
        return Refusal(400, "AuthorizationHeaderMalformed", more={"Region": "eu-west-1"})

    server.refuse = refuse
    server.put("b", DATA)
    found = dict(reading.references.describe(f"s3://{BUCKET}/"))
    for entry in found.values():
        assert reading.bytes_of(entry) == DATA


def test_a_region_that_nobody_names_is_asked_for_in_the_error(
    server: LyingS3, reading: Reading
) -> None:
    entry = reading.one(f"s3://{BUCKET}/a")
    refuse_always(server, Refusal(301, "PermanentRedirect"))
    with pytest.raises(BackendUnavailable, match=r"another region.*AWS_REGION"):
        reading.bytes_of(entry)


def test_a_refusal_without_a_code_is_told_by_its_status(server: LyingS3, reading: Reading) -> None:
    entry = reading.one(f"s3://{BUCKET}/a")
    server.refuse = lambda *_: Refusal(403, "", "")
    with pytest.raises(PermissionDenied, match="refused"):
        reading.bytes_of(entry)


@pytest.mark.parametrize("status", [301, 307, 400])
def test_redirects_that_lead_nowhere_end(status: int, server: LyingS3, reading: Reading) -> None:
    entry = reading.one(f"s3://{BUCKET}/a")
    server.refuse = lambda *_: Refusal(status, "PermanentRedirect")
    with pytest.raises(BackendUnavailable, match="another region"):
        reading.bytes_of(entry)


@pytest.mark.parametrize("transfer", ["gzip, chunked", "gzip"])
def test_bytes_that_were_coded_on_the_way_are_not_taken_for_those_that_are_stored(
    server: LyingS3, reading: Reading, transfer: str
) -> None:
    server.put("a", b"stored", Transfer_Encoding=transfer)
    entry = reading.one(f"s3://{BUCKET}/a")
    with pytest.raises(BackendUnavailable, match=f"Transfer-Encoding: {transfer}"):
        reading.bytes_of(entry)
    assert list(reading.cache.layout.blocks()) == []
