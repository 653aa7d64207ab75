"""What a mount does ahead for whoever reads references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import trio

from artfs.engine.blocking import Threads
from artfs.engine.fetch import Fetcher
from artfs.errors import PermissionDenied, Unsupported
from artfs.manifest.entries import ReferenceEntry
from artfs.model import Digest
from artfs.mounts.messages import Counters
from artfs.references.base import Described, Source, described
from artfs.references.registry import References
from artfs.repository.stores import create_store, open_store
from artfs.vfs.content_opener import ContentOpener
from artfs.vfs.service import Service
from tests.support.loops import on_trio
from tests.support.stores import commit_references


class Hub:
    """A scheme whose client takes long to make, and may be refused."""

    def __init__(self) -> None:
        self.prepared = Event()
        self.count = 0

    def describe(
        self, uri: str, *, name: str | None, checksum: bool, max_objects: int | None
    ) -> Iterator[Described]:
        yield described(name or "model", uri, uri)

    def open(self, entry: ReferenceEntry) -> Source:
        raise Unsupported(entry.uri)

    def prepare(self) -> None:
        self.count += 1
        self.prepared.set()
        raise PermissionDenied("hub", "no credentials")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    load = References.handler
    monkeypatch.setattr(
        References,
        "handler",
        lambda self, uri: hub if uri.startswith("hub:") else load(self, uri),
    )
    return hub


@on_trio
async def test_a_directory_of_references_prepares_their_client_once(
    tmp_path: Path, hub: Hub
) -> None:
    create_store(tmp_path / "store", entity="team")
    with open_store(str(tmp_path / "store")) as repository:
        versions = [
            commit_references(repository, "p/hub", a="hub://a", b=f"hub://b{number}", c="odd://c")
            for number in range(2)
        ]
    async with trio.open_nursery() as nursery:
        repository = open_store(str(tmp_path / "store"))
        threads = Threads()
        fetcher = Fetcher(nursery, threads, Counters(), timeout_s=5)
        contents = ContentOpener(
            repository, threads, fetcher, nursery, flight_timeout_s=5, read_timeout_s=5
        )
        service = Service(repository, threads, contents, nursery, flight_timeout_s=5)
        for version in versions:
            await service.prepare(version.tree)
        with trio.fail_after(5):
            await trio.to_thread.run_sync(hub.prepared.wait, 5)
        # What is not there is told to whoever asks for it.
        await service.prepare(Digest(b"x" * 32))
    repository.close()
    assert hub.count == 1
