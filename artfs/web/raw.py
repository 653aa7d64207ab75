"""The bytes of files, for pages to show and people to keep; none of them is ever a page.

Content comes from whoever wrote a version. A browser takes it for what its name says only where
that can do nothing, and never for something of this server's: it gets no origin, runs nothing and
loads nothing.
"""

from __future__ import annotations

from urllib.parse import quote

from artfs.content.base import Content
from artfs.errors import PathNotFound, Unsupported
from artfs.manifest.entries import Entry, FileEntry, ReferenceEntry
from artfs.server.downloads import Found
from artfs.web.context import Asked
from artfs.web.rendering import SAFE_HEADERS

IMAGES = {
    "apng": "image/apng",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}
AUDIO = {
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
}
VIDEO = {"m4v": "video/mp4", "mov": "video/quicktime", "mp4": "video/mp4", "webm": "video/webm"}
_TYPES = IMAGES | AUDIO | VIDEO
_OTHER = "application/octet-stream"
_KEPT_S = 60

_RAW_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_FRAME_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "media-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)


def suffix(path: str) -> str:
    """What a file is said to be: `png` of `a/b.PNG`."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def content_of(asked: Asked, entry: FileEntry | ReferenceEntry) -> Content:
    """The bytes of an entry, lazily.

    A reference is only followed for whoever runs this server: it leads to where its writer likes,
    and is read with this server's rights.
    Blocks and raises as Repository.content; Unsupported.
    """
    if isinstance(entry, ReferenceEntry) and not asked.visitor.sees_host:
        raise Unsupported(
            entry.name,
            "is a reference, which this server follows for nobody",
            hint="download or mount the version",
        )
    return asked.repository.content(entry)


def leaf(asked: Asked) -> tuple[str, FileEntry | ReferenceEntry]:
    """The file that the address names, and its path. Raises: PathNotFound."""
    version = asked.version()
    path = asked.part("path")
    return path, require_leaf(asked.repository.find(version.tree, path), path)


def require_leaf(entry: Entry, path: str) -> FileEntry | ReferenceEntry:
    """What has bytes. Raises: PathNotFound."""
    if isinstance(entry, FileEntry | ReferenceEntry):
        return entry
    raise PathNotFound(path, "is no file")


def raw_bytes(asked: Asked) -> Found:
    """A file for an element of a page that can only show it, or for the disk."""
    path, entry = leaf(asked)
    media_type = _TYPES.get(suffix(path), _OTHER)
    inline = media_type != _OTHER and not asked.text("download")
    name = quote(entry.name, safe="")
    disposition = "inline" if inline else f"attachment; filename*=UTF-8''{name}"
    headers = {"Content-Disposition": disposition, "Content-Security-Policy": _RAW_POLICY}
    return _bytes(asked, entry, headers, media_type)


def frame_bytes(asked: Asked) -> Found:
    """An HTML file for a frame that has no origin, runs nothing and reaches nothing."""
    path, entry = leaf(asked)
    if suffix(path) not in {"html", "htm"}:
        raise PathNotFound(path, "is no HTML file")
    if asked.request.headers.get("sec-fetch-dest", "iframe") not in {"iframe", "frame"}:
        # As a page of its own it would have this server's address for a name.
        raise Unsupported(path, "is only shown in a frame", hint="look at it among the files")
    return _bytes(
        asked, entry, {"Content-Security-Policy": _FRAME_POLICY}, "text/html; charset=utf-8"
    )


def _bytes(
    asked: Asked, entry: FileEntry | ReferenceEntry, headers: dict[str, str], media_type: str
) -> Found:
    sent = {
        **SAFE_HEADERS,
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={_KEPT_S}",
        **headers,
    }
    if isinstance(entry, FileEntry):
        sent["ETag"] = f'"{entry.sha256.hex()}"'
        return Found(lambda: content_of(asked, entry), entry.size_bytes, sent, media_type)
    # How large the object of a reference is, its server may be the only one to know.
    content = content_of(asked, entry)
    return Found(lambda: content, content.size_bytes, sent, media_type)
