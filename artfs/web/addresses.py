"""Where pages are: addresses made of names that may hold anything."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from artfs.catalog.records import VersionRecord

STATIC = "/-/static"


def quoted(part: str) -> str:
    """One part of a path."""
    return quote(part, safe="")


def project_url(project: str) -> str:
    """A project's artifacts."""
    return f"/p/{quoted(project)}"


def artifact_url(project: str, name: str) -> str:
    """An artifact's versions."""
    return f"/p/{quoted(project)}/{quoted(name)}"


def version_url(version: VersionRecord, page: str = "") -> str:
    """A version, as seen through what it was asked of, or a page of it."""
    base = f"{artifact_url(version.project, version.name)}/{version.version}"
    return f"{base}/{page}" if page else base


def files_url(version: VersionRecord, path: str = "") -> str:
    """A directory or file of a version."""
    return version_url(version, f"files/{quote(path)}")


def raw_url(version: VersionRecord, path: str) -> str:
    """The bytes of a file."""
    return version_url(version, f"raw/{quote(path)}")


def frame_url(version: VersionRecord, path: str) -> str:
    """A file as a page in a frame without rights."""
    return version_url(version, f"frame/{quote(path)}")


def with_query(path: str, **values: object) -> str:
    """An address with a query of the values that are not empty."""
    given = {name: str(value) for name, value in values.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given)}" if given else path


def local_path(text: str | None) -> str:
    """An address of this server where one was given, else the first page.

    Nobody is sent elsewhere: `//host` and `/\\\\host` lead away.
    """
    if text and text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable():
        return text
    return "/"


def run_url(project: str, run_id: str) -> str:
    """A run."""
    return f"/r/{quoted(project)}/{quoted(run_id)}"
