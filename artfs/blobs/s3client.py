"""Clients of S3-compatible servers, whose credentials are looked for again when they are refused.

A session token lives for an hour, a mount for weeks. So a client never keeps credentials that a
server no longer takes: it asks the whole chain again (environment, files, processes, roles), and
sends the refused request once more, if the chain has others by then.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.config import Config
from botocore.credentials import CredentialProvider, Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import get_session
from botocore.utils import parse_timestamp

from artfs import forks
from artfs.blobs.s3errors import CREDENTIAL_CODES, UNTOLD_CODES, code_of
from artfs.system.heads import HeadInTime

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5
_SIGNED_WITH = "artfs_credentials"
_RENEWED = "artfs_renewed"
_REDIRECTS = frozenset({301, 302, 307, 400})
_REGION = "x-amz-bucket-region"


def make_client(
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    read_timeout_s: float = 20,
    attempts: int = 4,
    connections: int = 32,
) -> S3Client:
    """A client for S3 or a compatible server, with credentials from where boto3 finds them.

    `attempts` counts the first one. Safe to use from as many threads as `connections`.
    """
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        # Other servers than AWS answer a range with the checksum of the whole object, or refuse
        # the checksums that boto3 adds by itself. Ours are given explicitly.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # Host names per bucket are AWS's own.
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
    core = get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    credentials = RenewedCredentials(_ask_chain)
    core.get_component("credential_provider").providers.insert(0, _Provider(credentials))
    paths = core.get_component("data_loader").search_paths
    core.register_component(
        "data_loader",
        _ModelLoader(paths, file_loader=_ModelFile(), include_default_search_paths=False),
    )
    # As boto3 would make it, whose import and own search take longer than many small objects.
    made: Any = core.create_client(
        "s3", region_name=region, endpoint_url=endpoint_url, config=config
    )
    client: S3Client = made
    credentials.attend(client)
    _limit_heads(client)
    client.meta.events.register_first("needs-retry.s3.HeadBucket", _end_search)
    return client


class _Connection(AWSHTTPConnection):
    response_class = HeadInTime  # type: ignore[assignment]  # the stubs know one alone


class _SecureConnection(AWSHTTPSConnection):
    response_class = HeadInTime  # type: ignore[assignment]  # the stubs know one alone


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(AWSHTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _limit_heads(client: Any) -> None:
    """Give each answer's head the time that botocore gives each piece of it."""
    session = client._endpoint.http_session  # noqa: SLF001 - no public way to its connections
    # Managers of proxies, which are made later, get them from the session.
    session._pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}  # noqa: SLF001
    session._manager.pool_classes_by_scheme = session._pool_classes_by_scheme  # noqa: SLF001


def head_object(client: S3Client, **request: Any) -> HeadObjectOutputTypeDef:
    """What HEAD tells of an object; an error that comes names its code.

    An answer to HEAD has no body, so why it refuses is asked for with a GET of one byte.
    Raises: ClientError, BotoCoreError.
    """
    try:
        return client.head_object(**request)
    except ClientError as error:
        if code_of(error) in UNTOLD_CODES:
            _refuse_as_get_does(client, request)
        raise


def _refuse_as_get_does(client: S3Client, request: dict[str, Any]) -> None:
    try:
        client.get_object(**request, Range="bytes=0-0")["Body"].close()
    except ClientError as error:
        # An empty object has no first byte.
        if code_of(error) != "InvalidRange":
            raise


class _ModelFile(JSONFileLoader):
    """Reads a model with msgspec: with json, that takes most of the time of making a client."""

    def load_file(self, file_path: str) -> Any:
        """See JSONFileLoader: a path without its suffix."""
        for suffix, opened in ((".json", open), (".json.gz", gzip.open)):
            with suppress(FileNotFoundError), opened(file_path + suffix, "rb") as file:
                return msgspec.json.decode(file.read())
        return None


class _ModelLoader(Loader):
    """Does not look into the directories of all other services before it loads one."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - not looked for
        """See Loader. Whether a service has the type is found out when that is loaded."""
        places = [place for place in map(Path, self.search_paths) if place.is_dir()]
        return sorted({each.name for place in places for each in place.iterdir()})


class RenewedCredentials(Credentials):
    """The credentials that the chain has now. Thread-safe."""

    def __init__(self, ask_chain: Callable[[], Credentials | None]) -> None:
        """`ask_chain` is called here, and whenever credentials are refused or missing."""
        # Not the constructor above: what it would set is what the chain has.
        self._ask_chain = ask_chain
        self._lock = forks.turn()
        self._found = ask_chain()
        self._asked = 0
        self._round = 0

    access_key = property(lambda self: getattr(self._found, "access_key", None))
    secret_key = property(lambda self: getattr(self._found, "secret_key", None))
    token = property(lambda self: getattr(self._found, "token", None))
    method = property(lambda self: getattr(self._found, "method", "none"))
    account_id = property(lambda self: getattr(self._found, "account_id", None))

    def get_frozen_credentials(self) -> ReadOnlyCredentials | None:  # type: ignore[override]
        """What a request is signed with; None where there are none.

        Blocks: where there are none yet, or they are about to expire.
        """
        if self._found is None:
            self._renew(self._round)
        found = self._found
        return None if found is None else found.get_frozen_credentials()

    def attend(self, client: S3Client) -> None:
        """Renew them when the client's requests are refused because of them."""
        client.meta.events.register_first("before-sign.s3", self._note)
        # Its stubs say that no answer is looked at; the documentation of botocore says which is.
        client.meta.events.register_first("needs-retry.s3", self._retry)  # type: ignore[arg-type]

    def _note(self, request: Any, **_event: object) -> None:
        request.context[_SIGNED_WITH] = self._round

    def _retry(self, response: Any, request_dict: Any, **_event: object) -> float | None:
        """Whether to send a refused request again: the delay in seconds, or None."""
        context = request_dict["context"]
        if response is None or context.get(_RENEWED):
            return None
        code = response[1].get("Error", {}).get("Code", "")
        if code not in CREDENTIAL_CODES and code not in UNTOLD_CODES:
            return None
        context[_RENEWED] = True
        return 0 if self._renew(context.get(_SIGNED_WITH, self._round)) else None

    def _renew(self, refused: int) -> bool:
        """Whether there are others than those of the round `refused`; asks the chain if need be."""
        asked = self._asked
        with self._lock:
            # Of many that are refused at once one asks.
            if self._round == refused and self._asked == asked:
                self._asked += 1
                found = self._ask_safely()
                if found is not None and _frozen(found) != _frozen(self._found):
                    self._found = found
                    self._round += 1
            return self._round != refused

    def _ask_safely(self) -> Credentials | None:
        try:
            return self._ask_chain()
        except BotoCoreError as error:
            logger.warning("no new credentials: %s", " ".join(str(error).split()))
            return None


class _Provider(CredentialProvider):
    """The one that a client's session asks first."""

    METHOD = "artfs"

    def __init__(self, credentials: RenewedCredentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> RenewedCredentials:
        """See CredentialProvider."""
        return self._credentials


def _end_search(response: Any, **_event: object) -> None:
    """Take a redirect that names no region for an answer: botocore asks a redirected bucket for its
    region, and if that is redirected, too, asks again.
    """
    if response is None or response[0].status_code not in _REDIRECTS:
        return
    if _REGION not in response[1].get("ResponseMetadata", {}).get("HTTPHeaders", {}):
        raise ClientError(response[1], "HeadBucket")


def _ask_chain() -> Credentials | None:
    # A new session: an old one remembers what it read from files.
    found: Credentials | None = get_session().get_credentials()
    return found


def _frozen(found: Credentials | None) -> ReadOnlyCredentials | None:
    return None if found is None else found.get_frozen_credentials()


def _timestamp(text: str) -> datetime:
    """As botocore does, but without the general parser, in which listings spend half their time."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        found: datetime = parse_timestamp(text)
        return found
