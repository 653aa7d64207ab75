"""Stores that several users share, root among them: nobody locks anybody out."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from artfs.model import SMALL_BLOB_LIMIT_BYTES
from tests.support.people import People, Person
from tests.support.privileges import needs_root

pytestmark = needs_root

UMASKS = (0o000, 0o022, 0o077)
_HOLD = """
import sys
from artfs.repository.stores import open_store
repository = open_store(sys.argv[1])
with repository.catalog._database.reading() as connection:
    connection.exec_driver_sql("SELECT count(*) FROM blobs").fetchall()
    print("reading", flush=True)
    sys.stdin.readline()
"""


def data_of(person: Person, *, seed: int) -> str:
    """Large and small files, of contents that nobody else has."""
    data = person.home / f"data{seed}"
    data.mkdir()
    (data / "large").write_bytes(random.Random(seed).randbytes(SMALL_BLOB_LIMIT_BYTES))
    (data / "small").write_bytes(b"small %d" % seed)
    for path in (data, *data.iterdir()):
        os.chown(path, person.uid, person.gid)
    return str(data)


def everything(store: Path) -> list[Path]:
    return [store, *store.rglob("*")]


def assert_fits(person: Person, store: Path) -> None:
    """What doctor says of the machine is not for here."""
    found = person.artfs("doctor", "--json", "--store", str(store)).stdout
    assert '"store"' in found
    assert '"ownership"' not in found


def put(person: Person, store: Path, seed: int) -> None:
    person.does("put", "--store", str(store), "--name", f"demo/x{seed}", data_of(person, seed=seed))


@pytest.mark.parametrize("umask", UMASKS)
@pytest.mark.parametrize("by_root", [False, True])
def test_a_store_is_private_whatever_the_umask_and_whoever_writes(
    people: People, umask: int, by_root: bool
) -> None:
    person = people.person(1).with_umask(umask)
    store = person.home / "new" / "store"
    put(person, store, 1)
    if by_root:
        put(people.superuser(umask=umask), store, 2)
        people.superuser(umask=umask).does("gc", "--grace", "0s", "--store", str(store))
    for path in everything(store):
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        assert (found.st_uid, found.st_gid) == (person.uid, person.gid), path
        if path.is_dir():
            assert mode == 0o700, path
        elif path.parent == store:
            assert mode == 0o600, path
        else:
            assert mode == 0o400, path
    assert store.parent.stat().st_mode & 0o022 == 0


def test_puts_of_the_owner_go_on_after_writes_of_root(people: People) -> None:
    """Root makes shards first, and a log that it is killed with."""
    person, root = people.person(1), people.superuser()
    store = person.home / "store"
    put(person, store, 0)
    for seed in range(1, 4):
        put(root, store, seed)
    holder = root.start([sys.executable, "-c", _HOLD, str(store)])
    assert holder.stdout is not None
    assert holder.stdout.readline() == "reading\n"
    try:
        for path in (store / "catalog.sqlite-wal", store / "catalog.sqlite-shm"):
            assert path.stat().st_uid == person.uid
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for seed in range(4, 8):
            put(person, store, seed)
    finally:
        holder.kill()
        holder.communicate()
    person.does("ls", "--store", str(store))
    person.does("verify", "--store", str(store))
    person.does("gc", "--store", str(store))


@pytest.mark.parametrize("umask", UMASKS)
def test_a_store_of_a_group_keeps_group_and_mode_whoever_writes(people: People, umask: int) -> None:
    gid = people.gid
    one, two = (people.person(n, groups=(gid,)).with_umask(umask) for n in (1, 2))
    root = people.superuser(umask=umask)
    store = people.root / "shared"
    store.mkdir()
    os.chown(store, one.uid, one.gid)
    one.does("init", "--store", str(store), "--group", str(gid))
    for seed, person in enumerate((one, two, root, one, two)):
        put(person, store, seed)
    # What another member, or root, stored is stored again.
    for seed, person in ((0, two), (2, one), (1, root)):
        data = data_of(person, seed=seed) if not (person.home / f"data{seed}").exists() else ""
        person.does("put", "--store", str(store), "--name", "demo/again", data)
    for person in (two, one, root):
        person.does("ls", "demo/x0:latest", "--store", str(store))
        person.does("verify", "--store", str(store))
        person.does("gc", "--grace", "0s", "--store", str(store))
    for path in everything(store):
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        assert found.st_gid == gid, path
        if path.is_dir():
            assert mode == 0o2770, path
        elif path.parent == store:
            assert mode == 0o660, path
        else:
            assert mode == 0o440, path
    assert_fits(one, store)


def test_log_and_shared_memory_of_a_group_s_store_are_the_group_s_while_somebody_reads(
    people: People,
) -> None:
    gid = people.gid
    one, two = (people.person(n, groups=(gid,)) for n in (1, 2))
    store = people.root / "shared"
    store.mkdir()
    os.chown(store, one.uid, one.gid)
    one.does("init", "--store", str(store), "--group", str(gid))
    holder = two.start([sys.executable, "-c", _HOLD, str(store)])
    assert holder.stdout is not None
    assert holder.stdout.readline() == "reading\n"
    try:
        for path in (store / "catalog.sqlite-wal", store / "catalog.sqlite-shm"):
            assert (path.stat().st_uid, path.stat().st_gid) == (two.uid, gid)
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
        put(one, store, 1)
    finally:
        holder.kill()
        holder.communicate()
    put(one, store, 2)


def test_who_is_not_of_the_group_gets_nothing(people: People) -> None:
    gid = people.gid
    one, three = people.person(1, groups=(gid,)), people.person(3)
    store = people.root / "shared"
    store.mkdir()
    os.chown(store, one.uid, one.gid)
    one.does("init", "--store", str(store), "--group", str(gid))
    put(one, store, 1)
    for arguments in (("ls",), ("get", "demo/x1", "--root", str(three.home / "copy"))):
        done = three.artfs(*arguments, "--store", str(store))
        assert done.returncode in {3, 8}, done.stderr
        assert done.stderr.count("\n") == 1
    done = three.artfs("init", "--store", str(three.home / "mine"), "--group", str(gid))
    assert done.returncode == 8
    assert "no member of the group" in done.stderr


def old_store_in_a_shared_directory(people: People, owner: Person) -> Path:
    """A store as it was made before there were groups: its directory is everybody's."""
    store = owner.home / "store"
    put(owner, store, 1)
    shared = people.root / "shared"
    shutil.move(store, shared)
    shared.chmod(0o2775)
    for path in everything(shared):
        os.chown(path, owner.uid, people.gid)
        path.chmod(0o2755 if path.is_dir() else 0o644)
    shared.chmod(0o2775)
    return shared


def test_a_reader_who_may_not_write_leaves_nothing_behind(people: People) -> None:
    owner, reader = people.person(1), people.person(2, groups=(people.gid,))
    store = old_store_in_a_shared_directory(people, owner)
    before = {path: path.lstat() for path in everything(store)}
    for arguments in (
        ("ls",),
        ("get", "demo/x1", "--root", str(reader.home / "copy")),
        ("verify",),
        ("doctor",),
        ("history", "demo/x1"),
    ):
        done = reader.artfs(*arguments, "--store", str(store))
        assert "internal error" not in done.stderr
        assert {path: path.lstat().st_ino for path in everything(store)} == {
            path: found.st_ino for path, found in before.items()
        }, arguments
    assert (reader.home / "copy" / "small").read_bytes() == b"small 1"
    put(owner, store, 2)


def test_a_reader_beside_a_writer_sees_what_is_written_and_leaves_nothing(people: People) -> None:
    owner, reader = people.person(1), people.person(2, groups=(people.gid,))
    store = old_store_in_a_shared_directory(people, owner)
    holder = owner.start([sys.executable, "-c", _HOLD, str(store)])
    assert holder.stdout is not None
    assert holder.stdout.readline() == "reading\n"
    try:
        put(owner, store, 2)
        assert "x2" in reader.does("ls", "demo", "--store", str(store))
        for path in (store / "catalog.sqlite-wal", store / "catalog.sqlite-shm"):
            assert path.stat().st_uid == owner.uid
    finally:
        holder.kill()
        holder.communicate()
    put(owner, store, 3)


@pytest.mark.parametrize("what", ["log", "shard", "group"])
def test_doctor_finds_and_mends_what_keeps_somebody_out(people: People, what: str) -> None:
    gid = people.gid
    one, two = (people.person(n, groups=(gid,)) for n in (1, 2))
    root = people.superuser()
    store = people.root / "shared"
    if what == "group":
        store.mkdir()
        os.chown(store, one.uid, one.gid)
        one.does("init", "--store", str(store), "--group", str(gid))
        put(one, store, 1)
        wrong = next((store / "blobs").glob("*/*"))
        os.chown(wrong, one.uid, one.gid)
        wrong.chmod(0o400)
    else:
        put(one, one.home / "store", 1)
        shutil.move(one.home / "store", store)
        if what == "log":
            connection = sqlite3.connect(store / "catalog.sqlite")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            wrong = store / "catalog.sqlite-wal"
            os.chown(wrong, two.uid, two.gid)
            os.chown(store / "catalog.sqlite-shm", two.uid, two.gid)
        else:
            wrong = next((store / "blobs").glob("*"))
            os.chown(wrong, 0, 0)
            wrong.chmod(0o755)
    done = one.artfs("doctor", "--store", str(store))
    assert done.returncode in {7, 8}, done.stdout
    assert str(wrong) in done.stdout
    assert "doctor --repair" in done.stdout
    root.does("doctor", "--repair", "--store", str(store))
    assert_fits(one, store)
    put(one, store, 2)
    one.does("verify", "--store", str(store))


def test_a_private_store_becomes_one_of_a_group(people: People) -> None:
    gid = people.gid
    one, two = (people.person(n, groups=(gid,)) for n in (1, 2))
    put(one, one.home / "store", 1)
    store = people.root / "shared"
    shutil.move(one.home / "store", store)
    assert two.artfs("ls", "--store", str(store)).returncode == 8
    one.does("init", "--store", str(store), "--group", str(gid))
    put(two, store, 2)
    put(one, store, 3)
    two.does("verify", "--store", str(store))
    assert_fits(two, store)
