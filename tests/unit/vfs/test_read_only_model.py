"""A state machine of the read-only tree: it shows what a dict of versions says it should.

What is put, aliased and deleted while the tree is shown is seen after its answers' time at the
latest. Until then any answer is right that was so at some moment within that time.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import ClassVar, TypeVar

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from artfs.errors import ArtifactNotFound
from artfs.repository.facade import Repository
from tests.support.stores import commit, new_store
from tests.support.trees import TTL_S, ShownTree, show

T = TypeVar("T")

ARTIFACTS = st.sampled_from(["a", "b"])
ALIASES = st.sampled_from(["best", "\u00e9"])
SELECTORS = st.sampled_from(["v0", "v1", "v2", "latest", "best", "\u00e9"])
PATHS = st.sampled_from(["x", "-y", "d/x", "d/\n", "d/e/\u00e9"])
CONTENTS = st.dictionaries(PATHS, st.binary(max_size=8), max_size=4)


class Artifact(msgspec.Struct, frozen=True):
    """One artifact in the model."""

    versions: Mapping[str, Mapping[str, bytes]] = {}
    """What each version holds, oldest first."""
    aliases: Mapping[str, str] = {}

    def content(self, selector: str) -> Mapping[str, bytes] | None:
        return self.versions.get(self.aliases.get(selector, selector))

    def names(self) -> list[str]:
        return [*sorted(self.aliases), *self.versions]


State = Mapping[str, Artifact]


class Loop:
    """trio in a thread of its own, by a clock that stands still: it outlives the calls to it."""

    def __init__(self, repository: Repository, target: str) -> None:
        started: SimpleQueue[tuple[trio.lowlevel.TrioToken, ShownTree]] = SimpleQueue()
        self.clock = trio.testing.MockClock()
        self._over = trio.Event()

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                tree = await show(repository, nursery, target)
                started.put((trio.lowlevel.current_trio_token(), tree))
                await self._over.wait()
                nursery.cancel_scope.cancel()

        self._thread = threading.Thread(target=trio.run, args=(main,), kwargs={"clock": self.clock})
        self._thread.start()
        self._token, self.tree = started.get()

    def run(self, ask: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(ask, trio_token=self._token)

    def close(self) -> None:
        trio.from_thread.run_sync(self._over.set, trio_token=self._token)
        self._thread.join()


class ReadOnlyTree(RuleBasedStateMachine):
    """A project that is shown while it is changed; all runs have one store."""

    repository: ClassVar[Repository]
    numbers: ClassVar = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.project = f"p{next(self.numbers)}"
        first = commit(self.repository, f"{self.project}/a", {"x": b"first"})
        self.ids = {("a", "v0"): first.id}
        self.state: dict[str, Artifact] = {"a": Artifact({"v0": {"x": b"first"}}, {"latest": "v0"})}
        self.recent: list[State] = [dict(self.state)]
        self.loop = Loop(self.repository, self.project)

    def teardown(self) -> None:
        self.loop.close()

    def becomes(
        self,
        artifact: str,
        versions: Mapping[str, Mapping[str, bytes]],
        aliases: Mapping[str, str],
    ) -> None:
        self.state[artifact] = Artifact(versions, aliases)
        self.recent.append(dict(self.state))

    def been(self, ask: Callable[[State], T]) -> list[T]:
        """What was so at some moment for which an answer may still hold."""
        return [ask(state) for state in self.recent]

    # --- what changes a store ---------------------------------------------------------------

    @rule(artifact=ARTIFACTS, content=CONTENTS, aliases=st.lists(ALIASES, max_size=1))
    def put(self, artifact: str, content: dict[str, bytes], aliases: list[str]) -> None:
        path = f"{self.project}/{artifact}"
        version = commit(self.repository, path, content, aliases=tuple(aliases))
        before = self.state.get(artifact, Artifact())
        if before.content("latest") == content:
            assert version.version == before.aliases["latest"]
        else:
            assert version.version not in before.versions
        self.ids[artifact, version.version] = version.id
        moved = dict.fromkeys(["latest", *aliases], version.version)
        self.becomes(
            artifact,
            {**before.versions, version.version: content},
            {**before.aliases, **moved},
        )

    @precondition(lambda self: any(each.versions for each in self.state.values()))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        there = [(name, each) for name, one in self.state.items() for each in one.versions]
        artifact, gone = data.draw(st.sampled_from(there))
        self.repository.catalog.delete_version(self.ids[artifact, gone], delete_aliases=True)
        before = self.state[artifact]
        versions = {name: held for name, held in before.versions.items() if name != gone}
        aliases = {name: target for name, target in before.aliases.items() if target != gone}
        if versions and "latest" not in aliases:
            aliases["latest"] = list(versions)[-1]
        self.becomes(artifact, versions, aliases)

    # --- what is seen of it -----------------------------------------------------------------

    @rule(artifact=ARTIFACTS, selector=SELECTORS, path=PATHS)
    def read(self, artifact: str, selector: str, path: str) -> None:
        def expected(state: State) -> bytes | None:
            content = state.get(artifact, Artifact()).content(selector)
            return None if content is None else content.get(path)

        async def seen() -> bytes | None:
            tree = self.loop.tree
            where = f"{artifact}/{selector}/{path}"
            return None if await tree.found(where) is None else await tree.read(where)

        assert self.loop.run(seen) in self.been(expected)

    @rule(artifact=ARTIFACTS)
    def list_versions(self, artifact: str) -> None:
        def expected(state: State) -> list[str] | None:
            return state[artifact].names() if artifact in state else None

        async def seen() -> list[str] | None:
            tree = self.loop.tree
            try:
                return await tree.names(artifact) if await tree.found(artifact) else None
            except ArtifactNotFound:
                return None

        assert self.loop.run(seen) in self.been(expected)

    @rule()
    def list_artifacts(self) -> None:
        assert self.loop.run(lambda: self.loop.tree.names("")) in self.been(sorted)

    @rule()
    def time_passes(self) -> None:
        """Now all of it is as it is."""
        self.loop.clock.jump(TTL_S)
        self.recent = [dict(self.state)]
        expected = {
            f"{artifact}/{name}": one.content(name)
            for artifact, one in self.state.items()
            for name in one.names()
        }

        async def seen() -> dict[str, dict[str, bytes]]:
            tree = self.loop.tree
            return {
                f"{artifact}/{name}": await self.files(f"{artifact}/{name}")
                for artifact in await tree.names("")
                for name in await tree.names(artifact)
            }

        assert self.loop.run(seen) == expected

    async def files(self, top: str, below: str = "") -> dict[str, bytes]:
        """What the files below a directory of the tree hold."""
        tree, found = self.loop.tree, dict[str, bytes]()
        for name in await tree.names(f"{top}/{below}".rstrip("/")):
            path = f"{below}/{name}" if below else name
            node = await tree.node(f"{top}/{path}")
            if node.attributes.is_directory:
                found |= await self.files(top, path)
            else:
                found[path] = await tree.read(f"{top}/{path}")
                assert node.attributes.size_bytes == len(found[path])
        return found


@pytest.fixture(scope="module", autouse=True)
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with new_store(tmp_path_factory.mktemp("model") / "store") as ReadOnlyTree.repository:
        yield


TestReadOnlyTree = ReadOnlyTree.TestCase
TestReadOnlyTree.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
