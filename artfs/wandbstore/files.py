"""`wandb://` as a scheme of references: files of versions on a W&B server, by ranges.

What the server shows has the place of each file beside it. Where only its address is known (a
version of another store refers to it), the place is looked up in the manifest of its version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import basename
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import requests
from cachetools import LRUCache

from artfs import forks
from artfs.blobs.cache import BlockCache
from artfs.catalog.records import VersionRecord
from artfs.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    InvalidManifest,
    NotFound,
    PathNotFound,
    PermissionDenied,
    ReferenceChanged,
)
from artfs.manifest.entries import BIRTH, DirectoryEntry, Entry, Pin, ReferenceEntry
from artfs.manifest.tree import walk
from artfs.model import ByteRange
from artfs.references import bodies, codings, web
from artfs.references.artifact import ArtifactHandler, is_artifact_reference
from artfs.references.base import (
    Body,
    Described,
    Observed,
    Source,
    SourceGone,
    TransientFailure,
    described,
    limit_error,
)
from artfs.system import httpget
from artfs.system.httpget import RawBody
from artfs.wandbstore.address import FileAddress, ServerAddress, parse_file
from artfs.wandbstore.client import WandbServer
from artfs.wandbstore.manifests import LAYOUT, REGION
from artfs.wandbstore.names import Names
from artfs.wandbstore.trees import Trees

_MAX_VERSIONS = 4096
_IDENTITY = {"Accept-Encoding": "identity"}
_NO_SEGMENTS = frozenset({".", ".."})


class Connection:
    """One server with what is known of it."""

    def __init__(self, server: WandbServer, cache: BlockCache) -> None:
        self.server = server
        self.trees = Trees(server, cache)
        self.names = Names(server, self.trees)
        self._lock = forks.lock()
        self._versions: LRUCache[FileAddress, VersionRecord] = LRUCache(_MAX_VERSIONS)

    def version(self, address: FileAddress) -> VersionRecord:
        """The version that an address names; it never changes. Blocks: on the server.

        Raises: NotFound, BackendUnavailable, PermissionDenied.
        """
        key = msgspec.structs.replace(address, path="")
        with self._lock:
            found = self._versions.get(key)
        if found is None:
            found = self.names.version(
                address.entity, address.project, address.name, address.selector
            )
            if address.selector == found.version:
                with self._lock:
                    self._versions[key] = found
        return found

    def find_entry(self, version_id: str, path: str, *, deleted: bool) -> Entry:  # noqa: ARG002 - the port's
        """See artfs.references.artifact.Versions."""
        version = self.names.version_by_id("", version_id)
        return self.trees.find(version.tree, path)

    def version_id(self, artifact_path: str) -> str:
        """See artfs.references.artifact.Versions: a server knows ids only."""
        raise PathNotFound(artifact_path, "is no version on a W&B server")


class WandbHandler:
    """Implements ReferenceHandler."""

    def __init__(self, *, cache: BlockCache, connection: Connection | None = None) -> None:
        """`connection` is one to a server that a person named."""
        self._cache = cache
        self._lock = forks.lock()
        self._connections: dict[ServerAddress, Connection] = {}
        if connection is not None:
            self._connections[connection.server.address] = connection

    def connection(self, address: ServerAddress) -> Connection:
        """What asks a server. Blocks: on small files. Raises: ConfigError."""
        with self._lock:
            found = self._connections.get(address)
            if found is None:
                server = WandbServer(address, named=False)
                found = self._connections[address] = Connection(server, self._cache)
            return found

    def describe(
        self,
        uri: str,
        *,
        name: str | None,
        checksum: bool,  # noqa: ARG002 - what is in a version is always known
        max_objects: int | None,
    ) -> Iterator[Described]:
        """See ReferenceHandler: a file, or all below a directory of a version."""
        address = parse_file(uri)
        connection = self.connection(address.server)
        version = connection.version(address)
        pinned = msgspec.structs.replace(address, selector=version.version)
        if not address.path:
            root: Entry = version.root
        else:
            root = connection.trees.find(version.tree, address.path)
        if isinstance(root, ReferenceEntry):
            yield self._described(connection, name or basename(address.path), pinned, root)
            return
        if not isinstance(root, DirectoryEntry):
            raise PathNotFound(uri, "is neither a file nor a directory of that version")
        count = 0
        for path, entry in walk(connection.trees.directory, root.sha256):
            if not isinstance(entry, ReferenceEntry):
                continue
            count += 1
            if max_objects is not None and count > max_objects:
                raise limit_error(uri, max_objects)
            full = f"{address.path}/{path}" if address.path else path
            at = msgspec.structs.replace(pinned, path=full)
            yield self._described(connection, f"{name}/{path}" if name else path, at, entry)
        if not count:
            raise PathNotFound(uri, "there is nothing in it")

    def _described(
        self, connection: Connection, path: str, at: FileAddress, entry: ReferenceEntry
    ) -> Described:
        if is_artifact_reference(entry.uri):
            found = ArtifactHandler(connection).target(entry)
            assert isinstance(found, ReferenceEntry)
            entry = msgspec.structs.replace(entry, uri=found.uri, size_bytes=found.size_bytes)
            extra, uri = dict[str, Any](), found.uri
        elif entry.is_server_file:
            extra, uri = dict[str, Any](), str(at)
        else:
            extra, uri = entry.extra, entry.uri
        return described(
            path,
            uri,
            entry.digest,
            size_bytes=entry.size_bytes,
            pin=entry.pin,
            extra=extra,
            mtime_ns=entry.mtime_ns,
        )

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler."""
        return FileSource(self, entry, parse_file(entry.uri))


class FileSource:
    """Implements Source."""

    def __init__(self, handler: WandbHandler, entry: ReferenceEntry, address: FileAddress) -> None:
        self._handler = handler
        self._entry = entry
        self._address = address
        self._path: str | None = None
        """Where the server has it."""
        self._elsewhere: str | None = None
        """A URL that the server redirected to, which is signed and holds for a while."""

    def observe(self, *, timeout_s: float) -> Observed:
        """See Source."""
        with self._get({"Range": "bytes=0-0"}, timeout_s) as response:
            if web.is_coded(response.status_code, response.headers):
                codings.decodable(response.headers, subject=self._entry.uri)
                return Observed(None, self._entry.pin)
            found = web.extent(response.status_code, response.headers, subject=self._entry.uri)
        size_bytes = found.total
        self._check_size(size_bytes)
        return Observed(size_bytes, self._entry.pin)

    def read(self, span: ByteRange, *, timeout_s: float) -> Body:
        """See Source."""
        subject = self._entry.uri
        asked = {"Range": f"bytes={span.start}-{span.stop - 1}"}
        answer = self._answered(asked, timeout_s)
        if answer is not None:
            return self._body(span, answer.raw, status=answer.status, headers=answer.headers)
        response = web.not_a_coded_part(
            self._get(asked, timeout_s), lambda: self._get({}, timeout_s), subject=subject
        )
        status, headers = response.status_code, response.headers
        if not web.is_coded(status, headers):
            return self._body(span, response.raw, status=status, headers=headers)
        try:
            return bodies.decoded_body(response.raw, subject=subject)
        except BaseException:
            response.close()
            raise

    def _body(
        self, span: ByteRange, raw: RawBody, *, status: int, headers: Mapping[str, str]
    ) -> Body:
        subject = self._entry.uri
        try:
            found = web.extent(status, headers, subject=subject)
            self._check_size(found.total)
            web.check_span(found, span, subject=subject)
            return bodies.body(raw, found, subject=subject, whole=status == 200)
        except BaseException:
            raw.close()
            raise

    def _answered(self, asked: Mapping[str, str], timeout_s: float) -> httpget.Answer | None:
        """What the server answers at once; None where the session has to ask."""
        if self._elsewhere is not None:
            return None
        connection = self._handler.connection(self._address.server)
        if self._path is None:
            self._path = self._located(connection)
        subject = self._entry.uri
        answer = connection.server.read(self._path, {**asked, **_IDENTITY}, timeout_s=timeout_s)
        if answer is None:
            return None
        if answer.status >= 400:
            answer.raw.close()
            pause = answer.headers.get("Retry-After")
            raise web.status_error(subject, answer.status, retry_after=pause)
        try:
            codings.check_transfer(answer.headers, subject=subject)
        except BaseException:
            answer.raw.close()
            raise
        if web.is_coded(answer.status, answer.headers):
            answer.raw.close()
            return None
        return answer

    def open_local(self) -> None:
        """See Source."""
        return

    def _check_size(self, total: int | None) -> None:
        size = self._entry.size_bytes
        if total is not None and size is not None and total != size:
            # A version never changes: somebody on the way, or the server, lies.
            raise TransientFailure(
                self._entry.uri, f"has {size} bytes by its manifest, the server says {total}"
            )

    def _get(self, headers: Mapping[str, str], timeout_s: float) -> requests.Response:
        connection = self._handler.connection(self._address.server)
        server = connection.server
        asked: dict[str, str | None] = {**headers, **_IDENTITY}
        known = self._elsewhere
        if known is not None:
            try:
                return web.send(
                    server.session,
                    known,
                    subject=self._entry.uri,
                    headers=asked,
                    timeout_s=timeout_s,
                    anonymous=True,
                )
            except (TransientFailure, DeadlineExceeded):
                raise
            except (PermissionDenied, ReferenceChanged, BackendUnavailable):
                # It has expired: the server gives another one.
                self._elsewhere = None
        if self._path is None:
            self._path = self._located(connection)
        try:
            response = web.send(
                server.session,
                server.with_key(self._path),
                subject=self._entry.uri,
                headers=asked,
                timeout_s=timeout_s,
            )
        except PermissionDenied as error:
            hint = server.key_hint if "refused (" in error.reason else error.hint
            raise PermissionDenied(self._entry.uri, error.reason, hint=hint) from None
        server.answers_itself = _origin(response.url) == _origin(server.base_url)
        if not server.answers_itself:
            self._elsewhere = response.url
        return response

    def _located(self, connection: Connection) -> str:
        """The path of the content on its server. Raises: ReferenceChanged, InvalidManifest."""
        entry = self._entry
        if BIRTH not in entry.extra:
            entry = self._looked_up(connection)
        md5 = entry.pin.md5
        if md5 is None:
            raise InvalidManifest(
                entry.uri, f"its digest {entry.digest[:60]!r} is no md5, which artfs reads by"
            )
        if entry.extra.get(LAYOUT) is not None:
            parts: list[object] = ["artifacts", self._address.entity, md5.hex()]
        else:
            region = entry.extra.get(REGION, "default")
            parts = ["artifactsV2", region, self._address.entity, entry.extra[BIRTH], md5.hex()]
        # As W&B's clients write it: an id of base64 may have a slash, which stays one.
        texts = [each for each in parts if isinstance(each, str) and each]
        place = "/".join(texts)
        if len(texts) < len(parts) or not _NO_SEGMENTS.isdisjoint(place.split("/")):
            raise InvalidManifest(entry.uri, "its place on the server is none")
        return f"/{quote(place)}"

    def _looked_up(self, connection: Connection) -> ReferenceEntry:
        """The entry as its own version has it."""
        entry = self._entry
        try:
            version = connection.version(self._address)
            found = connection.trees.find(version.tree, self._address.path)
        except NotFound as error:
            raise SourceGone(entry.uri, f"it is gone ({error.reason})") from None
        if not isinstance(found, ReferenceEntry) or not found.is_server_file:
            raise ReferenceChanged(entry.uri, "it is no file of that version")
        if found.digest != entry.digest or entry.pin not in {found.pin, Pin()}:
            raise ReferenceChanged(
                entry.uri, f"pinned with digest {entry.digest}, it now has {found.digest}"
            )
        return found


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]
