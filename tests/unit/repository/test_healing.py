"""Putting the same files again heals a store that lost or damaged what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.catalog.records import CommitRequest
from artfs.content.base import read_blocks
from artfs.errors import BlobNotFound, IntegrityError
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import FileEntry
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.sdk.publish import PutRequest, put
from artfs.upkeep.doctor import Severity, examine
from artfs.upkeep.gc import collect
from artfs.upkeep.quarantine import DIRECTORY, set_aside
from artfs.upkeep.verify import VerifyReport, verify
from tests.support.stores import commit

LARGE = os.urandom(BLOCK_SIZE_BYTES + 1_100_000)
SMALL = {f"d{n % 3}/small{n}": os.urandom(3000) for n in range(30)}
FILES = {**SMALL, "large": LARGE, "other/medium": LARGE[:1_500_000]}

Wreck = Callable[[Repository], None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Repository]:
    """A store that holds FILES as `p/a`."""
    with open_store(str(tmp_path / "store"), create=True) as repository:
        put_files(repository, tmp_path)
        yield repository


def put_files(
    repository: Repository,
    directory: Path,
    *,
    name: str = "p/a",
    transfer: Transfer = Transfer.COPY,
) -> bool:
    """Put FILES; whether that made a new version."""
    work = directory / "work"
    for path, data in FILES.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        if not (work / path).exists():
            (work / path).write_bytes(data)
            os.utime(work / path, (1_600_000_000, 1_600_000_000))
    with open_store(repository.info.location) as fresh:
        return put(fresh, [work], PutRequest(name=name), transfer=transfer).created


def verified(repository: Repository) -> VerifyReport:
    """What `artfs verify` finds, in a process of its own."""
    with open_store(repository.info.location) as fresh:
        return verify(fresh, [version for version, _ in fresh.catalog.live_trees()])


def objects(repository: Repository, namespace: Namespace) -> list[Path]:
    root = repository.info.root
    assert root is not None
    return [root / str(found.key) for found in repository.objects.objects(namespace)]


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(change(data))
    path.chmod(0o444)


def lose(namespace: Namespace) -> Wreck:
    def wreck(repository: Repository) -> None:
        for path in objects(repository, namespace):
            path.unlink()

    return wreck


def cut(namespace: Namespace) -> Wreck:
    def wreck(repository: Repository) -> None:
        for path in objects(repository, namespace):
            rewrite(path, lambda data: data[: len(data) // 2])

    return wreck


WRECKS = {
    "blobs are lost": lose(Namespace.BLOBS),
    "packs are lost": lose(Namespace.PACKS),
    "blobs are cut": cut(Namespace.BLOBS),
    "packs are cut": cut(Namespace.PACKS),
}


@pytest.mark.parametrize("transfer", [Transfer.COPY, Transfer.LINK])
@pytest.mark.parametrize("name", ["p/a", "p/other"])
@pytest.mark.parametrize("wreck", WRECKS)
def test_what_is_lost_is_stored_again_by_the_next_put(
    store: Repository, tmp_path: Path, wreck: str, name: str, transfer: Transfer
) -> None:
    WRECKS[wreck](store)
    assert verified(store).damages
    # The same content makes no new version of `p/a`, and heals it all the same.
    assert put_files(store, tmp_path, name=name, transfer=transfer) is (name != "p/a")
    assert verified(store).damages == ()
    # What is left of lost packs goes.
    collect(store, grace_s=0)
    assert verified(store).damages == ()
    assert examine(store) == []


def test_nothing_is_stored_again_that_is_there(store: Repository, tmp_path: Path) -> None:
    before = store.catalog.totals()
    assert put_files(store, tmp_path, name="p/b")
    after = store.catalog.totals()
    assert (after.blobs, after.packs) == (before.blobs, before.packs)


def test_one_file_that_is_put_heals_itself_only(store: Repository) -> None:
    lose(Namespace.PACKS)(store)
    [healed, *_] = SMALL.items()
    with open_store(store.info.location) as fresh:
        commit(fresh, "p/one", {healed[0]: healed[1]})
        version = fresh.resolve("p/one")
        assert verify(fresh, [version]).damages == ()
        # Its old places are forgotten, those of others are not.
        record = fresh.catalog.locate([entry_of(fresh, version.tree, healed[0]).sha256])
        [pack] = {each.pack for each in record.values()}
        assert [found.name for found in objects(fresh, Namespace.PACKS)] == [hex_name(pack)]
    assert verified(store).damages


def entry_of(repository: Repository, tree: Digest, path: str) -> FileEntry:
    entry = repository.find(tree, path)
    assert isinstance(entry, FileEntry)
    return entry


def hex_name(pack: Digest | None) -> str:
    assert pack is not None
    return Path(str(ObjectKey(Namespace.PACKS, pack))).name


def flip(repository: Repository, namespace: Namespace, at: int) -> None:
    for path in objects(repository, namespace):
        rewrite(path, lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize("name", ["p/a", "p/other"])
@pytest.mark.parametrize("namespace", list(Namespace))
def test_what_is_damaged_is_set_aside_and_healed_by_the_next_put(
    store: Repository, tmp_path: Path, namespace: Namespace, name: str
) -> None:
    flip(store, namespace, 1234)
    report = verified(store)
    assert report.damages
    put_files(store, tmp_path, name="p/before")
    assert verified(store).damages
    with open_store(store.info.location) as fresh:
        aside = set_aside(fresh, [Digest(bytes.fromhex(each)) for each in report.suspects])
    if namespace is Namespace.BLOBS:
        assert {Path(path).parent.name for path in aside.files} == {DIRECTORY}
        assert len(aside.files) == 2
    else:
        # Its neighbours stay as they were.
        assert aside.forgotten == 1
    assert len(verified(store).damages) == 2 * len(report.damages)
    put_files(store, tmp_path, name=name)
    assert verified(store).damages == ()
    findings = examine(store)
    assert {finding.severity for finding in findings} <= {Severity.NOTE}
    collect(store, grace_s=0)
    assert verified(store).damages == ()


def test_what_is_sound_is_not_set_aside(store: Repository) -> None:
    everything = [blob.sha256 for blob in store.catalog.blobs()]
    aside = set_aside(store, everything)
    assert (aside.files, aside.forgotten) == ((), 0)
    assert verified(store).damages == ()


def test_a_reader_that_saw_the_damage_sees_the_healing(store: Repository, tmp_path: Path) -> None:
    tree = store.resolve("p/a").tree
    path = next(iter(SMALL))
    contents = {each: store.content(entry_of(store, tree, each)) for each in (path, "large")}
    for content in contents.values():
        content.load_block(0)
    flip(store, Namespace.BLOBS, 77)
    pack_offset = store.blobs.locate(entry_of(store, tree, path).sha256).offset
    flip(store, Namespace.PACKS, pack_offset + 5)
    for content in contents.values():
        with pytest.raises(IntegrityError):
            content.load_block(0)
    with open_store(store.info.location) as fresh:
        suspects = verified(store).suspects
        set_aside(fresh, [Digest(bytes.fromhex(each)) for each in suspects])
    for content in contents.values():
        with pytest.raises(BlobNotFound):
            content.load_block(0)
    put_files(store, tmp_path)
    for each, content in contents.items():
        assert b"".join(read_blocks(content)) == FILES[each]


def test_a_put_that_was_killed_before_its_commit_leaves_the_store_as_it_was(
    store: Repository, tmp_path: Path
) -> None:
    lose(Namespace.PACKS)(store)
    damages = verified(store).damages
    ingest = store.ingest()
    for data in SMALL.values():
        ingest.add_bytes(data)
    result = ingest.finish()
    assert set(result.lost) == {blob.sha256 for blob in result.blobs}
    assert verified(store).damages == damages
    # What it has stored already is found by the next one.
    put_files(store, tmp_path)
    assert verified(store).damages == ()


def test_two_puts_that_heal_the_same_meet_without_harm(store: Repository, tmp_path: Path) -> None:
    lose(Namespace.PACKS)(store)
    ingests = [store.ingest(), store.ingest()]
    trees = []
    for number, ingest in enumerate(ingests):
        builder = TreeBuilder(ingest.directory_loader(store.directory))
        for path, data in {**SMALL, "own": bytes([number])}.items():
            taken = ingest.add_bytes(data)
            fields = (taken.sha256, taken.size_bytes, taken.md5, None, False, 0)
            builder.put(path, FileEntry(Path(path).name, *fields))
        trees.append(builder.build(ingest.add_directory))
        ingest.finish()
    for number, (ingest, tree) in enumerate(zip(ingests, trees, strict=True)):
        request = CommitRequest(project="p", name=f"b{number}", type="dataset")
        version = store.commit(ingest, tree, request).version
        with open_store(store.info.location) as fresh:
            assert verify(fresh, [version]).damages == ()
    put_files(store, tmp_path)
    assert verified(store).damages == ()
