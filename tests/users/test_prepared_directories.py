"""Root keeps house in a user's store, in which that user has prepared some directories."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from artfs.model import SMALL_BLOB_LIMIT_BYTES
from tests.support.people import People, Person
from tests.support.privileges import needs_root

pytestmark = needs_root


def store_of(person: Person) -> Path:
    """A store with a large and some small files."""
    store = person.home / "store"
    data = person.home / "data"
    data.mkdir()
    (data / "large").write_bytes(random.Random(1).randbytes(SMALL_BLOB_LIMIT_BYTES))
    (data / "small").write_bytes(b"small")
    for path in (data, *data.iterdir()):
        os.chown(path, person.uid, person.gid)
    person.does("put", "--store", str(store), "--name", "demo/x", str(data))
    return store


def victim_of(people: People, names: tuple[str, ...]) -> Path:
    """What a user would like root to remove: old files, and some that look like artfs's."""
    victim = people.root / "victim"
    victim.mkdir(mode=0o755)
    for name in names:
        path = victim / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"precious")
        os.utime(path, (1, 1))
    return victim


def replace_by_link(path: Path, target: Path, owner: Person) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.symlink_to(target)
    os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("command", ["gc", "gc-dry", "doctor"])
def test_keeping_house_as_root_touches_nothing_behind_a_link_at_tmp(
    people: People, command: str
) -> None:
    person, root = people.person(1), people.superuser()
    store = store_of(person)
    victim = victim_of(people, ("important", "0123456789abcdef/pack.0123456789abcdef"))
    replace_by_link(store / "tmp", victim, person)
    before = contents(victim)
    arguments = {
        "gc": ("gc", "--grace", "0s"),
        "gc-dry": ("gc", "--dry-run"),
        "doctor": ("doctor",),
    }[command]
    done = root.artfs(*arguments, "--store", str(store))
    assert contents(victim) == before
    assert done.returncode != 0
    assert "symbolic link" in done.stderr + done.stdout
    assert "internal error" not in done.stderr


def test_gc_as_root_deletes_nothing_behind_a_link_in_a_shard_s_place(people: People) -> None:
    person, root = people.person(1), people.superuser()
    store = store_of(person)
    name = "ab" * 31
    victim = victim_of(people, (name,))
    for namespace in ("blobs", "packs"):
        replace_by_link(store / namespace / "00", victim, person)
    before = contents(victim)
    done = root.artfs("gc", "--grace", "0s", "--store", str(store))
    assert contents(victim) == before
    assert done.returncode == 8
    assert "symbolic link" in done.stderr


@pytest.mark.parametrize("place", ["damaged", "shard", "blobs"])
def test_quarantine_as_root_moves_nothing_through_a_link(people: People, place: str) -> None:
    person, root = people.person(1), people.superuser()
    store = store_of(person)
    blob = next(path for path in (store / "blobs").glob("*/*"))
    shard, elsewhere = blob.parent, people.root / "elsewhere"
    victim = victim_of(people, ("important",))
    data = bytearray(blob.read_bytes())
    data[0] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)
    if place == "damaged":
        replace_by_link(store / "damaged", victim, person)
    else:
        moved = shard if place == "shard" else shard.parent
        shutil.move(moved, elsewhere)
        replace_by_link(moved, elsewhere, person)
    before = contents(victim), contents(elsewhere)
    done = root.artfs("verify", "--quarantine", "--store", str(store))
    assert (contents(victim), contents(elsewhere)) == before
    assert done.returncode != 0
    assert "symbolic link" in done.stderr


def test_a_put_of_root_writes_nothing_through_links(people: People) -> None:
    person, root = people.person(1), people.superuser()
    store = store_of(person)
    victim = victim_of(people, ("important",))
    for namespace in ("blobs", "packs"):
        for number in range(256):
            replace_by_link(store / namespace / f"{number:02x}", victim, person)
    (root.home / "data").mkdir()
    (root.home / "data" / "file").write_bytes(b"of root")
    done = root.artfs("put", "--store", str(store), "--name", "demo/y", str(root.home / "data"))
    assert done.returncode == 8
    assert "symbolic link" in done.stderr
    assert contents(victim) == {"important": b"precious"}


@pytest.mark.parametrize("what", ["areas", "area", "lock"])
def test_keeping_areas_as_root_touches_nothing_behind_links(people: People, what: str) -> None:
    person, root = people.person(1), people.superuser()
    store = store_of(person)
    staging = store / "staging"
    area = staging / "0123abcd"
    victim = victim_of(people, ("lock", ".dropped-0123abcd/x", "0123abcd/lock", "0123abcd.outcome"))
    if what == "areas":
        replace_by_link(staging, victim, person)
    else:
        staging.mkdir()
        os.chown(staging, person.uid, person.gid)
        if what == "area":
            replace_by_link(area, victim, person)
        else:
            area.mkdir()
            os.chown(area, person.uid, person.gid)
            sqlite3.connect(area / "index.sqlite").close()
            replace_by_link(area / "lock", victim / "lock", person)
    before = contents(victim)
    for arguments in (
        ("staging", "ls"),
        ("staging", "commit", "0123abcd"),
        ("staging", "drop", "--yes", "0123abcd"),
        ("gc", "--grace", "0s"),
    ):
        done = root.artfs(*arguments, "--store", str(store))
        assert "internal error" not in done.stderr
        assert contents(victim) == before, arguments


def test_making_a_store_as_root_writes_through_no_link(people: People) -> None:
    person, root = people.person(1), people.superuser()
    victim = victim_of(people, ("important",))
    store = person.home / "store"
    store.mkdir()
    for name in ("artfs.new", "blobs", "packs", "tmp"):
        replace_by_link(store / name, victim / "important" if "." in name else victim, person)
    for path in (store, *store.iterdir()):
        os.chown(path, person.uid, person.gid, follow_symlinks=False)
    done = root.artfs("init", "--store", str(store))
    assert done.returncode != 0
    assert contents(victim) == {"important": b"precious"}
