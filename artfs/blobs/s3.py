"""Objects in a bucket of any S3-compatible server: the blobs of a shared store."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ResponseStreamingError,
)

from artfs.blobs.base import (
    RECORD_NAME,
    Namespace,
    ObjectKey,
    RecordKind,
    StoredObject,
    StoredRecord,
    Transfer,
)
from artfs.blobs.s3client import head_object
from artfs.blobs.s3errors import WRONG_CHECKSUM_CODES, code_of, status_of, translate_s3_errors
from artfs.blobs.s3reads import SignedReads, pieces_of
from artfs.errors import BackendUnavailable, BlobNotFound, IntegrityError, SourceChanged
from artfs.failpoints import reach
from artfs.model import ByteRange, Digest
from artfs.system.files import pread_full
from artfs.system.oserrors import reach_step, translate_os_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_PART_BYTES = 16 * 1024 * 1024
_MAX_PARTS = 10_000
_PARALLEL_PARTS = 4

_SINGLE_PUT_LIMIT_BYTES = 64 * 1024 * 1024
_READ_ATTEMPTS = 3
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_NAME = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})")


class ContentDiffers(Exception):
    """The bytes that were read are not those that the object's name promises."""


def checksum(digest: bytes) -> str:
    """A digest as S3 writes it."""
    return b64encode(digest).decode("ascii")


def unless_it_exists(request: Callable[..., object]) -> bool:
    """Send a request that makes an object only if there is none; False where there may be one.

    A server that knows no such condition makes it in any case: same key, same bytes. So does one
    that is undecided because another put or a deletion runs.
    """
    try:
        request(IfNoneMatch="*")
    except ClientError as error:
        if status_of(error) in {409, 501}:
            request()
        elif status_of(error) != 412:
            raise
        return False
    return True


def upload_in_parts(
    client: S3Client, target: tuple[str, str], fd: int, size_bytes: int, *, expected: Digest
) -> None:
    """Make the content of a file the object `target` (bucket, key), if its SHA-256 is `expected`.

    S3 checks each part, and the object is only made when the whole is right, and there is none.
    Raises: ContentDiffers; ClientError, BotoCoreError; OSError.
    """
    bucket, name = target
    created = client.create_multipart_upload(Bucket=bucket, Key=name, ChecksumAlgorithm="SHA256")
    upload: dict[str, Any] = {"Bucket": bucket, "Key": name, "UploadId": created["UploadId"]}
    completed = False
    try:
        parts = _send_parts(client, upload, fd, size_bytes, expected)
        completed = unless_it_exists(
            lambda **condition: client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, **condition
            )
        )
    finally:
        if not completed:
            with suppress(ClientError, BotoCoreError):
                client.abort_multipart_upload(**upload)


def _send_parts(
    client: S3Client, upload: dict[str, Any], fd: int, size_bytes: int, expected: Digest
) -> list[CompletedPartTypeDef]:
    def send(number: int, data: bytes) -> CompletedPartTypeDef:
        part_sha256 = checksum(sha256(data).digest())
        answer = client.upload_part(
            **upload, PartNumber=number, Body=data, ChecksumSHA256=part_sha256
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": part_sha256}

    part_bytes = max(_PART_BYTES, -(-size_bytes // _MAX_PARTS))
    whole = sha256()
    parts: list[CompletedPartTypeDef] = []
    sending: deque[Future[CompletedPartTypeDef]] = deque()
    with ThreadPoolExecutor(_PARALLEL_PARTS) as threads:
        for number, start in enumerate(range(0, size_bytes, part_bytes), start=1):
            if len(sending) == _PARALLEL_PARTS:
                parts.append(sending.popleft().result())
            data = pread_full(fd, part_bytes, start)
            whole.update(data)
            sending.append(threads.submit(send, number, data))
        parts.extend(part.result() for part in sending)
    if whole.digest() != expected:
        raise ContentDiffers
    return parts


class S3ObjectStore:
    """A Store in a bucket, at `prefix/blobs/ab/cdef…` and `prefix/packs/ab/cdef…`.

    S3 checks the SHA-256 of what it stores, and an object appears whole or not at all. An upload
    in parts that a crash interrupts leaves parts without a name: give the bucket a lifecycle rule
    that aborts incomplete uploads.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._reads = SignedReads(client)
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """Store the file `source` under `key`, durably and atomically, before returning.

        A put that raises leaves the source where it is. A key that exists keeps its object.
        Memory: at most 80 MiB. Blocks: disk, network.
        Raises: SourceChanged where the file is not the content that `key` names; PathNotFound,
        OutOfSpace, PermissionDenied, BackendUnavailable.
        """
        with translate_os_errors(source), source.open("rb") as file:
            reach("object.sending")
            with translate_s3_errors(self._url(key)):
                size_bytes = os.fstat(file.fileno()).st_size
                try:
                    if size_bytes <= _SINGLE_PUT_LIMIT_BYTES:
                        self._put_at_once(key, file)
                    elif self._head(key) is None:
                        self._put_in_parts(key, file.fileno(), size_bytes)
                except ContentDiffers:
                    raise SourceChanged(str(source), f"is not the content of {key}") from None
            reach("object.sent")
            if transfer is Transfer.MOVE:
                source.unlink(missing_ok=True)

    def read(self, key: ObjectKey, span: ByteRange) -> bytes:
        """Return exactly the bytes of `span`, unverified. Blocks: network.

        Raises: BlobNotFound; IntegrityError where the object ends before `span` does;
        PermissionDenied, BackendUnavailable.
        """
        if span.length > 0:
            return b"".join(self.stream(key, span, piece_bytes=span.length))
        # HTTP has no words for an empty range.
        with translate_s3_errors(self._url(key)):
            if self._head(key) is None:
                raise BlobNotFound(self._url(key), "does not exist")
        return b""

    def stream(self, key: ObjectKey, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """The bytes of `span`, unverified, as they come: pieces of that size, the last one shorter.

        Blocks: network. Raises: as `read`, at each piece.
        """
        reach_step("object.reading", key)
        start, attempts = span.start, _READ_ATTEMPTS
        with translate_s3_errors(self._url(key)):
            while start < span.stop:
                rest = ByteRange(start, span.stop - start)
                try:
                    with closing(self._pieces(key, rest, piece_bytes)) as pieces:
                        for piece in pieces:
                            start += len(piece)
                            yield piece
                except (IncompleteReadError, ResponseStreamingError):
                    # botocore tries a request again, but not a body that breaks off.
                    attempts -= 1
                    if attempts == 0:
                        raise

    def open_local(self, key: ObjectKey) -> None:
        """Return None: the objects are no local files."""

    def size(self, key: ObjectKey) -> int | None:
        """Return the object's size in bytes, or None where it does not exist. Blocks: network.

        Raises: PermissionDenied, BackendUnavailable.
        """
        with translate_s3_errors(self._url(key)):
            return self._head(key)

    def delete(self, key: ObjectKey) -> None:
        """Remove the object; one that does not exist is no error. Blocks: network.

        Raises: PermissionDenied, BackendUnavailable.
        """
        reach_step("object.removing", key)
        with translate_s3_errors(self._url(key)):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """List a namespace, page by page, in no particular order. Blocks: network.

        Raises: PermissionDenied, BackendUnavailable.
        """
        for name, size_bytes, stored_s in self._listed(namespace.value):
            match = _NAME.fullmatch(name)
            if match is not None:
                key = ObjectKey(namespace, Digest(bytes.fromhex(match[1] + match[2])))
                yield StoredObject(key, size_bytes, stored_s)

    def put_record(self, kind: RecordKind, name: str, data: bytes) -> None:
        """Store `data` durably and atomically; over what has the name already. Blocks: network.

        Raises: PermissionDenied, OutOfSpace, BackendUnavailable.
        """
        key = f"{self._prefix}{kind.value}/{name}"
        with translate_s3_errors(f"s3://{self._bucket}/{key}"):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ChecksumSHA256=checksum(Digest(sha256(data).digest())),
            )

    def read_record(self, kind: RecordKind, name: str) -> bytes:
        """Return all of a record, unverified. Blocks: network.

        Raises: BlobNotFound, PermissionDenied, BackendUnavailable.
        """
        key = f"{self._prefix}{kind.value}/{name}"
        with translate_s3_errors(f"s3://{self._bucket}/{key}"):
            found = self._content(key)
        if found is None:
            raise BlobNotFound(f"s3://{self._bucket}/{key}", "does not exist")
        return found

    def records(self, kind: RecordKind) -> Iterator[StoredRecord]:
        """List a kind, page by page, in no particular order. Blocks: network.

        Raises: PermissionDenied, BackendUnavailable.
        """
        for name, size_bytes, stored_s in self._listed(kind.value):
            if RECORD_NAME.fullmatch(name) is not None:
                yield StoredRecord(name, size_bytes, stored_s)

    def delete_record(self, kind: RecordKind, name: str) -> None:
        """Remove a record; one that does not exist is no error. Blocks: network.

        Raises: PermissionDenied, BackendUnavailable.
        """
        key = f"{self._prefix}{kind.value}/{name}"
        with translate_s3_errors(f"s3://{self._bucket}/{key}"):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def _listed(self, directory: str) -> Iterator[tuple[str, int, float]]:
        """Name, size in bytes and time of all below a prefix, page by page."""
        prefix = f"{self._prefix}{directory}/"
        paginator = self._client.get_paginator("list_objects_v2")
        with translate_s3_errors(f"s3://{self._bucket}/{prefix}"):
            for page in paginator.paginate(Bucket=self._bucket, Prefix=prefix):
                if page.get("IsTruncated") and not page.get("NextContinuationToken"):
                    # boto3 takes it for the last one, and what comes after it for lost.
                    raise KeyError("NextContinuationToken")
                for item in page.get("Contents", []):
                    name = item["Key"].removeprefix(prefix)
                    yield name, item["Size"], item["LastModified"].timestamp()

    def claim(self, name: str, owner: str | None) -> str | None:
        """Make `owner` the content of the object `name`, unless there is one; its content.

        Without an owner it only looks: None where there is no such object. Blocks: network.
        Raises: PermissionDenied, BackendUnavailable.
        """
        key = f"{self._prefix}{name}"

        def put(**condition: Any) -> None:
            assert owner is not None
            self._client.put_object(Bucket=self._bucket, Key=key, Body=owner.encode(), **condition)

        with translate_s3_errors(f"s3://{self._bucket}/{key}"):
            found = self._content(key)
            if found is None and owner is not None:
                unless_it_exists(put)
                found = self._content(key)
            return None if found is None else found.decode(errors="replace")

    def _content(self, name: str) -> bytes | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=name)
        except ClientError as error:
            if code_of(error) != "NoSuchKey":
                raise
            return None
        with closing(answer["Body"]) as body:
            return body.read()

    def _name(self, key: ObjectKey) -> str:
        return f"{self._prefix}{key}"

    def _url(self, key: ObjectKey) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def _head(self, key: ObjectKey) -> int | None:
        try:
            answer = head_object(self._client, Bucket=self._bucket, Key=self._name(key))
        except ClientError as error:
            if status_of(error) != 404:
                raise
        else:
            return answer["ContentLength"]
        # An answer to HEAD does not say what is missing, and a lost bucket is no lost object.
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if status_of(error) == 404:
                raise BackendUnavailable(
                    f"s3://{self._bucket}", "there is no such bucket"
                ) from None
            raise
        return None

    def _pieces(self, key: ObjectKey, span: ByteRange, piece_bytes: int) -> Generator[bytes]:
        headers = {"Range": f"bytes={span.start}-{span.stop - 1}"}
        answer = self._reads.get_patiently(self._bucket, self._name(key), headers=headers)
        text = answer.headers.get("Content-Length", "")
        length = int(text) if _LENGTH.fullmatch(text) else None
        if length is None or length > span.length:
            answer.raw.close()
            what = "tells no length" if length is None else "ignores byte ranges"
            raise BackendUnavailable(self._url(key), f"the server {what}")
        yield from pieces_of(answer, self._url(key), length=length, piece_bytes=piece_bytes)
        if length != span.length:
            raise IntegrityError(
                self._url(key), f"ends at byte {span.start + length}, needed up to {span.stop}"
            )

    def _put_at_once(self, key: ObjectKey, file: BinaryIO) -> None:
        def put(**condition: Any) -> None:
            file.seek(0)
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._name(key),
                Body=file,
                ChecksumSHA256=checksum(key.sha256),
                **condition,
            )

        try:
            unless_it_exists(put)
        except ClientError as error:
            if code_of(error) in WRONG_CHECKSUM_CODES:
                raise ContentDiffers from error
            raise

    def _put_in_parts(self, key: ObjectKey, fd: int, size_bytes: int) -> None:
        target = (self._bucket, self._name(key))
        try:
            upload_in_parts(self._client, target, fd, size_bytes, expected=key.sha256)
        except ClientError as error:
            # The answer to the last request may have been lost, and the request sent again.
            if code_of(error) != "NoSuchUpload" or self._head(key) != size_bytes:
                raise
