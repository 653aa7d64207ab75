"""The promises of a read-only mount, R1 to R8 (docs/design.md, section 5), on real mounts."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from artfs.manifest.directory import directory_digest
from artfs.model import BLOCK_SIZE_BYTES
from artfs.mounts import client
from artfs.repository.facade import Repository
from tests.support.faults import break_catalog, objects_of, overwrite, wait_until
from tests.support.mounts import Mounter
from tests.support.stores import File, Item, Link, commit, commit_encoded

CONTENT: dict[str, Item] = {
    "a.txt": b"first",
    "d/b.txt": b"second",
    "d/run": File(b"#!/bin/sh\n", executable=True),
    "d/link": Link("b.txt"),
    "d/e/c.bin": random.Random(1).randbytes(3 * BLOCK_SIZE_BYTES + 5),
}


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything that can be seen below a directory, inode numbers included."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        name = str(path.relative_to(root))
        found[name] = (
            status.st_ino,
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            status.st_nlink,
            content,
        )
    return found


def errno_of(act: Callable[[], object]) -> int | None:
    """The errno that an action fails with."""
    with pytest.raises(OSError) as caught:
        act()
    return caught.value.errno


def names(directory: Path) -> list[str]:
    """The names in a directory, sorted."""
    return sorted(path.name for path in directory.iterdir())


def drop_kernel_caches() -> None:
    """Make the kernel forget what it knows of every mount, where the one who asks is root."""
    os.sync()
    with suppress(PermissionError):
        Path("/proc/sys/vm/drop_caches").write_text("3")


def test_r1_a_version_never_changes(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", CONTENT)
    root = mounted(repository, "p/a")
    before = snapshot(root / "v0")
    commit(repository, "p/a", {"a.txt": b"changed", "new": b"new"})
    drop_kernel_caches()
    assert snapshot(root / "v0") == before
    assert len(before) == 7


def test_r1_inode_numbers_are_the_same_in_every_mount(
    repository: Repository, mounted: Mounter
) -> None:
    commit(repository, "p/a", CONTENT)
    one, two = mounted(repository), mounted(repository)
    assert snapshot(one) == snapshot(two)


def test_r2_a_tampered_block_fails_and_the_others_do_not(
    repository: Repository, mounted: Mounter
) -> None:
    data = random.Random(2).randbytes(4 * BLOCK_SIZE_BYTES)
    commit(repository, "p/a", {"big": data})
    overwrite(objects_of(repository)[0], 2 * BLOCK_SIZE_BYTES + 100, b"evil")
    path = mounted(repository, "p/a:latest") / "big"
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    try:
        for block in (0, 1, 3):
            start = block * BLOCK_SIZE_BYTES
            assert os.pread(fd, 5000, start) == data[start : start + 5000]
        for _ in range(2):
            assert errno_of(lambda: os.pread(fd, 5000, 2 * BLOCK_SIZE_BYTES)) == errno.EIO
        middle = 2 * BLOCK_SIZE_BYTES - 4096
        assert errno_of(lambda: _read_exactly(fd, middle, 8192)) == errno.EIO
    finally:
        os.close(fd)
    assert errno_of(path.read_bytes) == errno.EIO


def _read_exactly(fd: int, offset: int, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
        data += more
    return data


def test_r2_a_truncated_or_missing_blob_fails(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"one": os.urandom(2 * 2**20), "two": os.urandom(3 * 2**20)})
    two, one = objects_of(repository)[:2]
    two.chmod(0o644)
    os.truncate(two, 2**20)
    one.unlink()
    root = mounted(repository, "p/a:latest")
    assert errno_of((root / "one").read_bytes) == errno.EIO
    assert errno_of((root / "two").read_bytes) == errno.EIO


def test_r3_listing_and_opening_fetch_nothing(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", CONTENT)
    root = mounted(repository)
    for path in root.rglob("*"):
        path.lstat()
        if path.is_file():
            path.open("rb").close()
    counters = client.status(root).counters
    assert counters is not None
    assert counters.opens > 0
    assert (counters.reads, counters.bytes_loaded) == (0, 0)


def test_r3_a_small_read_fetches_one_block(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"big": os.urandom(16 * BLOCK_SIZE_BYTES)})
    root = mounted(repository, "p/a:latest")
    fd = os.open(root / "big", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    os.pread(fd, 100, 9 * BLOCK_SIZE_BYTES + 12_345)
    os.close(fd)
    counters = client.status(root).counters
    assert counters is not None
    assert counters.bytes_loaded == BLOCK_SIZE_BYTES


@pytest.mark.parametrize("style", ["directory", "symlink"])
def test_r4_an_alias_moves_within_its_ttl(
    repository: Repository, mounted: Mounter, style: str
) -> None:
    commit(repository, "p/a", {"x": b"0"})
    root = mounted(repository, "p/a", alias_ttl_s=0.5, aliases=style)
    assert (root / "latest" / "x").read_bytes() == b"0"
    commit(repository, "p/a", {"x": b"1"})
    took_s = wait_until(lambda: (root / "latest" / "x").read_bytes() == b"1")
    assert took_s < 1.5
    assert names(root) == ["latest", "v0", "v1"]


def test_r4_what_is_open_stays_on_its_version(repository: Repository, mounted: Mounter) -> None:
    data = [os.urandom(2 * BLOCK_SIZE_BYTES), os.urandom(2 * BLOCK_SIZE_BYTES)]
    commit(repository, "p/a", {"d/x": data[0], "d/only-in-v0": b"0"})
    root = mounted(repository, "p/a", alias_ttl_s=0.0)
    directory = os.open(root / "latest" / "d", os.O_RDONLY | os.O_DIRECTORY)
    file = os.open("x", os.O_RDONLY, dir_fd=directory)
    listing = os.scandir(directory)
    try:
        commit(repository, "p/a", {"d/x": data[1]})
        assert (root / "latest" / "d" / "x").read_bytes() == data[1]
        assert _read_exactly(file, 0, len(data[0])) == data[0]
        inner = os.open("only-in-v0", os.O_RDONLY, dir_fd=directory)
        assert os.read(inner, 10) == b"0"
        os.close(inner)
        assert sorted(entry.name for entry in listing) == ["only-in-v0", "x"]
    finally:
        listing.close()
        os.close(file)
        os.close(directory)


def test_r4_a_deleted_version_vanishes_and_what_is_open_of_it_stays(
    repository: Repository, mounted: Mounter
) -> None:
    first = commit(repository, "p/a", {"x": b"0" * 10_000})
    commit(repository, "p/a", {"x": b"1"})
    root = mounted(repository, "p/a", alias_ttl_s=0.2)
    with (root / "v0" / "x").open("rb") as opened:
        repository.catalog.delete_version(first.id, delete_aliases=True)
        wait_until(lambda: "v0" not in names(root))
        wait_until(lambda: not (root / "v0").exists())
        assert opened.read() == b"0" * 10_000


def test_r4_a_frozen_mount_never_moves(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"x": b"0"})
    root = mounted(repository, freeze=True, alias_ttl_s=0.0)
    commit(repository, "p/a", {"x": b"1"})
    commit(repository, "p/b", {"x": b"1"})
    assert names(root / "p") == ["a"]
    assert names(root / "p" / "a") == ["latest", "v0"]
    assert (root / "p" / "a" / "latest" / "x").read_bytes() == b"0"
    assert not (root / "p" / "a" / "v1").exists()


def test_r5_without_the_store_what_was_read_can_be_read(
    repository: Repository, mounted: Mounter
) -> None:
    commit(repository, "p/a", CONTENT)
    root = mounted(repository, alias_ttl_s=0.0)
    before = snapshot(root)
    store = repository.info.root
    assert store is not None
    break_catalog(repository)
    shutil.rmtree(store / "packs")
    shutil.rmtree(store / "blobs")
    assert snapshot(root) == before


def test_r5_an_outage_is_an_error_and_never_an_absence(
    repository: Repository, mounted: Mounter
) -> None:
    commit(repository, "p/a", CONTENT)
    commit(repository, "p/b", CONTENT)
    root = mounted(repository, alias_ttl_s=0.0)
    assert names(root) == ["p"]
    break_catalog(repository)
    # What was asked before is answered from memory; what was not is an error.
    assert names(root) == ["p"]
    assert errno_of(lambda: names(root / "p" / "a")) == errno.EIO
    assert errno_of((root / "p" / "b").stat) == errno.EIO
    assert errno_of((root / "p" / "nobody-knows").stat) == errno.EIO


def test_r6_a_stuck_read_ends_within_its_deadline(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"one": os.urandom(2**21), "other": b"small"})
    path = objects_of(repository)[0]
    path.unlink()
    # Opening a fifo that nobody writes to hangs, as a dead network file system does.
    os.mkfifo(path)
    root = mounted(repository, "p/a:latest", read_timeout_s=1.0)
    start = time.monotonic()
    assert errno_of((root / "one").read_bytes) == errno.ETIMEDOUT
    assert time.monotonic() - start < 5
    assert (root / "other").read_bytes() == b"small"
    assert client.status(root).state is client.MountState.MOUNTED


def test_r7_every_mutation_answers_erofs(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", CONTENT)
    root = mounted(repository)
    version = root / "p" / "a" / "v0"
    file, directory = version / "a.txt", version / "d"
    attempts: dict[str, Callable[[], object]] = {
        "create": lambda: (version / "new").open("x"),
        "write": lambda: os.open(file, os.O_WRONLY),
        "read and write": lambda: os.open(file, os.O_RDWR),
        "append": lambda: file.open("a"),
        "truncate": lambda: os.truncate(file, 0),
        "unlink": file.unlink,
        "mkdir": (version / "new").mkdir,
        "mkdir in root": (root / "new").mkdir,
        "rmdir": directory.rmdir,
        "rename": lambda: file.rename(version / "b.txt"),
        "rename over": lambda: file.rename(directory / "b.txt"),
        "symlink": lambda: (version / "new").symlink_to("x"),
        "link": lambda: os.link(file, version / "new"),
        "chmod": lambda: file.chmod(0o777),
        "chown": lambda: os.chown(file, 1, 1),
        "utime": lambda: os.utime(file),
        "mkfifo": lambda: os.mkfifo(version / "new"),
        "setxattr": lambda: os.setxattr(file, "user.mine", b"x"),
        "removexattr": lambda: os.removexattr(file, "user.artfs.digest"),
    }
    before = snapshot(version)
    answers = {name: errno_of(attempt) for name, attempt in attempts.items()}
    assert answers == dict.fromkeys(attempts, errno.EROFS)
    assert not os.access(file, os.W_OK)
    assert snapshot(version) == before


def _encoded(*entries: list[object]) -> bytes:
    """A directory object as somebody hostile may write it: nothing is checked."""
    bodies = [msgspec.msgpack.encode(entry) for entry in entries]
    offsets = [sum(map(len, bodies[:index])) for index in range(len(bodies))]
    index = b"".join(offset.to_bytes(4, "little") for offset in offsets)
    head = bytes([0x90 | len(bodies)])
    return b"\x93\x01" + msgspec.msgpack.encode(index) + head + b"".join(bodies)


def _file(name: str, **fields: object) -> list[object]:
    values = {"sha256": b"\1" * 32, "size": 3, "md5": b"\2" * 16, "blocks": None, "exec": False}
    values |= {"mtime": 0} | fields
    return ["f", name, *values.values()]


HOSTILE: dict[str, list[object]] = {
    "dots": _file("../../escape"),
    "parent": _file(".."),
    "slash": _file("a/b"),
    "absolute": _file("/etc/passwd"),
    "nul": _file("nul\0nul"),
    "nameless": _file(""),
    "long-name": _file("x" * 300),
    "negative-size": _file("ok", size=-1),
    "huge-size": _file("ok", size=2**63),
    "huge-mtime": _file("ok", mtime=2**63),
    "empty-target": ["s", "ok", ""],
    "long-target": ["s", "ok", "x" * 5000],
    "nul-target": ["s", "ok", "nul\0"],
    "short-entry": ["d", "ok", b"short", 0],
    "unknown-kind": ["z", "ok"],
    "nothing": [],
}


def test_r8_a_hostile_directory_is_an_error_and_nothing_else(
    repository: Repository, mounted: Mounter
) -> None:
    for name, entry in HOSTILE.items():
        commit_encoded(repository, f"p/{name}", _encoded(entry))
    commit(repository, "p/good", CONTENT)
    root = mounted(repository, "p")
    for name in HOSTILE:
        version = root / name / "v0"
        listed = errno_of(partial(names, version))
        found = {errno_of((version / inner).stat) for inner in ("ok", "x", "a")}
        assert (name, listed) == (name, errno.EIO)
        assert found <= {errno.EIO, errno.ENOENT}
    assert (root / "good" / "v0" / "a.txt").read_bytes() == b"first"


def test_r8_a_file_that_claims_another_one_s_content_is_not_served(
    repository: Repository, mounted: Mounter
) -> None:
    secret = commit(repository, "p/good", {"x": b"secret"})
    entry = repository.find(secret.tree, "x")
    liar = _file("x", sha256=entry.sha256, size=100)  # type: ignore[union-attr]
    commit_encoded(repository, "p/evil", _encoded(liar))
    root = mounted(repository, "p")
    assert (root / "evil" / "v0" / "x").stat().st_size == 100
    assert errno_of((root / "evil" / "v0" / "x").read_bytes) == errno.EIO
    assert (root / "good" / "v0" / "x").read_bytes() == b"secret"


def test_r8_a_directory_that_contains_itself_ends_somewhere(
    repository: Repository, mounted: Mounter
) -> None:
    # Its own digest cannot be in it; one that is not there at all is as close as it gets.
    missing = directory_digest(b"nothing")
    commit_encoded(repository, "p/evil", _encoded(["d", "loop", missing, 0, 0]))
    root = mounted(repository, "p/evil:v0")
    assert names(root) == ["loop"]
    assert errno_of(lambda: names(root / "loop")) == errno.EIO


def test_r8_a_symlink_out_of_the_mount_is_not_followed_by_the_daemon(
    repository: Repository, mounted: Mounter, tmp_path: Path
) -> None:
    commit(repository, "p/a", {"out": Link("/etc/hostname"), "up": Link("../../../..")})
    root = mounted(repository, "p/a:v0")
    assert str((root / "out").readlink()) == "/etc/hostname"
    assert str((root / "up").readlink()) == "../../../.."
    counters = client.status(root).counters
    assert counters is not None
    assert counters.opens == 0


def test_r5_and_r6_the_control_socket_answers_while_reads_hang(
    repository: Repository, mounted: Mounter
) -> None:
    commit(repository, "p/a", {f"f{i}": os.urandom(2**21) for i in range(12)})
    for path in objects_of(repository)[:12]:
        path.unlink()
        os.mkfifo(path)
    root = mounted(repository, "p/a:latest", read_timeout_s=3.0)
    ended: list[int | None] = []
    readers = [
        threading.Thread(target=lambda i=i: ended.append(errno_of((root / f"f{i}").read_bytes)))
        for i in range(12)
    ]
    for reader in readers:
        reader.start()
    wait_until(lambda: (client.status(root).counters or _none()).open_files == 12)
    start = time.monotonic()
    assert client.status(root).state is client.MountState.MOUNTED
    assert time.monotonic() - start < 1
    for reader in readers:
        reader.join()
    assert ended == [errno.ETIMEDOUT] * 12


def _none() -> client.Counters:
    raise AssertionError("the mount tells no counters")
