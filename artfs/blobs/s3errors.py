"""What S3 says when it refuses: one table of its codes, for stores and references alike.

Servers answer an expired token, an archived object and a wrong clock with the same few statuses,
so only the code tells what is wrong and what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto

import msgspec
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
    Archived,
    ArtfsError,
    BackendUnavailable,
    BlobNotFound,
    DeadlineExceeded,
    IntegrityError,
    NotFound,
    OutOfSpace,
    PermissionDenied,
)

WITHOUT_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
)
WITHOUT_CREDENTIALS_HINT = "configure AWS credentials"
WRONG_CHECKSUM_CODES = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"})
_TIMEOUTS = (ConnectTimeoutError, ReadTimeoutError)


class Trouble(Enum):
    """What kind of error an answer is."""

    MISSING = auto()
    NO_BUCKET = auto()
    CHANGED = auto()
    """A condition of the request does not hold."""
    SHORT = auto()
    FULL = auto()
    CHECKSUM = auto()
    REFUSED = auto()
    ARCHIVED = auto()
    BUSY = auto()
    """It may well work in a moment."""
    OTHER = auto()


class Diagnosis(msgspec.Struct, frozen=True):
    """What an answer means, in words for whoever asked."""

    trouble: Trouble
    reason: str
    hint: str = ""


_RENEW = "renew the credentials, for example with `aws sso login`; they are looked for again"
_TOKEN = Diagnosis(Trouble.REFUSED, "the session token of the credentials has expired", _RENEW)
_ACCOUNT = Diagnosis(
    Trouble.REFUSED, "the account that the bucket or the key belongs to is blocked", "ask its owner"
)
_REGION = Diagnosis(
    Trouble.OTHER, "the bucket is in another region or at another endpoint", "set AWS_REGION"
)
_BUSY = Diagnosis(Trouble.BUSY, "the server is busy")
_MISSING = Diagnosis(Trouble.MISSING, "does not exist")
_CHECKSUM = Diagnosis(Trouble.CHECKSUM, "the bytes that arrived are not those that were sent")
_FULL = Diagnosis(Trouble.FULL, "the bucket is full")
_SHORT = Diagnosis(Trouble.SHORT, "ends before the range that was asked for")
_CHANGED = Diagnosis(Trouble.CHANGED, "it no longer matches its pin")
_DENIED = Diagnosis(
    Trouble.REFUSED, "refused", "check credentials, and the policy of the bucket and the user"
)

_BY_CODE: dict[str, Diagnosis] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion", "NotFound", "404"), _MISSING),
    "NoSuchBucket": Diagnosis(Trouble.NO_BUCKET, "there is no such bucket"),
    **dict.fromkeys(("PreconditionFailed", "412"), _CHANGED),
    **dict.fromkeys(("InvalidRange", "416"), _SHORT),
    **dict.fromkeys(("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"), _FULL),
    **dict.fromkeys(WRONG_CHECKSUM_CODES, _CHECKSUM),
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidToken",
            "RequestExpired",
            "TokenRefreshRequired",
        ),
        _TOKEN,
    ),
    "InvalidAccessKeyId": Diagnosis(
        Trouble.REFUSED, "the access key is not known to the server", "configure AWS credentials"
    ),
    "SignatureDoesNotMatch": Diagnosis(
        Trouble.REFUSED, "the secret of the access key is wrong", "configure AWS credentials"
    ),
    **dict.fromkeys(("AccountProblem", "AllAccessDisabled", "UserSuspended"), _ACCOUNT),
    **dict.fromkeys(("AccessDenied", "AccessForbidden", "401", "403"), _DENIED),
    **dict.fromkeys(
        (
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "301",
        ),
        _REGION,
    ),
    **dict.fromkeys(
        (
            "SlowDown",
            "InternalError",
            "ServiceUnavailable",
            "RequestTimeout",
            "RequestTimeoutException",
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "OperationAborted",
            "TooManyRequests",
        ),
        _BUSY,
    ),
}
_BUSY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
CREDENTIAL_CODES = frozenset(
    code for code, diagnosis in _BY_CODE.items() if diagnosis in {_TOKEN, _DENIED}
) | {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure"}
"""Errors that other credentials may cure."""
UNTOLD_CODES = frozenset({"400", "401", "403"})
"""What stands for the code of an answer without a body: HEAD has none."""

_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_KMS_KEY = re.compile(r"arn:[\w-]+:kms:\S+")


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer that is an error; 0 where there was none."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def code_of(error: ClientError) -> str:
    """The S3 error code; for an answer without a body its HTTP status."""
    return error.response.get("Error", {}).get("Code") or ""


def diagnosed(error: ClientError) -> Diagnosis:
    """What an answer that is an error means."""
    code, status = code_of(error), status_of(error)
    fields: dict[str, str] = dict(error.response.get("Error", {}))  # type: ignore[arg-type]
    message = " ".join((fields.get("Message") or "").split())
    told = _told(code)
    if code == "InvalidObjectState":
        where = fields.get("StorageClass") or fields.get("AccessTier") or "an archive"
        return _archived(where)
    if code == "RequestTimeTooSkewed":
        return Diagnosis(
            Trouble.REFUSED,
            f"this machine's clock differs from the server's{_difference(error)}{told}",
            "set the clock, for example with NTP",
        )
    if code.startswith("KMS.") or (code in {"AccessDenied", "403"} and "kms:" in message):
        key = _KMS_KEY.search(message)
        name = f" {key[0]}" if key else ""
        return Diagnosis(
            Trouble.REFUSED,
            f"its KMS key{name} cannot be used{told}",
            "ask the owner of the key to enable it and to allow kms:Decrypt",
        )
    found = _BY_CODE.get(code)
    if found is None and status in _BUSY_STATUSES:
        found = _BUSY
    if found is None and status in {401, 403}:
        found = _DENIED
    if found is not None:
        return msgspec.structs.replace(found, reason=found.reason + told)
    return Diagnosis(Trouble.OTHER, f"{code or status}: {message}" if message else f"{code}")


def archive_of(answer: Mapping[str, object]) -> str:
    """Why the object that an answer to HEAD is about cannot be read now; empty where it can."""
    storage_class = str(answer.get("StorageClass") or "")
    tier = str(answer.get("ArchiveStatus") or "")
    if storage_class not in _ARCHIVES and not tier:
        return ""
    restore = str(answer.get("Restore") or "")
    if 'ongoing-request="false"' in restore:
        return ""
    where = f"{storage_class} {tier}".strip()
    if 'ongoing-request="true"' in restore:
        return f"archived in {where}, and being restored"
    return _archived(where).reason


def _archived(where: str) -> Diagnosis:
    return Diagnosis(
        Trouble.ARCHIVED, f"archived in {where}", "restore it first (`aws s3api restore-object`)"
    )


def _told(code: str) -> str:
    """The code, for whoever looks it up."""
    return f" ({f'status {code}' if code.isdecimal() else code})" if code else ""


def _difference(error: ClientError) -> str:
    """By how much the clocks differ, where the answer says what time it is there."""
    fields: dict[str, str] = dict(error.response.get("Error", {}))  # type: ignore[arg-type]
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        there = (
            datetime.fromisoformat(fields["ServerTime"])
            if "ServerTime" in fields
            else parsedate_to_datetime(headers.get("date", ""))
        )
        seconds = abs((datetime.now(UTC) - there).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return ""
    return f" by {timedelta(seconds=round(seconds))}"


def translated(
    error: ClientError | BotoCoreError, subject: str, *, missing: type[NotFound] = BlobNotFound
) -> ArtfsError:
    """The error of a store that says the same as `error` about `subject`.

    `missing` is the class for an object that does not exist; a bucket that does not exist is
    BackendUnavailable.
    """
    if isinstance(error, ClientError):
        return _store_error(diagnosed(error), subject, missing)
    reason = " ".join(str(error).split())
    if isinstance(error, WITHOUT_CREDENTIALS):
        return PermissionDenied(subject, reason, hint=WITHOUT_CREDENTIALS_HINT)
    if isinstance(error, _TIMEOUTS):
        return DeadlineExceeded(subject, reason)
    return BackendUnavailable(subject, reason)


def _store_error(found: Diagnosis, subject: str, missing: type[NotFound]) -> ArtfsError:
    kinds: dict[Trouble, type[ArtfsError]] = {
        Trouble.MISSING: missing,
        Trouble.FULL: OutOfSpace,
        Trouble.CHECKSUM: IntegrityError,
        Trouble.SHORT: IntegrityError,
        Trouble.REFUSED: PermissionDenied,
        Trouble.ARCHIVED: Archived,
    }
    return kinds.get(found.trouble, BackendUnavailable)(subject, found.reason, hint=found.hint)


@contextmanager
def translate_s3_errors(subject: str, *, missing: type[NotFound] = BlobNotFound) -> Iterator[None]:
    """A context that turns what boto3 raises into the artfs error that says the same.

    Raises: `missing`, IntegrityError, OutOfSpace, PermissionDenied, Archived, DeadlineExceeded,
    and BackendUnavailable for all others.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise translated(error, subject, missing=missing) from error
    except KeyError as error:
        # boto3 leaves out of an answer what the server left out.
        raise BackendUnavailable(subject, f"the server's answer has no {error.args[0]}") from error
