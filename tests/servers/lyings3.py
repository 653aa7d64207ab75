"""An S3 server of one bucket that answers as a test wants: refusals, odd ETags, odd keys."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import msgspec

BUCKET = "bucket"
_DATE = "2026-01-02T03:04:05.000Z"
_HTTP_DATE = "Fri, 02 Jan 2026 03:04:05 GMT"


class Refusal(msgspec.Struct, frozen=True):
    """An error as S3 sends it; what `more` says stands in its XML, `headers` beside it."""

    status: int
    code: str
    message: str = "no"
    more: dict[str, str] = {}
    headers: dict[str, str] = {}

    @property
    def body(self) -> bytes:
        """Its XML."""
        fields = {"Code": self.code, "Message": self.message, **self.more}
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
        return f"<Error>{inner}</Error>".encode()


class Stored(msgspec.Struct, frozen=True):
    """An object, and the headers that tell more of it."""

    data: bytes
    headers: dict[str, str] = {}


def quoted(etag: str) -> str:
    """An ETag as the standard wants it."""
    return f'"{etag}"'


class LyingS3(ThreadingHTTPServer):
    """Change its attributes while it runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, Stored] = {}
        self.refuse: Callable[[BaseHTTPRequestHandler, str], Refusal | None] = lambda *_: None
        """Asked with each request and its key."""
        self.etags: dict[str, Callable[[str], str]] = {}
        """How listings ("list"), HEAD and GET spell an ETag, where that is not `quoted`."""
        self.edit_listing: Callable[[str], str] = lambda text: text
        """What becomes of a listing before it is sent."""
        self.left_out: set[str] = set()
        """Headers that no answer has."""
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, key: str, data: bytes, **headers: str) -> None:
        """Store an object."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.objects[key] = Stored(data, named)

    def etag(self, kind: str, data: bytes) -> str:
        """What an answer says."""
        return self.etags.get(kind, quoted)(hashlib.md5(data).hexdigest())


@contextmanager
def lying_s3() -> Iterator[LyingS3]:
    """A server that runs."""
    with LyingS3() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LyingS3

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def log_message(self, *args: object) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        query = {
            name: texts[0] for name, texts in parse_qs(url.query, keep_blank_values=True).items()
        }
        data = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.requests.append(f"{self.command} {key}")
        refusal = self.server.refuse(self, key)
        if refusal is None and bucket != BUCKET:
            refusal = Refusal(404, "NoSuchBucket")
        if refusal is not None:
            self._refuse(refusal)
        elif key:
            self._object(key, data)
        elif "versioning" in query:
            self._answer(200, {}, b"<VersioningConfiguration/>")
        else:
            self._answer(200, {}, self.server.edit_listing(self._listing(query)).encode())

    def _object(self, key: str, data: bytes) -> None:
        if self.command == "PUT":
            if self.headers["If-None-Match"] and key in self.server.objects:
                self._refuse(Refusal(412, "PreconditionFailed"))
                return
            self.server.put(key, data)
            self._answer(200, {"ETag": self.server.etag("put", data)}, b"")
            return
        found = self.server.objects.get(key)
        if found is None:
            self._refuse(Refusal(404, "NoSuchKey"))
            return
        etag = self.server.etag(self.command.lower(), found.data)
        if self.headers["If-Match"] not in {None, etag}:
            self._refuse(Refusal(412, "PreconditionFailed"))
            return
        headers = {"ETag": etag, "Last-Modified": _HTTP_DATE, **found.headers}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if asked is None:
            self._answer(200, headers, found.data)
            return
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(found.data))
        if start >= stop:
            self._refuse(Refusal(416, "InvalidRange"))
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(found.data)}"
        self._answer(206, headers, found.data[start:stop])

    def _listing(self, query: dict[str, str]) -> str:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, below = [], set()
        for key, found in sorted(self.server.objects.items()):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                below.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            etag = escape(self.server.etag("list", found.data))
            items.append(
                f"<Contents><Key>{quote(key)}</Key><LastModified>{_DATE}</LastModified>"
                f"<ETag>{etag}</ETag><Size>{len(found.data)}</Size></Contents>"
            )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{quote(each)}</Prefix></CommonPrefixes>"
            for each in sorted(below)
        )
        return (
            f"<ListBucketResult><Name>{BUCKET}</Name><EncodingType>url</EncodingType>"
            f"<IsTruncated>false</IsTruncated>{''.join(items)}{prefixes}</ListBucketResult>"
        )

    def _refuse(self, refusal: Refusal) -> None:
        self._answer(refusal.status, refusal.headers, refusal.body)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, text in headers.items():
            if name not in self.server.left_out:
                self.send_header(name, text)
        # An answer to HEAD has no body, so it does not say which error it is.
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
