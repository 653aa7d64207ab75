from __future__ import annotations

import fcntl
import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.local import LocalObjectStore
from artfs.blobs.packs import PackWriter
from artfs.errors import BackendUnavailable, OutOfSpace, PathNotFound, PermissionDenied
from artfs.model import ByteRange, Digest
from tests.support.disks import small_file_system

MIB = 1024 * 1024


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


def key_of(data: bytes) -> ObjectKey:
    return ObjectKey(Namespace.BLOBS, digest_of(data))


def object_path(root: Path, key: ObjectKey) -> Path:
    text = key.sha256.hex()
    return root / key.namespace.value / text[:2] / text[2:]


def files_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalObjectStore:
    return LocalObjectStore(root)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    with small_file_system(tmp_path / "disk", size_mib=1) as disk:
        yield disk


@pytest.mark.parametrize("transfer", list(Transfer))
def test_an_object_is_a_read_only_file_below_its_first_byte(
    root: Path, store: LocalObjectStore, tmp_path: Path, transfer: Transfer
) -> None:
    (tmp_path / "source").write_bytes(b"content")
    key = key_of(b"content")
    store.put(key, tmp_path / "source", transfer=transfer)
    path = object_path(root, key)
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert files_below(root) == [path]
    assert (tmp_path / "source").exists() is (transfer is not Transfer.MOVE)


def test_a_moved_file_is_moved_not_copied(
    root: Path, store: LocalObjectStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    inode = source.stat().st_ino
    store.put(key_of(b"content"), source, transfer=Transfer.MOVE)
    assert object_path(root, key_of(b"content")).stat().st_ino == inode


def test_a_file_with_a_second_name_is_copied_so_that_nobody_can_write_to_the_object(
    root: Path, store: LocalObjectStore, tmp_path: Path
) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_bytes(b"content")
    os.link(source, other)
    store.put(key_of(b"content"), source, transfer=Transfer.MOVE)
    other.write_bytes(b"changed")
    assert not source.exists()
    assert object_path(root, key_of(b"content")).read_bytes() == b"content"


def test_a_moved_symlink_stores_its_target_s_content_and_spares_the_target(
    root: Path, store: LocalObjectStore, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"content")
    (tmp_path / "link").symlink_to(target)
    store.put(key_of(b"content"), tmp_path / "link", transfer=Transfer.MOVE)
    path = object_path(root, key_of(b"content"))
    assert path.read_bytes() == b"content"
    assert not path.is_symlink()
    assert target.read_bytes() == b"content"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("transfer", list(Transfer))
def test_a_file_on_another_file_system_is_copied(
    root: Path, store: LocalObjectStore, tiny_disk: Path, transfer: Transfer
) -> None:
    data = Random(1).randbytes(900_000)
    source = tiny_disk / "source"
    source.write_bytes(data)
    store.put(key_of(data), source, transfer=transfer)
    assert object_path(root, key_of(data)).read_bytes() == data
    assert source.exists() is (transfer is not Transfer.MOVE)


def test_an_existing_object_is_never_overwritten(
    root: Path, store: LocalObjectStore, tmp_path: Path
) -> None:
    key = key_of(b"content")
    for attempt in range(2):
        source = tmp_path / f"source{attempt}"
        source.write_bytes(b"content")
        store.put(key, source, transfer=Transfer.MOVE)
        inode = object_path(root, key).stat().st_ino
        if attempt == 0:
            first = inode
    assert inode == first
    assert not (tmp_path / "source1").exists()


def test_a_full_disk_is_out_of_space_and_leaves_nothing(tiny_disk: Path, tmp_path: Path) -> None:
    root = tiny_disk / "store"
    root.mkdir()
    store = LocalObjectStore(root)
    data = Random(2).randbytes(2 * MIB)
    source = tmp_path / "source"
    source.write_bytes(data)
    with pytest.raises(OutOfSpace, match="No space left on device"):
        store.put(key_of(data), source, transfer=Transfer.MOVE)
    assert files_below(root) == []
    assert source.read_bytes() == data
    assert store.size(key_of(data)) is None
    # A smaller one still fits.
    source.write_bytes(b"small")
    store.put(key_of(b"small"), source, transfer=Transfer.COPY)
    assert store.size(key_of(b"small")) == 5


def test_a_pack_on_a_full_disk_is_out_of_space_and_leaves_nothing(tiny_disk: Path) -> None:
    store = LocalObjectStore(tiny_disk)
    blobs = [Random(seed).randbytes(MIB // 2) for seed in range(4)]

    def fill() -> None:
        with PackWriter(store.temporaries.new("pack")) as pack:
            for blob in blobs:
                pack.add(digest_of(blob), blob)
            pack.finish()

    with pytest.raises(OutOfSpace):
        fill()
    assert files_below(tiny_disk) == []


def test_a_read_only_disk_refuses_puts_and_keeps_serving(tiny_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    LocalObjectStore(tiny_disk).put(key_of(b"content"), tmp_path / "source", transfer=Transfer.COPY)
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    store = LocalObjectStore(tiny_disk)
    assert store.read(key_of(b"content"), ByteRange(1, 3)) == b"ont"
    (tmp_path / "source").write_bytes(b"other")
    with pytest.raises(PermissionDenied, match="Read-only file system"):
        store.put(key_of(b"other"), tmp_path / "source", transfer=Transfer.MOVE)
    with pytest.raises(PermissionDenied):
        store.delete(key_of(b"content"))
    assert (tmp_path / "source").read_bytes() == b"other"


def test_a_source_that_does_not_exist_is_named(store: LocalObjectStore, tmp_path: Path) -> None:
    for transfer in Transfer:
        with pytest.raises(PathNotFound, match="nowhere: does not exist"):
            store.put(key_of(b"x"), tmp_path / "nowhere", transfer=transfer)


def test_a_store_whose_disk_is_gone_never_says_that_an_object_does_not_exist(
    root: Path, store: LocalObjectStore, tmp_path: Path
) -> None:
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    (tmp_path / "source").write_bytes(b"x")
    key = key_of(b"x")
    with pytest.raises(BackendUnavailable, match="mounted"):
        store.size(key)
    with pytest.raises(BackendUnavailable, match="mounted"):
        store.open_local(key)
    with pytest.raises(BackendUnavailable, match="mounted"):
        store.read(key, ByteRange(0, 1))
    with pytest.raises(BackendUnavailable, match="mounted"):
        store.delete(key)
    with pytest.raises(BackendUnavailable, match="mounted"):
        list(store.objects(Namespace.BLOBS))
    with pytest.raises(BackendUnavailable, match="mounted"):
        store.put(key, tmp_path / "source", transfer=Transfer.MOVE)


def test_foreign_files_are_not_listed(root: Path, store: LocalObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    store.put(key_of(b"content"), tmp_path / "source", transfer=Transfer.MOVE)
    (root / "blobs" / "lost+found").mkdir()
    (root / "blobs" / "00").mkdir(exist_ok=True)
    (root / "blobs" / "00" / "notes.txt").touch()
    assert [item.key for item in store.objects(Namespace.BLOBS)] == [key_of(b"content")]


PUT_ONE_KEY = """
import sys
from pathlib import Path
from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.local import LocalObjectStore
root, source, key = sys.argv[1:]
sys.stdin.readline()
store = LocalObjectStore(Path(root))
store.put(ObjectKey(Namespace.BLOBS, bytes.fromhex(key)), Path(source), transfer=Transfer.MOVE)
"""


def test_processes_that_put_one_key_at_once_all_succeed_and_store_it_once(
    root: Path, tmp_path: Path
) -> None:
    data = Random(3).randbytes(3 * MIB)
    key = key_of(data)
    processes = []
    for number in range(4):
        source = tmp_path / f"source{number}"
        source.write_bytes(data)
        command = [sys.executable, "-c", PUT_ONE_KEY, str(root), str(source), key.sha256.hex()]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE))
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert files_below(root) == [object_path(root, key)]
    assert object_path(root, key).read_bytes() == data
    assert not list(tmp_path.glob("source*"))


def test_an_object_that_appears_during_a_put_is_not_overwritten(
    root: Path, store: LocalObjectStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    path = object_path(root, key_of(b"content"))
    path.parent.mkdir()
    directory = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    put = threading.Thread(
        target=store.put, args=(key_of(b"content"), source), kwargs={"transfer": Transfer.MOVE}
    )
    put.start()
    # Wait until the put, which found no object when it began, queues for the lock.
    waiter = re.compile(rf"-> FLOCK .*:{path.parent.stat().st_ino} ")
    while not waiter.search(Path("/proc/locks").read_text()):
        assert put.is_alive()
    with path.open("xb") as first:
        first.write(b"content")
    inode = path.stat().st_ino
    os.close(directory)
    put.join()
    assert path.stat().st_ino == inode
    assert not source.exists()


PUT_FOR_EVER = """
import hashlib, itertools, sys
from pathlib import Path
from random import Random
from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.local import LocalObjectStore
store = LocalObjectStore(Path(sys.argv[1]))
source = Path(sys.argv[2])
for seed in itertools.count():
    data = Random(seed).randbytes(300_000)
    source.write_bytes(data)
    key = ObjectKey(Namespace.BLOBS, hashlib.sha256(data).digest())
    store.put(key, source, transfer=[Transfer.COPY, Transfer.MOVE][seed % 2])
    print(key.sha256.hex(), flush=True)
"""


@pytest.mark.parametrize("lines", range(1, 8))
def test_a_killed_process_leaves_whole_objects_and_all_that_it_reported(
    root: Path, store: LocalObjectStore, tmp_path: Path, lines: int
) -> None:
    command = [sys.executable, "-c", PUT_FOR_EVER, str(root), str(tmp_path / "source")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reported = [process.stdout.readline().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
    for name in reported:
        assert store.size(ObjectKey(Namespace.BLOBS, Digest(bytes.fromhex(name)))) == 300_000
    for item in store.objects(Namespace.BLOBS):
        data = store.read(item.key, ByteRange(0, item.size_bytes))
        assert digest_of(data) == item.key.sha256
    assert all(not item.is_held for item in store.temporaries.all())
