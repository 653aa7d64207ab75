"""A mounted random tree is what a dict says it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.facade import Repository
from tests.support.mounts import mounting, own_runtime
from tests.support.stores import File, Item, Link, commit, new_store

NAMES = st.one_of(
    st.sampled_from(["a", "b", "a.b", "-x", ".hidden", "\u00e9", "e\u0301", "\U0001f600", "\n"]),
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
    ).filter(lambda name: name not in {".", ".."} and len(name.encode()) <= 255),
)
SIZES = st.one_of(
    st.integers(0, 70),
    st.integers(0, 300_000),
    st.integers(BLOCK_SIZE_BYTES - 2, BLOCK_SIZE_BYTES + 2),
)
FILES = st.builds(
    lambda size, seed, executable, mtime_ns: File(
        (b"%d," % seed * (size // 2 + 1))[:size], executable, mtime_ns
    ),
    SIZES,
    st.integers(0, 3),
    st.booleans(),
    st.integers(-(2**40), 2**62),
)
LINKS = st.builds(
    Link,
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=4).map("/".join), st.one_of(FILES, LINKS), max_size=12
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Path]]:
    """A store and where it is mounted, for all examples."""
    root = tmp_path_factory.mktemp("model")
    with ExitStack() as stack:
        stack.enter_context(own_runtime())
        repository = stack.enter_context(new_store(root / "store"))
        mounted = stack.enter_context(mounting(root))
        commit(repository, "p/a", {})
        yield repository, mounted(repository, "p/a", alias_ttl_s=0.0)


def without_conflicts(tree: dict[str, Item]) -> dict[str, Item]:
    """The items of `tree` that no other one needs to be a directory."""
    parents = {path[:end] for path in tree for end in range(len(path)) if path[end] == "/"}
    return {path: item for path, item in tree.items() if path not in parents}


def seen(root: Path) -> dict[str, Item]:
    """The mounted tree as a dict."""
    found: dict[str, Item] = {}
    for directory, subdirectories, names in os.walk(root):
        here = Path(directory)
        links = [name for name in subdirectories if (here / name).is_symlink()]
        for name in [*names, *links]:
            path = here / name
            status = path.lstat()
            where = str(path.relative_to(root))
            if stat.S_ISLNK(status.st_mode):
                found[where] = Link(os.readlink(path))  # noqa: PTH115 - as it is, not as a path is written
                assert status.st_size == len(os.readlink(os.fsencode(path)))  # noqa: PTH115 - so is this
            else:
                data = path.read_bytes()
                assert status.st_size == len(data)
                executable = bool(status.st_mode & 0o111)
                found[where] = File(data, executable, status.st_mtime_ns)
    return found


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(trees=st.lists(TREES, min_size=1, max_size=2))
def test_a_mount_shows_what_was_committed(
    store: tuple[Repository, Path], trees: list[dict[str, Item]]
) -> None:
    repository, root = store
    versions = [(commit(repository, "p/a", tree), tree) for tree in map(without_conflicts, trees)]
    for version, tree in versions:
        assert seen(root / version.version) == tree
    assert seen(root / "latest") == versions[-1][1]
