"""Which handler reads which scheme; handlers are imported and made when first needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import msgspec

from artfs import forks
from artfs.credentials import is_malformed, without_credentials
from artfs.errors import InvalidArgument, InvalidName, PermissionDenied, Unsupported
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import split_entry_path
from artfs.references.base import (
    ENTRY_POINT_GROUP,
    Described,
    PreparingHandler,
    ReferenceHandler,
    Remark,
    Source,
    UnusableKey,
    described,
)

if TYPE_CHECKING:
    from artfs.references.base import ForwardingHandler

logger = logging.getLogger(__name__)

_MAX_CHAIN = 64
_FILE = "file"
# Not real entry points, so that they work from a checkout and are found without a search.
_BUILT_IN = {
    "file": "artfs.references.file:FileHandler",
    "http": "artfs.references.http:HttpHandler",
    "https": "artfs.references.http:HttpHandler",
    "s3": "artfs.references.s3:S3Handler",
    "gs": "artfs.references.gcs:GcsHandler",
}


class UnknownHandler:
    """Implements ReferenceHandler: the digest is the URI itself, and there is no size."""

    def describe(
        self,
        uri: str,
        *,
        name: str | None,
        checksum: bool,  # noqa: ARG002 - the port's signature
        max_objects: int | None,  # noqa: ARG002 - the port's signature
    ) -> Iterator[Described]:
        """See ReferenceHandler; a name is mandatory."""
        public = without_credentials(uri)
        if name is None:
            raise InvalidArgument(
                public, "a reference with an unknown scheme needs a name", hint="pass name="
            )
        logger.warning("%s: a reference with an unknown scheme cannot be checksummed", public)
        yield described(name, public, public)

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler."""
        scheme = entry.uri.partition(":")[0].lower()
        raise Unsupported(
            entry.uri,
            f"references of the scheme {scheme!r} cannot be read",
            hint=f"install a package that handles {scheme}:// for artfs",
        )


class References:
    """All schemes that can be referred to. Thread-safe.

    `handlers` come before those that are built in or installed: a repository passes the ones
    that need it, a test passes clients of its own.
    """

    def __init__(
        self,
        handlers: Mapping[str, ReferenceHandler] | None = None,
        *,
        makers: Mapping[str, Callable[[], ReferenceHandler]] | None = None,
    ) -> None:
        """`makers` make the handlers of further schemes when these are needed."""
        self._lock = forks.lock()
        self._given = dict(handlers or {})
        self._handlers = dict(self._given)
        self._makers = dict(makers or {})
        forks.in_child(self._forget_loaded)
        self._refused: dict[str, tuple[str, str]] = {}
        self._only_public_files = False

    def describe(
        self,
        uri: str,
        *,
        name: str | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
        skip_invalid: bool = False,
        on_remark: Callable[[Remark], None] | None = None,
    ) -> Iterator[Described]:
        """Pin what `uri` names; see ReferenceHandler.describe.

        `max_objects` of None or 0 is the scheme's default: 10,000 for buckets, else no limit.
        Credentials in `uri` are used for the request and not stored; a warning is logged.
        `on_remark` hears of directories, listings, and keys that cannot be paths: these are an
        error in the end, unless told to skip them.
        Raises: InvalidArgument (a ValueError), also for a URI without a scheme or an unknown
        scheme without a name; InvalidName for keys that cannot be paths; and what the handler
        raises.
        """
        if max_objects is not None and max_objects < 0:
            raise InvalidArgument("max_objects", f"{max_objects} is negative")
        handler = self.handler(uri)
        public = without_credentials(uri)
        if is_malformed(uri):
            raise InvalidArgument(
                public,
                "malformed: what is before its `@` cannot be told from its host",
                hint="write its password's `/`, `?`, `#`, `@` and backslashes percent-encoded",
            )
        if public != uri:
            logger.warning(
                "%s: stored without the credentials in its URI; reading it needs others", public
            )
        if name:
            split_entry_path(name)
        found = handler.describe(
            uri, name=name or None, checksum=checksum, max_objects=max_objects or None
        )
        count, unusable = 0, list[UnusableKey]()
        for item in found:
            if isinstance(item, tuple):
                count += 1
                yield item[0], _public(item[1])
                continue
            if isinstance(item, UnusableKey):
                unusable.append(item)
            if on_remark is not None:
                on_remark(item)
        if unusable and (not skip_invalid or not count):
            raise _invalid(public, unusable, can_skip=not skip_invalid)

    def refuse(self, scheme: str, reason: str, *, hint: str) -> None:
        """From now on, read nothing that entries of this scheme refer to."""
        self._refused[scheme] = (reason, hint)

    def limit_files(self, *, only_public: bool) -> None:
        """From now on, read only those local files that everybody may read; or all of them."""
        with self._lock:
            self._only_public_files = only_public
            self._refused.pop(_FILE, None)
            self._limit(self._handlers.get(_FILE))

    def _limit(self, handler: ReferenceHandler | None) -> None:
        if handler is not None and hasattr(handler, "only_public"):
            handler.only_public = self._only_public_files

    def open(self, entry: ReferenceEntry) -> Source:
        """Prepare reading an entry; no I/O.

        Raises: Unsupported, InvalidArgument; PermissionDenied for a scheme that is refused.
        """
        refused = self._refused.get(_scheme(entry.uri))
        if refused is not None:
            reason, hint = refused
            raise PermissionDenied(entry.uri, reason, hint=hint)
        return self.handler(entry.uri).open(entry)

    def resolve(self, entry: ReferenceEntry) -> FileEntry | ReferenceEntry:
        """The entry itself, or what it refers to in another version, through all chains.

        Blocks: on the catalog. Raises: ReferenceChanged, InvalidArgument.
        """
        found: FileEntry | ReferenceEntry = entry
        for _ in range(_MAX_CHAIN):
            if not isinstance(found, ReferenceEntry):
                return found
            handler = self.handler(found.uri)
            # Asked for each file that is opened: isinstance with a protocol is slow.
            if not hasattr(handler, "target"):
                return found
            found = cast("ForwardingHandler", handler).target(found)
        raise InvalidArgument(entry.uri, f"a chain of more than {_MAX_CHAIN} references")

    def _forget_loaded(self) -> None:
        # Of a handler that was installed nobody knows what it has open.
        self._handlers = dict(self._given)

    def prepare(self, uri: str) -> None:
        """Do ahead what reading the first such reference would wait for. Blocks: some 0.3 s.

        Raises: InvalidArgument, PermissionDenied, BackendUnavailable.
        """
        handler = self.handler(uri)
        if isinstance(handler, PreparingHandler):
            handler.prepare()

    def handler(self, uri: str) -> ReferenceHandler:
        """The handler of a URI's scheme; UnknownHandler where there is none.

        Raises: InvalidArgument for a URI without a scheme.
        """
        scheme = _scheme(uri)
        with self._lock:
            found = self._handlers.get(scheme)
            if found is None:
                make = self._makers.get(scheme)
                found = self._handlers[scheme] = _load(scheme) if make is None else make()
                self._limit(found)
            return found


def _scheme(uri: str) -> str:
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise InvalidArgument(without_credentials(uri), str(error)) from None
    if not scheme:
        raise InvalidArgument(
            without_credentials(uri),
            "references must be URIs",
            hint="to reference a local file, use file://",
        )
    return scheme


def _load(scheme: str) -> ReferenceHandler:
    built_in = _BUILT_IN.get(scheme)
    make: Callable[[], ReferenceHandler]
    if built_in is not None:
        module, _, name = built_in.partition(":")
        make = getattr(import_module(module), name)
        return make()
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and seldom needed

    for point in entry_points(group=ENTRY_POINT_GROUP, name=scheme):
        make = point.load()
        return make()
    return UnknownHandler()


def _invalid(uri: str, unusable: list[UnusableKey], *, can_skip: bool) -> InvalidName:
    first, more = unusable[0], len(unusable) - 1
    beside = f", and so are {more:,} more" if more else ""
    return InvalidName(
        uri,
        f"{first.key!r} cannot be a path in an artifact: {first.reason}{beside}",
        hint="`--skip-invalid` (skip_invalid=True) leaves them out"
        if can_skip
        else "there is nothing else",
    )


def _public(entry: ReferenceEntry) -> ReferenceEntry:
    """The entry without credentials, whatever its handler put in."""
    public = without_credentials(entry.uri)
    if public == entry.uri:
        return entry
    digest = public if entry.digest == entry.uri else entry.digest
    return msgspec.structs.replace(entry, uri=public, digest=digest)
