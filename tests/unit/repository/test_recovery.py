"""Recovery records: what is written, by whom, and what becomes of what no artfs wrote."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from artfs.blobs.base import RecordKind
from artfs.catalog.records import Copy, VersionUpdate
from artfs.errors import IntegrityError, InvalidManifest, InvalidName
from artfs.repository.facade import Repository
from artfs.repository.recovery import (
    Checkpoint,
    Places,
    decode_checkpoint,
    decode_commit,
    encode_checkpoint,
    encode_commit,
    retained,
)
from artfs.repository.stores import open_store
from tests.support.forked import works_in_child
from tests.support.stores import commit, new_store

HOUR_NS = 3_600 * 10**9


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def checkpoints(repository: Repository) -> list[Checkpoint]:
    assert repository.records is not None
    listed = sorted(each.name for each in repository.records.records(RecordKind.CHECKPOINTS))
    return [
        decode_checkpoint(repository.records.read_record(RecordKind.CHECKPOINTS, name))
        for name in listed
    ]


def test_a_record_says_what_its_commit_made(store: Path) -> None:
    with new_store(store) as repository:
        made = commit(repository, "p/a", {"x": b"1"}, aliases=("best",), metadata={"ä": [1, None]})
        assert repository.records is not None
        record = decode_commit(repository.records.read_record(RecordKind.COMMITS, made.id))
    assert (record.project, record.name, record.index) == ("p", "a", 0)
    assert (bytes.fromhex(record.tree), record.digest) == (made.tree, made.digest)
    assert (record.aliases, record.metadata) == (["best", "latest"], {"ä": [1, None]})


def test_many_commits_make_one_checkpoint_and_who_ends_makes_the_last(store: Path) -> None:
    with new_store(store) as repository:
        versions = [commit(repository, "p/a", {"x": b"%d" % number}) for number in range(5)]
        assert [each.number for each in checkpoints(repository)] == [1]
        repository.catalog.update_version(versions[0].id, VersionUpdate(add_aliases=("best",)))
    with open_store(str(store)) as repository:
        first, last = checkpoints(repository)
        assert (len(first.copied["versions"]), len(last.copied["versions"])) == (1, 5)
        assert "best" in {row["name"] for row in last.copied["aliases"]}
    # Who changes nothing, or has left records of all of it, writes none.
    with open_store(str(store)) as repository:
        commit(repository, "p/a", {"x": b"another"})
    with open_store(str(store)) as repository:
        assert len(checkpoints(repository)) == 2


def test_of_two_checkpoints_the_one_with_the_higher_number_is_later(store: Path) -> None:
    with new_store(store) as one, open_store(str(store)) as other:

        def work(repository: Repository, name: str) -> None:
            for number in range(8):
                commit(repository, f"p/{name}", {"x": f"{name} {number}".encode()})
                assert repository.recovery is not None
                repository.recovery.tidy(grace_s=0)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, (one, other), ("a", "b")))
        counts = [len(each.copied["versions"]) for each in checkpoints(one)]
        assert counts == sorted(counts)
        assert counts[-1] == 16


def test_a_forked_child_leaves_word_of_what_it_changed(store: Path) -> None:
    with new_store(store) as repository:
        version = commit(repository, "p/a", {"x": b"1"})

        def work() -> None:
            repository.catalog.update_version(version.id, VersionUpdate(add_aliases=("child",)))
            repository.close()

        assert works_in_child(work)
        last = checkpoints(repository)[-1]
        assert "child" in {row["name"] for row in last.copied["aliases"]}


def test_a_commit_is_done_where_no_record_can_be_written(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with new_store(store) as repository:
        (store / "commits").write_text("in the way")
        assert commit(repository, "p/a", {"x": b"1"}).index == 0
        assert "no recovery record of p/a:v0" in caplog.text
        (store / "commits").unlink()
    with open_store(str(store)) as repository:
        # The end of the process makes good for it.
        assert len(checkpoints(repository)[-1].copied["versions"]) == 1


def test_some_older_checkpoints_stay(store: Path) -> None:
    del store
    places: Places = []
    for hour in range(1, 24 * 30):
        places = retained([*places, (hour, hour * HOUR_NS, 1)])
    ages = [(places[-1][1] - at_ns) // HOUR_NS for _, at_ns, _ in places]
    assert ages[-3:] == [2, 1, 0]
    assert any(age >= 24 * 7 for age in ages)
    assert len(places) <= 9


# --- what no artfs wrote ---------------------------------------------------------------------


def a_commit(store: Path) -> bytes:
    with new_store(store) as repository:
        made = commit(repository, "p/a", {"x": b"1"})
        assert repository.records is not None
        return repository.records.read_record(RecordKind.COMMITS, made.id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"project": ".."},
        {"name": "a/b"},
        {"aliases": ["../x"]},
        {"index": -1},
        {"index": 2**40},
        {"tree": "zz" * 32},
        {"id": "short"},
        {"format": 99},
        {"size_bytes": -1},
    ],
)
def test_a_commit_record_that_makes_no_sense_is_refused(
    store: Path, wrong: dict[str, object]
) -> None:
    record = msgspec.structs.replace(decode_commit(a_commit(store)), **wrong)
    with pytest.raises((InvalidManifest, InvalidName)):
        decode_commit(encode_commit(record))


def test_a_flipped_bit_of_a_record_is_noticed(store: Path) -> None:
    data = a_commit(store)
    for place in range(0, len(data) - 2, 7):
        wrong = bytearray(data)
        wrong[place] ^= 1
        with pytest.raises(IntegrityError):
            decode_commit(bytes(wrong))
    empty: Copy = {"projects": []}
    whole = encode_checkpoint(Checkpoint(number=1, at_ns=1, entity="e", copied=empty))
    for place in range(whole.index(b"\n") + 1, len(whole)):
        wrong = bytearray(whole)
        wrong[place] ^= 1
        with pytest.raises(IntegrityError):
            decode_checkpoint(bytes(wrong))


def test_a_checkpoint_that_grows_beyond_what_it_says_is_refused() -> None:
    data = zlib.compress(bytes(50_000_000))
    digest = sha256(data).hexdigest()
    header = {"format": 1, "number": 1, "at_ns": 1, "entity": "e", "sha256": digest}
    with pytest.raises(InvalidManifest):
        decode_checkpoint(msgspec.json.encode({**header, "size_bytes": 10}) + b"\n" + data)


@pytest.mark.parametrize(
    "rows",
    [
        {"projects": [{"id": "one", "name": "p", "created_at_ns": 1}]},
        {"projects": [{"id": 1, "name": None, "created_at_ns": 1}]},
        {"projects": [{"id": 1, "name": "p", "created_at_ns": 1, "more": 1}]},
        {"projects": [{"id": 2**70, "name": "p", "created_at_ns": 1}]},
        {"tags": [{"version_id": "nobody", "name": "t"}]},
    ],
)
def test_rows_that_no_catalog_has_are_refused(store: Path, rows: Copy) -> None:
    with new_store(store) as repository:
        before = repository.catalog.copy_names()
        with pytest.raises(InvalidManifest):
            repository.catalog.put_copy(rows)
        assert repository.catalog.copy_names() == before
