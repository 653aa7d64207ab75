"""The catalog's answers, kept for a while: by the clock, and when the catalog fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from artfs.engine.blocking import Threads
from artfs.errors import ArtifactNotFound, BackendUnavailable
from artfs.repository.facade import Repository
from artfs.vfs.name_cache import CatalogNames, FrozenNames
from tests.support.loops import on_standing_trio, time_passes
from tests.support.stores import commit, new_store


class FailingCatalog:
    """A catalog that counts what is asked of it, and fails on demand."""

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog
        self.asked = 0
        self.is_down = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._catalog, name)

        def ask(*arguments: Any, **named: Any) -> Any:
            self.asked += 1
            if self.is_down:
                raise BackendUnavailable("the catalog", "is down")
            return method(*arguments, **named)

        return ask


class Bench:
    def __init__(
        self, repository: Repository, catalog: FailingCatalog, names: CatalogNames
    ) -> None:
        self.repository = repository
        self.catalog = catalog
        self.names = names


@asynccontextmanager
async def bench(root: Path, *, ttl_s: float = 5.0) -> AsyncIterator[Bench]:
    with new_store(root) as repository:
        commit(repository, "p/a", {"x": b"0"})
        catalog = FailingCatalog(repository.catalog)
        repository.catalog = catalog
        async with trio.open_nursery() as nursery:
            names = CatalogNames(repository, Threads(), nursery, ttl_s=ttl_s, timeout_s=30)
            yield Bench(repository, catalog, names)
        catalog.is_down = False


@on_standing_trio
async def test_an_answer_holds_for_its_ttl_and_is_asked_for_again_then(tmp_path: Path) -> None:
    async with bench(tmp_path / "store") as here:
        first = await here.names.version("p", "a", "latest")
        assert first.value is not None
        assert first.ttl_s() == pytest.approx(5, abs=0.5)
        asked = here.catalog.asked
        commit(here.repository, "p/a", {"x": b"1"})
        here.catalog.asked = asked
        assert (await here.names.version("p", "a", "latest")).value == first.value
        assert here.catalog.asked == asked
        time_passes(5)
        second = await here.names.version("p", "a", "latest")
        assert second.value is not None
        assert second.value.version == "v1"


@on_standing_trio
async def test_r5_the_last_known_answer_stands_while_the_catalog_is_down(tmp_path: Path) -> None:
    async with bench(tmp_path / "store") as here:
        known = (await here.names.versions("p", "a")).value
        here.catalog.is_down = True
        for _ in range(3):
            time_passes(6)
            assert (await here.names.versions("p", "a")).value == known
        here.catalog.is_down = False
        commit(here.repository, "p/a", {"x": b"1"})
        time_passes(6)
        assert len((await here.names.versions("p", "a")).value.records) == 2


@on_standing_trio
async def test_r5_what_was_never_asked_is_an_error_while_the_catalog_is_down(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path / "store") as here:
        here.catalog.is_down = True
        for ask in (
            here.names.projects,
            lambda: here.names.artifacts("p"),
            lambda: here.names.artifact("p", "a"),
            lambda: here.names.version("p", "a", "v0"),
        ):
            with pytest.raises(BackendUnavailable):
                await ask()


@on_standing_trio
async def test_r5_an_old_not_found_is_no_answer_while_the_catalog_is_down(tmp_path: Path) -> None:
    async with bench(tmp_path / "store") as here:
        assert (await here.names.version("p", "a", "v1")).value is None
        here.catalog.is_down = True
        time_passes(6)
        with pytest.raises(BackendUnavailable):
            await here.names.version("p", "a", "v1")


@on_standing_trio
async def test_many_questions_at_once_are_asked_once(tmp_path: Path) -> None:
    async with bench(tmp_path / "store") as here:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(here.names.projects)
        assert here.catalog.asked == 1


@on_standing_trio
async def test_an_artifact_that_is_deleted_is_not_found_although_it_was_known(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path / "store") as here:
        artifact = (await here.names.artifact("p", "a")).value
        assert artifact is not None
        await here.names.versions("p", "a")
        here.repository.catalog.delete_artifact(artifact.id)
        time_passes(6)
        assert (await here.names.artifact("p", "a")).value is None
        with pytest.raises(ArtifactNotFound):
            await here.names.versions("p", "a")


@on_standing_trio
async def test_frozen_names_stay_as_they_were(tmp_path: Path) -> None:
    with new_store(tmp_path / "store") as repository:
        commit(repository, "p/a", {"x": b"0"}, aliases=("best",))
        frozen = FrozenNames.load(repository, project=None, name=None)
        commit(repository, "p/a", {"x": b"1"}, aliases=("best",))
        commit(repository, "q/b", {"x": b"1"})
        assert [each.name for each in (await frozen.projects()).value.records] == ["p"]
        assert [each.version for each in (await frozen.versions("p", "a")).value.records] == ["v0"]
        for selector in ("v0", "best", "latest"):
            found = (await frozen.version("p", "a", selector)).value
            assert found is not None
            assert found.version == "v0"
        assert (await frozen.version("p", "a", "v1")).value is None
        assert (await frozen.artifact("q", "b")).value is None
