"""What a read-only mount shows, asked of the tree itself: names, attributes, bytes and errors."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from artfs.errors import (
    AliasNotFound,
    ArtfsError,
    ArtifactNotFound,
    BlobNotFound,
    IntegrityError,
    InvalidManifest,
    InvalidName,
    PathNotFound,
    ReferenceChanged,
    Unsupported,
    VersionNotFound,
)
from artfs.manifest.directory import encode_directory
from artfs.manifest.entries import (
    DirectoryEntry,
    Entry,
    FileEntry,
    Pin,
    ReferenceEntry,
    SymlinkEntry,
)
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.repository.facade import Repository
from artfs.vfs.tree import MeasurableNode, resolve_target
from tests.support.loops import on_standing_trio, on_trio, time_passes
from tests.support.stores import (
    EmptyDirectory,
    File,
    Item,
    Link,
    commit,
    commit_encoded,
    commit_references,
    new_store,
)
from tests.support.trees import TTL_S, ShownTree, shown

ODD_NAMES = [
    "-x",
    ".hidden",
    "\n",
    " ",
    "\u00e9",
    "e\u0301",
    "\U0001f600",
    "x" * 255,
    "v0",
    "latest",
]
NO_NAMES = ["", ".", "..", "a/b", "x\0", "x" * 300, "\udcff", ":", "v-1", "v01", "a" * 64]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with new_store(tmp_path / "store") as repository:
        yield repository


# --- names -------------------------------------------------------------------------------------


@on_trio
async def test_every_level_lists_what_can_be_looked_up_in_it(repository: Repository) -> None:
    commit(
        repository, "p/a", {"d/x": b"1", "f": b"22", "empty": EmptyDirectory()}, aliases=("best",)
    )
    commit(repository, "p/a", {"f": b"3"})
    commit(repository, "q/b", {"f": b"4"})
    async with shown(repository) as here:
        assert await here.names("") == ["p", "q"]
        assert await here.names("p") == ["a"]
        assert await here.names("p/a") == ["best", "latest", "v0", "v1"]
        assert await here.names("p/a/best") == ["d", "empty", "f"]
        assert await here.names("p/a/v0/empty") == []
        assert await here.read("p/a/v0/d/x") == b"1"
        assert await here.read("p/a/best/f") == b"22"
        assert await here.read("p/a/latest/f") == b"3"
        assert await here.read("q/b/v0/f") == b"4"


@on_trio
@pytest.mark.parametrize("name", NO_NAMES)
async def test_what_nothing_can_be_called_is_nothing_at_every_level(
    repository: Repository, name: str
) -> None:
    commit(repository, "p/a", {"d/x": b"1"})
    async with shown(repository) as here:
        for path in ("", "p", "p/a", "p/a/v0", "p/a/v0/d"):
            assert (await (await here.directory(path)).lookup(name)).found is None


@on_trio
async def test_a_path_names_versions_by_number_and_alias_and_by_nothing_else(
    repository: Repository,
) -> None:
    version = commit(repository, "p/a", {"x": b"1"})
    async with shown(repository, "p/a") as here:
        for selector in (version.digest, version.id, "v1", "V0", "latest "):
            assert await here.found(selector) is None


@on_trio
async def test_odd_names_are_told_apart_and_read(repository: Repository) -> None:
    content = {name: name.encode() for name in ODD_NAMES}
    commit(repository, "p/a", content)
    async with shown(repository, "p/a:v0") as here:
        assert await here.names("") == sorted(ODD_NAMES, key=str.encode)
        for name in ODD_NAMES:
            assert await here.read(name) == name.encode()


@on_trio
async def test_a_listing_goes_on_from_every_place(repository: Repository) -> None:
    names = [f"{number:04}" for number in range(600)]
    commit(repository, "p/a", {name: b"" if int(name) % 50 else EmptyDirectory() for name in names})
    async with shown(repository, "p/a:v0") as here:
        root = here.tree.root
        listing = await root.listing()
        for start in (0, 1, 255, 256, 257, 599):
            chunk = await listing.chunk(start)
            assert chunk
            assert [each.name for each in chunk] == names[start : start + len(chunk)]
            for each in chunk[:2]:
                looked_up = (await root.lookup(each.name)).found
                assert looked_up is not None
                assert looked_up.attributes == each.attributes
                child = each.node or await root.child(each.position)
                assert child.attributes == each.attributes
        assert await listing.chunk(600) == []
        assert await listing.chunk(10_000) == []
        with pytest.raises(PathNotFound):
            await root.child(600)


@on_trio
async def test_names_hold_for_a_while_and_what_is_in_a_version_for_ever(
    repository: Repository,
) -> None:
    commit(repository, "p/a", {"d/x": b"1"})
    async with shown(repository) as here:
        for path, name in (("", "p"), ("p", "a"), ("p/a", "v0"), ("", "no"), ("p/a", "no")):
            directory = await here.directory(path)
            assert 0 < (await directory.lookup(name)).ttl_s <= TTL_S
            assert 0 < (await directory.listing()).ttl_s() <= TTL_S
        for path, name in (("p/a/v0", "d"), ("p/a/v0/d", "x"), ("p/a/v0", "no")):
            directory = await here.directory(path)
            assert (await directory.lookup(name)).ttl_s == math.inf
            assert (await directory.listing()).ttl_s() == math.inf


# --- aliases -----------------------------------------------------------------------------------


async def identity(here: ShownTree, path: str) -> int:
    return (await here.node(path)).attributes.identity


@on_standing_trio
async def test_an_alias_moves_when_its_answer_is_old_and_who_is_in_it_stays(
    tmp_path: Path,
) -> None:
    with new_store(tmp_path / "store") as repository:
        commit(repository, "p/a", {"x": b"old"}, aliases=("best",))
        async with shown(repository, "p/a") as here:
            before = [await identity(here, path) for path in ("v0", "best", "best/x")]
            opened = (await here.node("best/x")).open()
            directory = await here.directory("best")
            commit(repository, "p/a", {"x": b"new"}, aliases=("best",))
            assert await here.read("best/x") == b"old"
            time_passes(TTL_S)
            assert await here.read("best/x") == b"new"
            after = [await identity(here, path) for path in ("v0", "best", "best/x")]
            assert after[0] == before[0]
            assert not {*before[1:]} & {*after[1:]}
            assert await opened.read(0, 10) == b"old"
            [entry] = await (await directory.listing()).chunk(0)
            assert await (await directory.child(entry.position)).open().read(0, 10) == b"old"


@on_standing_trio
async def test_a_version_that_is_deleted_is_gone_when_its_answer_is_old(tmp_path: Path) -> None:
    with new_store(tmp_path / "store") as repository:
        commit(repository, "p/a", {"x": b"0"})
        deleted = commit(repository, "p/a", {"x": b"1"})
        async with shown(repository, "p/a") as here:
            assert await here.read("latest/x") == b"1"
            assert await here.read("v1/x") == b"1"
            repository.catalog.delete_version(deleted.id, delete_aliases=True)
            time_passes(TTL_S)
            assert await here.found("v1") is None
            assert await here.names("") == ["latest", "v0"]
            assert await here.read("latest/x") == b"0"


@on_trio
async def test_an_alias_may_be_shown_as_a_symlink_to_its_version(repository: Repository) -> None:
    commit(repository, "p/a", {"x": b"0"})
    async with shown(repository, "p/a", alias_symlinks=True) as here:
        link = await here.node("latest")
        assert stat.S_ISLNK(link.attributes.mode)
        assert link.readlink() == "v0"
        assert link.attributes.size_bytes == 2
        assert link.xattrs() == {}
        with pytest.raises(Unsupported):
            link.open()
        assert (await here.node("v0")).attributes.is_directory


@on_trio
async def test_a_frozen_tree_stays_as_it_was(repository: Repository) -> None:
    commit(repository, "p/a", {"x": b"old"})
    async with shown(repository, freeze=True) as here:
        commit(repository, "p/a", {"x": b"new"})
        commit(repository, "p/b", {"x": b"new"})
        commit(repository, "q/a", {"x": b"new"})
        assert await here.names("") == ["p"]
        assert await here.names("p") == ["a"]
        assert await here.names("p/a") == ["latest", "v0"]
        assert await here.read("p/a/latest/x") == b"old"


# --- attributes --------------------------------------------------------------------------------


@on_trio
async def test_a_file_has_the_same_number_whatever_part_of_the_store_is_mounted(
    repository: Repository,
) -> None:
    commit(repository, "p/a", {"d/x": b"1"})
    found: list[int] = []
    for target, path in (
        (None, "p/a/v0/d/x"),
        ("p", "a/v0/d/x"),
        ("p/a", "v0/d/x"),
        ("p/a:v0", "d/x"),
    ):
        async with shown(repository, target) as here:
            found.append(await identity(here, path))
            assert found[0] != await identity(here, path.replace("d/x", "d"))
    assert len({*found}) == 1
    async with shown(repository, "p/a") as here:
        assert await identity(here, "latest/d/x") != found[0]


@on_trio
async def test_attributes_are_those_that_were_committed(repository: Repository) -> None:
    content: dict[str, Item] = {
        "plain": File(b"12345", mtime_ns=17),
        "program": File(b"", executable=True, mtime_ns=-1),
        "link": Link("\u00e9/nowhere"),
    }
    commit(repository, "p/a", content)
    async with shown(repository, "p/a:v0") as here:
        plain = (await here.node("plain")).attributes
        assert (plain.mode, plain.size_bytes, plain.mtime_ns) == (stat.S_IFREG | 0o644, 5, 17)
        program = (await here.node("program")).attributes
        assert (program.mode, program.mtime_ns) == (stat.S_IFREG | 0o755, -1)
        link = await here.node("link")
        assert stat.S_ISLNK(link.attributes.mode)
        assert link.readlink() == "\u00e9/nowhere"
        assert link.attributes.size_bytes == len("\u00e9/nowhere".encode())


@on_trio
async def test_a_node_does_what_its_kind_does_and_nothing_else(repository: Repository) -> None:
    commit(repository, "p/a", {"d/x": b"1", "link": Link("x")})
    async with shown(repository) as here:
        for path in ("", "p", "p/a", "p/a/v0", "p/a/v0/d"):
            node = await here.node(path)
            for ask in (node.open, node.readlink):
                with pytest.raises(Unsupported):
                    ask()
        with pytest.raises(Unsupported):
            (await here.node("p/a/v0/link")).open()
        with pytest.raises(Unsupported):
            (await here.node("p/a/v0/d/x")).readlink()
        with pytest.raises(PathNotFound):
            await (await here.directory("p")).child(0)


@on_trio
async def test_extended_attributes_say_what_a_node_is(repository: Repository) -> None:
    version = commit(repository, "p/a", {"d/x": b"1"}, metadata={"k": 1})
    async with shown(repository) as here:
        assert (await here.node("p")).xattrs() == {"path": b"p"}
        assert (await here.node("p/a")).xattrs() == {"path": b"p/a", "type": b"dataset"}
        root = (await here.node("p/a/v0")).xattrs()
        assert (root["version"], root["path"], root["aliases"]) == (b"p/a:v0", b"", b"latest")
        assert (root["digest"], root["metadata"]) == (version.digest.encode(), b'{"k":1}')
        assert (await here.node("p/a/v0/d")).xattrs()["path"] == b"d"
        assert {*(await here.node("p/a/v0/d/x")).xattrs()} == {"digest", "sha256"}


@on_standing_trio
async def test_the_space_is_that_of_the_version_or_else_of_the_store(tmp_path: Path) -> None:
    with new_store(tmp_path / "store") as repository:
        commit(repository, "p/a", {"x": b"123", "y": b"45"})
        async with shown(repository, "p/a:v0") as here:
            space = await here.tree.space()
            assert (space.size_bytes, space.files) == (5, 2)
        async with shown(repository) as here:
            before = await here.tree.space()
            totals = repository.catalog.totals()
            assert (before.size_bytes, before.files) == (totals.blob_bytes, totals.blobs)
            commit(repository, "p/b", {"z": b"678"})
            assert await here.tree.space() == before
            time_passes(60)
            assert (await here.tree.space()).files > before.files


# --- bytes -------------------------------------------------------------------------------------


@on_trio
async def test_any_range_of_a_file_is_what_was_committed(repository: Repository) -> None:
    data = os.urandom(2 * BLOCK_SIZE_BYTES + 1000)
    commit(repository, "p/a", {"large": data, "small": data[:10], "empty": b""})
    ends = (0, 1, BLOCK_SIZE_BYTES - 1, BLOCK_SIZE_BYTES, BLOCK_SIZE_BYTES + 1, len(data) - 1)
    async with shown(repository, "p/a:v0") as here:
        opened = (await here.node("large")).open()
        assert opened.size_is_known
        # Twice: what is not at hand, and what is.
        for _ in range(2):
            for offset in (*ends, len(data), len(data) + 5):
                for length in (0, 1, 4096, BLOCK_SIZE_BYTES + 2):
                    assert await opened.read(offset, length) == data[offset : offset + length]
        assert await here.read("small", 3, 100) == data[3:10]
        assert await here.read("small", 10, 1) == b""
        assert await here.read("empty") == b""


@on_trio
async def test_a_reference_is_read_where_it_is_until_that_changes(
    repository: Repository, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"somewhere")
    commit_references(repository, "p/a", x=source.as_uri())
    async with shown(repository, "p/a:v0") as here:
        assert await here.read("x") == b"somewhere"
        assert await here.read("x", 4, 3) == b"whe"
        assert (await here.node("x")).xattrs()["reference"] == source.as_uri().encode()
    source.write_bytes(b"something else")
    async with shown(repository, "p/a:v0") as here:
        assert (await here.node("x")).attributes.size_bytes == 9
        with pytest.raises(ReferenceChanged):
            await here.read("x", 0, 1)


@on_trio
async def test_the_size_of_a_reference_that_does_not_say_it_is_asked_for(
    repository: Repository, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"somewhere")
    entries = [
        ReferenceEntry(name=name, uri=uri, digest=uri, size_bytes=None, pin=Pin(), extra={})
        for name, uri in (("x", source.as_uri()), ("y", "odd://nowhere"))
    ]
    commit_encoded(repository, "p/a", encode_directory(entries))
    async with shown(repository, "p/a:v0") as here:
        for name, size_bytes in (("x", 9), ("y", None)):
            node = await here.node(name)
            attributes = node.attributes
            assert not attributes.size_is_known
            assert attributes.size_bytes == 0
            assert not node.open().size_is_known
            measurable: MeasurableNode = node  # type: ignore[assignment]
            measured = await measurable.measured()
            assert measured.size_is_known is (size_bytes is not None)
            assert measured.size_bytes == (size_bytes or 0)
        assert await here.read("x") == b"somewhere"
        with pytest.raises(ArtfsError):
            await here.read("y")


# --- what is wrong with a store ------------------------------------------------------------------


def objects_of(repository: Repository, kind: str) -> list[Path]:
    root = repository.info.root
    assert root is not None
    return [path for path in (root / kind).rglob("*") if path.is_file()]


@on_trio
async def test_lost_content_is_an_error_and_the_names_are_there_all_the_same(
    repository: Repository,
) -> None:
    commit(repository, "p/a", {"lost": b"x" * (1 << 20), "d/small": b"1"})
    [blob] = objects_of(repository, "blobs")
    blob.unlink()
    async with shown(repository, "p/a:v0") as here:
        assert await here.names("") == ["d", "lost"]
        assert (await here.node("lost")).attributes.size_bytes == 1 << 20
        assert await here.read("d/small") == b"1"
        with pytest.raises(BlobNotFound):
            await here.read("lost", 0, 1)


@on_trio
async def test_damaged_content_is_not_served_and_the_blocks_beside_it_are(
    repository: Repository,
) -> None:
    commit(repository, "p/a", {"x": b"x" * (2 * BLOCK_SIZE_BYTES)})
    [blob] = objects_of(repository, "blobs")
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.seek(BLOCK_SIZE_BYTES + 5)
        file.write(b"y")
    async with shown(repository, "p/a:v0") as here:
        assert await here.read("x", 0, 10) == b"x" * 10
        for _ in range(2):
            with pytest.raises(IntegrityError):
                await here.read("x", BLOCK_SIZE_BYTES, 1)


def lying(**wrong: object) -> bytes:
    """A directory object with a right file and one that cannot be."""
    right = {"sha256": Digest(bytes(32)), "size_bytes": 0, "md5": bytes(16), "blocks": None}
    good = FileEntry(name="a", executable=False, mtime_ns=0, **right)  # type: ignore[arg-type]
    entry = {"name": "b", "executable": False, "mtime_ns": 0, **right, **wrong}
    return encode_directory([good, FileEntry(**entry)])  # type: ignore[arg-type]


@on_trio
@pytest.mark.parametrize("wrong", [{"size_bytes": 2**62 + 1}, {"mtime_ns": -(2**63)}])
async def test_an_entry_that_cannot_be_is_an_error_and_not_its_neighbours(
    repository: Repository, wrong: dict[str, int]
) -> None:
    commit_encoded(repository, "p/a", lying(**wrong))
    async with shown(repository, "p/a:v0") as here:
        assert await here.found("a") is not None
        with pytest.raises(InvalidManifest):
            await here.found("b")


@on_trio
async def test_a_directory_that_is_none_is_an_error_and_not_its_neighbours(
    repository: Repository,
) -> None:
    commit(repository, "p/other", {"x": b"no directory", "y": b"1"})
    async with shown(repository, "p/other:v0") as here:
        digest = bytes.fromhex((await here.node("x")).xattrs()["sha256"].decode())
    entries: list[Entry] = [
        DirectoryEntry("lost", Digest(bytes(32)), 0, 0),
        DirectoryEntry("none", Digest(digest), 0, 0),
        SymlinkEntry("z", "target"),
    ]
    commit_encoded(repository, "p/a", encode_directory(entries))
    async with shown(repository, "p/a") as here:
        assert await here.names("v0") == ["lost", "none", "z"]
        assert (await here.node("v0/z")).readlink() == "target"
        for name, error in (("lost", BlobNotFound), ("none", InvalidManifest)):
            directory = await here.directory(f"v0/{name}")
            for ask in (
                directory.listing,
                partial(directory.lookup, "x"),
                partial(directory.child, 0),
            ):
                with pytest.raises(error):
                    await ask()


# --- what is mounted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "project", "name", "version"),
    [
        (None, None, None, None),
        ("p", "p", None, None),
        ("p/a", "p", "a", None),
        ("p/a:latest", "p", "a", "v0"),
        ("a:v0", "p", "a", "v0"),
    ],
)
def test_a_target_is_the_store_a_project_an_artifact_or_a_version(
    repository: Repository,
    text: str | None,
    project: str | None,
    name: str | None,
    version: str | None,
) -> None:
    commit(repository, "p/a", {"x": b"1"})
    found = resolve_target(repository, text, default_project="p")
    assert (found.project, found.name) == (project, name)
    assert (found.version.version if found.version else None) == version


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("no", ArtifactNotFound),
        ("p/no", ArtifactNotFound),
        ("p/no:v0", ArtifactNotFound),
        ("p/a:v7", VersionNotFound),
        ("p/a:worst", AliasNotFound),
        ("", InvalidName),
        ("p//", InvalidName),
        ("../a", InvalidName),
    ],
)
def test_a_target_that_there_is_not_is_said_so(
    repository: Repository, text: str, error: type[ArtfsError]
) -> None:
    commit(repository, "p/a", {"x": b"1"})
    with pytest.raises(error):
        resolve_target(repository, text)
