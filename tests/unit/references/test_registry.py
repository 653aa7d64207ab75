"""Schemes, and the credentials that no URI keeps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from artfs.errors import InvalidArgument, Unsupported
from artfs.manifest.entries import ReferenceEntry
from artfs.references import registry
from artfs.references.base import ENTRY_POINT_GROUP, Described, Source, described
from artfs.references.registry import References


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize(
    "uri", ["odd://host/a?b=1#c", "ODD://Case/Kept", "odd:", "hdfs://n/\u00e9"]
)
def test_the_digest_of_an_unknown_scheme_is_the_uri_itself(uri: str, checksum: bool) -> None:
    [(path, entry)] = References().describe(uri, name="dir/x", checksum=checksum)
    assert (path, entry.name) == ("dir/x", "x")
    assert (entry.digest, entry.uri, entry.size_bytes) == (uri, uri, None)


def test_an_unknown_scheme_needs_a_name_and_cannot_be_read() -> None:
    references = References()
    with pytest.raises(InvalidArgument, match="needs a name") as caught:
        list(references.describe("odd://x"))
    assert isinstance(caught.value, ValueError)
    [(_, entry)] = references.describe("odd://x", name="x")
    with pytest.raises(Unsupported, match="'odd' cannot be read"):
        references.open(entry)


class _Hub:
    """A scheme of somebody else, who does not think of credentials."""

    def describe(
        self, uri: str, *, name: str | None, checksum: bool, max_objects: int | None
    ) -> Iterator[Described]:
        yield described(name or "model", uri, uri)

    def open(self, entry: ReferenceEntry) -> Source:
        raise Unsupported(entry.uri)


def test_an_installed_package_adds_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("hf", f"{__name__}:_Hub", ENTRY_POINT_GROUP)

    def installed(*, group: str, name: str) -> list[EntryPoint]:
        return [point] if (group, name) == (ENTRY_POINT_GROUP, "hf") else []

    monkeypatch.setattr("importlib.metadata.entry_points", installed)
    monkeypatch.setattr(EntryPoint, "load", lambda self: _Hub)
    [(path, _)] = References().describe("hf://user/model")
    assert path == "model"
    assert registry._BUILT_IN["s3"]


def test_no_handler_gets_credentials_into_an_entry(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        [(_, entry)] = References({"hf": _Hub()}).describe("hf://me:secret@host/x?token=abc")
    assert entry.uri == entry.digest == "hf://me@host/x"
    assert "without the credentials" in caplog.text
    assert "secret" not in caplog.text
    assert "abc" not in caplog.text
