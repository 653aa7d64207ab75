"""The one translation of S3 and botocore errors into the errors of artfs."""

from __future__ import annotations

from types import TracebackType

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)

from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    BlobNotFound,
    DeadlineExceeded,
    IntegrityError,
    NotFound,
    OutOfSpace,
    PermissionDenied,
)

_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound", "404"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"})
WRONG_CHECKSUM_CODES = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"})
_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
)
_TIMEOUTS = (ConnectTimeoutError, ReadTimeoutError)


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer that is an error; 0 where there was none."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def code_of(error: ClientError) -> str:
    """The S3 error code; for an answer without a body its HTTP status."""
    return error.response.get("Error", {}).get("Code", "")


def translated(
    error: ClientError | BotoCoreError, subject: str, *, missing: type[NotFound] = BlobNotFound
) -> ArtfsError:
    """The artfs error that says the same as `error` about `subject`.

    `missing` is the class for an object that does not exist; a bucket that does not exist is
    BackendUnavailable.
    """
    reason = " ".join(str(error).split())
    if isinstance(error, ClientError):
        return _translated_answer(error, subject, reason, missing)
    if isinstance(error, _CREDENTIALS):
        return PermissionDenied(subject, reason, hint="configure AWS credentials")
    if isinstance(error, _TIMEOUTS):
        return DeadlineExceeded(subject, reason)
    return BackendUnavailable(subject, reason)


def _translated_answer(
    error: ClientError, subject: str, reason: str, missing: type[NotFound]
) -> ArtfsError:
    code, status = code_of(error), status_of(error)
    if code in _MISSING:
        return missing(subject, "does not exist")
    if code in _FULL or status == 507:
        return OutOfSpace(subject, reason)
    if code in WRONG_CHECKSUM_CODES:
        return IntegrityError(subject, reason)
    if status in {401, 403}:
        return PermissionDenied(subject, reason)
    if code == "InvalidRange" or status == 416:
        return IntegrityError(subject, "ends before the range that was asked for")
    return BackendUnavailable(
        subject, "there is no such bucket" if code == "NoSuchBucket" else reason
    )


class translate_s3_errors:  # noqa: N801 - reads as a verb, like contextlib.suppress
    """A context that turns what boto3 raises into the artfs error that says the same.

    Raises: `missing`, IntegrityError, OutOfSpace, PermissionDenied, DeadlineExceeded, and
    BackendUnavailable for all others.
    """

    __slots__ = ("_missing", "_subject")

    def __init__(self, subject: str, *, missing: type[NotFound] = BlobNotFound) -> None:
        self._subject = subject
        self._missing = missing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, (ClientError, BotoCoreError)):
            raise translated(error, self._subject, missing=self._missing) from error
