"""Uploads in parts: for objects that are too large for one request."""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from artfs.blobs.s3errors import status_of
from artfs.model import Digest
from artfs.system.files import pread_full

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_PART_BYTES = 16 * 1024 * 1024
_MAX_PARTS = 10_000
_PARALLEL_PARTS = 4


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
