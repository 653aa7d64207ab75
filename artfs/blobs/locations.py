"""An object store that is opened when it is first used: most commands never read an object."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from artfs.blobs.base import (
    Namespace,
    ObjectKey,
    RecordKind,
    Store,
    StoredObject,
    StoredRecord,
    Transfer,
)
from artfs.blobs.local import LocalObjectStore
from artfs.errors import InvalidArgument, StoreFormatError, Unsupported
from artfs.model import ByteRange
from artfs.settings import timeout_s
from artfs.system.directories import make_parents
from artfs.system.files import create_durably
from artfs.system.oserrors import translate_os_errors
from artfs.system.threads import Once

if TYPE_CHECKING:
    from artfs.blobs.s3 import S3ObjectStore

OWNER_NAME = "artfs-store"
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_S3_ENDPOINT_URL")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_OWN_NAMES = frozenset({OWNER_NAME, "blobs", "packs", "tmp", *RecordKind})
_HINT = "write s3://BUCKET/PREFIX or file:///DIRECTORY"
# Together with retries less than the deadline of a read.
_READ_TIMEOUT_SHARE = 1 / 5
_ATTEMPTS = 3


class LazyObjectStore:
    """A Store over the one that `open_store` makes; a forked child makes its own.

    Every method also raises what `open_store` does, which is tried again by the next one.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._inner = Once(open_store)

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """See ObjectStore."""
        self._inner().put(key, source, transfer=transfer)

    def read(self, key: ObjectKey, span: ByteRange) -> bytes:
        """See ObjectStore."""
        return self._inner().read(key, span)

    def stream(self, key: ObjectKey, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """See ObjectStore."""
        return self._inner().stream(key, span, piece_bytes=piece_bytes)

    def open_local(self, key: ObjectKey) -> int | None:
        """See ObjectStore."""
        return self._inner().open_local(key)

    def size(self, key: ObjectKey) -> int | None:
        """See ObjectStore."""
        return self._inner().size(key)

    def delete(self, key: ObjectKey) -> None:
        """See ObjectStore."""
        self._inner().delete(key)

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """See ObjectStore."""
        return self._inner().objects(namespace)

    def put_record(self, kind: RecordKind, name: str, data: bytes) -> None:
        """See RecordStore."""
        self._inner().put_record(kind, name, data)

    def read_record(self, kind: RecordKind, name: str) -> bytes:
        """See RecordStore."""
        return self._inner().read_record(kind, name)

    def records(self, kind: RecordKind) -> Iterator[StoredRecord]:
        """See RecordStore."""
        return self._inner().records(kind)

    def delete_record(self, kind: RecordKind, name: str) -> None:
        """See RecordStore."""
        self._inner().delete_record(kind, name)


class BucketPlace(msgspec.Struct, frozen=True):
    """A prefix of a bucket."""

    bucket: str
    prefix: str
    """Without slashes around it; empty for the whole bucket."""
    endpoint: str | None
    """None: where boto3 finds it, or AWS."""
    region: str | None

    @property
    def url(self) -> str:
        """How it is written."""
        options = {"endpoint": self.endpoint, "region": self.region}
        query = urlencode({key: value for key, value in options.items() if value}, safe=":/")
        path = f"/{quote(self.prefix)}" if self.prefix else ""
        return f"s3://{self.bucket}{path}{'?' if query else ''}{query}"

    def open(self) -> Store:
        """The objects there; connects when it is first used."""
        return LazyObjectStore(self._open)

    def claim(self, owner: str | None) -> str | None:
        """Make it the place of the store `owner`, unless it has one; whose it is.

        None: just look. Blocks: network. Raises: BackendUnavailable, PermissionDenied.
        """
        return self._open().claim(OWNER_NAME, owner)

    def _open(self) -> S3ObjectStore:
        from artfs.blobs.s3 import S3ObjectStore  # noqa: PLC0415 - botocore takes long to import
        from artfs.blobs.s3client import make_client  # noqa: PLC0415 - as above
        from artfs.blobs.s3errors import translate_s3_errors  # noqa: PLC0415 - as above

        with translate_s3_errors(self.url):
            client = make_client(
                endpoint_url=self.endpoint,
                region=self.region,
                read_timeout_s=timeout_s() * _READ_TIMEOUT_SHARE,
                attempts=_ATTEMPTS,
            )
        return S3ObjectStore(client, self.bucket, self.prefix)


class DirectoryLocation(msgspec.Struct, frozen=True):
    """A directory on a disk that all hosts of the store share."""

    root: Path

    @property
    def url(self) -> str:
        """How it is written."""
        return self.root.as_uri()

    def open(self) -> LocalObjectStore:
        """The objects there."""
        return LocalObjectStore(self.root)

    def claim(self, owner: str | None) -> str | None:
        """As BucketPlace.claim; for an owner the directory is made when it is missing.

        Raises: StoreFormatError where it holds something else; PermissionDenied, where it cannot
        be made as well; OutOfSpace, BackendUnavailable.
        """
        path = self.root / OWNER_NAME
        with translate_os_errors(self.root):
            if owner is None and not self.root.exists():
                _check_can_be_made(self.root)
                return None
            # One that several users share was made for them, with its group and mode.
            make_parents(self.root)
            self.root.mkdir(mode=0o700, exist_ok=True)
            strangers = sorted(each.name for each in self.root.iterdir())
            strangers = [name for name in strangers if not _is_own(name)]
            if strangers:
                raise StoreFormatError(
                    str(self.root), f"not empty ({strangers[0]})", hint="name another directory"
                )
            if owner is not None:
                create_durably(path, owner.encode())
            return path.read_text("utf-8") if path.exists() else None

    def is_empty(self) -> bool:
        """Whether nothing is there. Raises: PermissionDenied, BackendUnavailable."""
        with translate_os_errors(self.root):
            return not self.root.exists() or not any(self.root.iterdir())


Place = BucketPlace | DirectoryLocation


def parse_place(url: str) -> Place:
    """Read the URL of a place. Raises: InvalidArgument, Unsupported."""
    try:
        parts = urlsplit(url)
        options = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except ValueError:
        raise InvalidArgument("blobs", "not a URL", hint=_HINT) from None
    if "@" in parts.netloc:
        raise InvalidArgument(
            "blobs", "credentials do not belong into their URL", hint="configure AWS credentials"
        )
    if parts.scheme == "file":
        if parts.netloc or options or not parts.path.startswith("/"):
            raise InvalidArgument(url, "not a directory's URL", hint="write file:///DIRECTORY")
        return DirectoryLocation(Path(os.path.normpath(unquote(parts.path))))
    if parts.scheme != "s3":
        raise Unsupported(url, "blobs cannot be kept there", hint=_HINT)
    unknown = sorted(options.keys() - {"endpoint", "region"})
    if unknown or parts.fragment:
        raise InvalidArgument(
            url, f"{unknown[0] if unknown else '#'} is not known", hint="there is endpoint, region"
        )
    if _BUCKET.fullmatch(parts.netloc) is None:
        raise InvalidArgument(url, "names no bucket", hint=_HINT)
    endpoint = options.get("endpoint")
    if endpoint is not None:
        _check_endpoint(endpoint)
    prefix = unquote(parts.path).strip("/")
    return BucketPlace(parts.netloc, prefix, endpoint, options.get("region"))


def with_endpoint(place: Place) -> Place:
    """The place with the endpoint that this host is configured for, where it names none.

    Another host that is configured otherwise would look for the bucket elsewhere.
    """
    if isinstance(place, DirectoryLocation) or place.endpoint is not None:
        return place
    endpoint = configured_endpoint()
    if endpoint is None:
        return place
    _check_endpoint(endpoint)
    return msgspec.structs.replace(place, endpoint=endpoint)


def configured_endpoint() -> str | None:
    """The S3 server that the environment names."""
    return next((os.environ[name] for name in _ENDPOINT_VARIABLES if os.environ.get(name)), None)


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        valid = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
        _ = parts.port
    except ValueError:
        valid = False
    if not valid:
        raise InvalidArgument("endpoint", "not the URL of a server", hint="write https://HOST:PORT")


def _check_can_be_made(directory: Path) -> None:
    """Raises: OSError as making it would; it is not made."""
    above = next(each for each in directory.parents if each.exists())
    # The kernel says whether it is a directory, and on a disk that can be written to.
    with tempfile.TemporaryFile(dir=above):
        pass


def _is_own(name: str) -> bool:
    return name in _OWN_NAMES or name.startswith(f"{OWNER_NAME}.")
