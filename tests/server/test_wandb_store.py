"""`wandb://` over a real `artfs serve`: what the store has, and what becomes of a dead server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.records import CommitRequest, VersionRecord, VersionUpdate
from artfs.content.base import read_blocks
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.manifest.wandb import tree_digests
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from tests.cli.conftest import Cli
from tests.server.conftest import RunningServer

DATA = {"a.txt": b"hello", "d/odd #?%@.bin": bytes(range(256)) * 40_000, "empty": b""}


class Doors:
    """A store, its server, and the command line of somebody who has nothing but a key."""

    def __init__(self, directory: Path) -> None:
        (directory / "there").mkdir()
        (directory / "here").mkdir()
        self.there = Cli(directory / "there")
        self.files = directory / "files"
        for path, data in DATA.items():
            (self.files / path).parent.mkdir(parents=True, exist_ok=True)
            (self.files / path).write_bytes(data)
        self.there.ok("put", self.files, "-n", "demo/digits", "-a", "prod", "-t", "dataset")
        (self.files / "a.txt").write_bytes(b"changed")
        self.there.ok("put", self.files, "-n", "demo/digits", "-t", "dataset")
        self.server = RunningServer(self.there)
        self.host = self.server.url.partition("://")[2]
        self.store = f"wandb://{self.host}/tester"
        self.here = Cli(directory / "here")
        self.here.environment |= {"ARTFS_STORE": self.store, "WANDB_API_KEY": self.server.key}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    made = Doors(tmp_path_factory.mktemp("doors"))
    yield made
    made.server.process.kill()
    made.server.process.communicate()


@pytest.fixture
def both(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Repository, Repository]]:
    """The store itself, and what its server shows of it."""
    for name in ("XDG_CACHE_HOME", "HOME", "WANDB_API_KEY"):
        monkeypatch.setenv(name, doors.here.environment[name])
    with open_store(str(doors.there.store)) as own, open_store(doors.store) as seen:
        yield own, seen


def told(record: VersionRecord) -> dict[str, Any]:
    """What both say of a version in the same words; times to the second."""
    value = msgspec.structs.asdict(record)
    for name in ("tree", "content_digest"):
        del value[name]
    return value | {"created_at_ns": record.created_at_ns // 10**9}


def test_the_catalog_answers_as_that_of_the_store(both: tuple[Repository, Repository]) -> None:
    own, seen = both
    catalog: Catalog = own.catalog
    v0, v1 = own.resolve("demo/digits:v0"), own.resolve("demo/digits:v1")
    run = catalog.create_run("demo", name="train", job_type="fit", config={"lr": 0.1})
    catalog.record_use(run.id, v0.id, use_as=None)
    catalog.record_output(run.id, v1.id)
    update = VersionUpdate(tags=("good",), ttl_s=3600, description="x", metadata={"k": [1]})
    catalog.update_version(v0.id, update)
    catalog.link(v0.id, "demo", "chosen", ["best"])
    theirs = seen.catalog
    assert [each.name for each in theirs.projects()] == [each.name for each in catalog.projects()]
    assert [each.artifact_count for each in theirs.projects()] == [2]
    for mine in catalog.artifacts(project="demo"):
        other = theirs.artifact("demo", mine.name)
        assert (other.path, other.type, other.is_portfolio, other.version_count) == (
            mine.path,
            mine.type,
            mine.is_portfolio,
            mine.version_count,
        )
        expected = [told(each) for each in catalog.versions(mine.id)]
        assert [told(each) for each in theirs.versions(other.id)] == expected
        assert mine.latest is not None
        assert other.latest is not None
        assert told(other.latest) == told(mine.latest)
    for selector in ("v0", "v1", "latest", "prod", v0.digest):
        mine_at = catalog.version("demo", "digits", selector)
        assert told(theirs.version("demo", "digits", selector)) == told(mine_at)
    members = [told(each) for each in theirs.memberships(v0.id)]
    assert members == [told(each) for each in catalog.memberships(v0.id)]
    assert told(theirs.version_by_id(v1.id)) == told(catalog.version_by_id(v1.id))
    [user] = theirs.users_of(v0.id)
    maker = theirs.maker_of(v1.id)
    assert maker is not None
    assert (user.name, maker.name, maker.job_type) == ("train", "train", "fit")
    assert maker.config == {"lr": 0.1}
    assert [each.id for each in theirs.inputs_of(maker.id)] == [v0.id]
    assert [each.id for each in theirs.outputs_of(maker.id)] == [v1.id]
    assert theirs.maker_of(v0.id) is None
    assert len(list(theirs.live_trees())) == 2
    for mine_at in (v0, v1):
        tree = theirs.version_by_id(mine_at.id).tree
        assert tree_digests(seen.directory, tree).digest == mine_at.digest


def test_content_of_a_version_whose_id_has_slashes_is_found(
    both: tuple[Repository, Repository],
) -> None:
    own, seen = both
    root = own.resolve("demo/digits:v0").root
    # In base64 nothing but slashes, nearly.
    request = CommitRequest(project="demo", name="slashes", type="model", version_id="ff" * 16)
    own.commit(own.ingest(), root, request)
    entry = seen.find(seen.resolve("demo/slashes").tree, "a.txt")
    assert isinstance(entry, ReferenceEntry)
    # What another test has read of it is not to be read from the cache.
    seen.cache.drop(seen.content(entry).remote.cache_key, 0)  # type: ignore[union-attr]
    assert bytes(seen.content(entry).load_block(0)) == b"hello"


def test_the_command_line_works_on_a_server(doors: Doors, tmp_path: Path) -> None:
    here = doors.here
    assert "demo/digits" in here.ok("ls", "demo").out
    assert here.ok("diff", "demo/digits:v0", "demo/digits:v1").out.startswith("M a.txt")
    manifest = here.ok("manifest", "demo/digits:v0").out
    assert '"ref"' not in manifest
    here.ok("history", "demo/digits")
    here.ok("get", "demo/digits:prod", "--root", tmp_path / "out")
    got = {path: (tmp_path / "out" / path).read_bytes() for path in DATA}
    assert got == DATA
    assert "in the cache" in here.ok("warm", "demo/digits:v1").out
    here.ok("verify", "demo/digits", "--references")
    own = {"ARTFS_STORE": str(tmp_path / "own"), "WANDB_BASE_URL": doors.server.url}
    uri = f"{doors.store}/demo/digits:prod"
    assert here.run("put", "-r", uri, "-n", "my/refs", env=own).code == 0
    assert here.run("get", "my/refs", "--root", str(tmp_path / "refs"), env=own).code == 0
    assert (tmp_path / "refs/a.txt").read_bytes() == b"hello"


@pytest.mark.parametrize(
    "words",
    [
        ("put", "/etc/hostname", "-n", "x/y"),
        ("gc",),
        ("keys", "ls"),
        ("serve",),
        ("rm", "demo/digits:v1", "-y", "--aliases"),
        ("alias", "add", "demo/digits:v0", "z"),
        ("run", "--", "true"),
    ],
    ids=lambda words: words[0],
)
def test_whatever_writes_is_refused_in_one_line(doors: Doors, words: tuple[str, ...]) -> None:
    doors.here.fails(8, *words, says="only read")


def versions_of(store: Repository) -> list[VersionRecord]:
    return list(store.catalog.versions(store.catalog.artifact("demo", "digits").id))


def test_files_of_a_server_are_copied_as_files_and_only_once(doors: Doors, tmp_path: Path) -> None:
    doors.here.ok("copy", f"{doors.store}/demo", str(tmp_path / "copy"), "--all-versions")
    with open_store(str(doors.there.store)) as own, open_store(str(tmp_path / "copy")) as copy:
        there, found = ({each.index: each for each in versions_of(store)} for store in (own, copy))
        assert [(n, each.digest) for n, each in found.items()] == [
            (n, each.digest) for n, each in there.items()
        ]
        for name, data in DATA.items():
            entry = copy.find(found[0].tree, name)
            assert isinstance(entry, FileEntry)
            assert b"".join(read_blocks(copy.content(entry))) == data
    again = doors.here.ok("copy", f"{doors.store}/demo", str(tmp_path / "copy"), "--json")
    assert again.json["sent_bytes"] == 0


def test_names_that_are_not_there_have_the_exit_code_of_that(doors: Doors) -> None:
    for target in ("nope", "demo/nope", "demo/digits:v9", "demo/digits:zz", "demo/digits:v0/zz"):
        doors.here.fails(3, "ls", target)
    doors.here.fails(8, "ls", env={"WANDB_API_KEY": "x" * 40}, says="refused")
    doors.here.fails(3, "ls", "--store", f"wandb://{doors.host}/nobody")
    doors.here.fails(12, "init")


def names_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def test_r5_a_mount_outlives_its_server_and_shows_what_it_does_when_it_is_back(
    tmp_path: Path,
) -> None:
    doors, mountpoint = Doors(tmp_path), tmp_path / "mnt"
    mountpoint.mkdir()
    environment = {"ARTFS_TIMEOUT": "2"}
    target = f"{doors.store}/demo"
    done = doors.here.run("mount", "-o", "alias_ttl=0", target, mountpoint, env=environment)
    assert done.code == 0, done
    try:
        version = mountpoint / "digits/latest"
        assert names_in(version) == ["a.txt", "d", "empty"]
        assert (version / "a.txt").read_bytes() == b"changed"
        with pytest.raises(OSError, match="Read-only"):
            (version / "new").touch()
        doors.server.process.kill()
        doors.server.process.communicate()
        assert names_in(version) == ["a.txt", "d", "empty"]
        with pytest.raises(OSError) as caught:
            next((version / "d").iterdir()).read_bytes()
        assert not isinstance(caught.value, FileNotFoundError)
        doors.there.ok("put", doors.files / "d", "-n", "demo/digits", "-t", "dataset")
        again = RunningServer(doors.there, "--listen", doors.host)
        try:
            # Now the alias is elsewhere, and what could not be read is read.
            [name] = [each.name for each in (mountpoint / "digits/latest").iterdir()]
            assert name == "odd #?%@.bin"
            old = mountpoint / "digits/v0/d/odd #?%@.bin"
            assert old.read_bytes() == DATA["d/odd #?%@.bin"]
        finally:
            again.process.kill()
            again.process.communicate()
    finally:
        doors.server.process.kill()
        doors.here.run("umount", mountpoint)
