"""`artfs://` as fsspec and universal-pathlib know it."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from upath import UPath

import artfs
from artfs.errors import StoreNotFound
from artfs.filesystem.filesystem import ArtfsFileSystem
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from tests.support.forked import works_in_child
from tests.support.stores import Content, File, Link, commit

BIG = bytes(range(256)) * 40_000
CONTENT: Content = {
    "a.csv": b"x,y\n1,2\n",
    "big.bin": BIG,
    "run.sh": File(b"#!/bin/sh\n", executable=True),
    "train/x/1.txt": b"one",
    "train/x/2.txt": b"two",
    "first": Link("train/x"),
    "same.csv": Link("./train/../a.csv"),
    "gone": Link("nothing"),
    "out": Link("../../../etc/passwd"),
    "loop": Link("loop"),
    "ümlaut #1?.txt": b"odd",
}
ROOT = "demo/flowers:latest"


def _fill(root: Path) -> Repository:
    repository = open_store(str(root), create=True, entity="team")
    commit(repository, "demo/flowers", {"a.csv": b"old"})
    commit(repository, "demo/flowers", CONTENT, aliases=("best",))
    return repository


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A store for tests that only read, whose latest version holds CONTENT."""
    return _fill(tmp_path_factory.mktemp("filesystem") / "store")


@pytest.fixture
def fs(filled: Repository, monkeypatch: pytest.MonkeyPatch) -> ArtfsFileSystem:
    """The file system over it, found by the environment."""
    return _chosen(filled, monkeypatch)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """The same content in a store of this test alone."""
    repository = _fill(tmp_path / "store")
    _chosen(repository, monkeypatch)
    return repository


def _chosen(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> ArtfsFileSystem:
    monkeypatch.setenv("ARTFS_STORE", repository.info.location)
    monkeypatch.setenv("ARTFS_PROJECT", "demo")
    monkeypatch.delenv("ARTFS_RUN_ID", raising=False)
    found: ArtfsFileSystem = fsspec.filesystem("artfs")
    return found


def test_the_levels_are_those_of_a_mount(fs: ArtfsFileSystem) -> None:
    assert fs.ls("artfs://", detail=False) == ["demo"]
    assert fs.ls("demo", detail=False) == ["demo/flowers"]
    versions = ["v0", "v1", "best", "latest"]
    assert fs.ls("demo/flowers/", detail=False) == [f"demo/flowers/{each}" for each in versions]
    assert fs.ls("demo/flowers:v0", detail=False) == ["demo/flowers:v0/a.csv"]
    assert fs.ls(f"{ROOT}/train/x/1.txt", detail=False) == [f"{ROOT}/train/x/1.txt"]
    assert {fs.info(each)["type"] for each in ("", "demo", "demo/flowers", ROOT)} == {"directory"}


@pytest.mark.parametrize(
    "address",
    [
        "demo/flowers:latest",
        "artfs://demo/flowers:v1",
        "demo/flowers/best",
        "artfs:///demo//flowers/v1/",
        "flowers:latest",
        "team/demo/flowers:v1",
        "team/demo/artifacts/dataset/flowers/v1",
    ],
)
def test_every_form_of_an_address_leads_to_the_version(fs: ArtfsFileSystem, address: str) -> None:
    assert fs.cat_file(f"{address}/a.csv") == CONTENT["a.csv"]
    assert fs.info(address)["version"] == "demo/flowers:v1"


def test_the_url_of_an_artifact_is_an_address(fs: ArtfsFileSystem) -> None:
    assert fs.exists(f"{artfs.Api().artifact('demo/flowers').url}/train/x/1.txt")


def test_info_names_the_content(fs: ArtfsFileSystem) -> None:
    info = fs.info(f"{ROOT}/a.csv")
    data = b"x,y\n1,2\n"
    assert (info["type"], info["size"]) == ("file", len(data))
    assert info["sha256"] == sha256(data).hexdigest() == fs.ukey(f"{ROOT}/same.csv")
    assert info["md5"] == md5(data).hexdigest()
    assert fs.checksum("demo/flowers:v1/a.csv") == int(sha256(data).hexdigest(), 16)
    assert fs.ukey("demo/flowers:v0/a.csv") != fs.ukey(f"{ROOT}/a.csv")
    assert fs.modified(f"{ROOT}/a.csv") == datetime.fromtimestamp(1_600_000_000.123456789, UTC)
    assert fs.created(f"{ROOT}/a.csv") == fs.modified(ROOT) > fs.created("demo/flowers:v0")
    assert os.access(sys.executable, os.X_OK) == bool(fs.info(f"{ROOT}/run.sh")["mode"] & 0o111)


def test_globs_and_walks_find_what_is_there(fs: ArtfsFileSystem) -> None:
    texts = [f"{ROOT}/train/x/1.txt", f"{ROOT}/train/x/2.txt"]
    assert fs.glob(f"artfs://{ROOT}/train/**/*.txt") == texts
    assert fs.glob("demo/*/best/*.csv") == ["demo/flowers/best/a.csv", "demo/flowers/best/same.csv"]
    assert fs.find(f"{ROOT}/train") == texts
    assert fs.find(f"{ROOT}/a.csv") == [f"{ROOT}/a.csv"]
    assert fs.find(f"{ROOT}/nothing") == []
    up = [where for where, _, _ in fs.walk(f"{ROOT}/train", topdown=False)]
    assert up == [f"{ROOT}/train/x", f"{ROOT}/train"]
    for where, directories, _ in fs.walk(ROOT):
        assert where == ROOT
        directories.clear()
    assert fs.du(ROOT) > len(BIG)
    with pytest.raises(FileNotFoundError):
        list(fs.walk("demo/flowers:v9", on_error="raise"))


def test_links_lead_where_a_mount_leads_and_never_out(fs: ArtfsFileSystem) -> None:
    assert fs.cat_file(f"{ROOT}/same.csv") == b"x,y\n1,2\n"
    assert fs.ls(f"{ROOT}/first", detail=False) == [f"{ROOT}/first/1.txt", f"{ROOT}/first/2.txt"]
    assert fs.isdir(f"{ROOT}/first")
    # A walk goes into no link: it would not end where one leads up.
    assert not [each for each in fs.find(ROOT) if each.startswith(f"{ROOT}/first/")]
    for name in ("gone", "out", "loop"):
        assert not fs.exists(f"{ROOT}/{name}")
        assert fs.lexists(f"{ROOT}/{name}")
        with pytest.raises(FileNotFoundError):
            fs.open(f"{ROOT}/{name}")


def test_ranges_are_those_of_python(fs: ArtfsFileSystem) -> None:
    place = f"{ROOT}/big.bin"
    spans = [(0, 10), (-10, None), (None, -5), (4_194_300, 4_194_310), (7, 3), (5, 10**9)]
    for start, end in spans:
        assert fs.cat_file(place, start, end) == BIG[start:end]
    starts, ends = [each[0] for each in spans], [each[1] for each in spans]
    found = fs.cat_ranges([place] * len(spans), starts, ends)
    assert found == [BIG[start:end] for start, end in spans]
    [missing] = fs.cat_ranges([f"{ROOT}/none"], 0, 1)
    assert isinstance(missing, FileNotFoundError)
    assert fs.cat(f"{ROOT}/train", recursive=True) == {
        f"{ROOT}/train/x/1.txt": b"one",
        f"{ROOT}/train/x/2.txt": b"two",
    }


def test_an_open_file_has_all_that_libraries_ask_of_one(fs: ArtfsFileSystem) -> None:
    with fs.open(f"{ROOT}/big.bin") as file:
        assert (file.size, file.seekable(), file.readable(), file.writable()) == (
            len(BIG),
            True,
            True,
            False,
        )
        assert file.seek(-3, os.SEEK_END) == len(BIG) - 3
        assert (file.read(), file.read()) == (BIG[-3:], b"")
        file.seek(4_194_300)
        target = bytearray(300_000)
        assert file.readinto(target) == len(target)
        assert target == BIG[4_194_300:4_494_300]
        assert file.full_name == f"artfs://{ROOT}/big.bin"
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
    with fs.open(f"{ROOT}/a.csv", "rt") as text:
        assert list(text) == ["x,y\n", "1,2\n"]


def test_what_is_wrong_is_an_error_of_the_operating_system(fs: ArtfsFileSystem) -> None:
    for address in ("demo/flowers:v7/a", "demo/none:v0", f"{ROOT}/none", f"{ROOT}/a.csv/x", "a b"):
        assert not fs.exists(address)
        with pytest.raises(FileNotFoundError) as caught:
            fs.open(address)
        assert isinstance(caught.value.__cause__, artfs.ArtfsError)
    with pytest.raises(IsADirectoryError):
        fs.open(f"{ROOT}/train")
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{ROOT}/\udcff")
    with pytest.raises(StoreNotFound):
        fsspec.filesystem("artfs", store="/nowhere").exists("demo")


def test_nothing_can_be_written(fs: ArtfsFileSystem, tmp_path: Path) -> None:
    attempts: list[Callable[[], Any]] = [
        lambda: fs.open(f"{ROOT}/new", "wb"),
        lambda: fs.open(f"{ROOT}/a.csv", "ab"),
        lambda: fs.pipe(f"{ROOT}/new", b"x"),
        lambda: fs.write_text(f"{ROOT}/new", "x"),
        lambda: fs.touch(f"{ROOT}/a.csv"),
        lambda: fs.mkdir("demo/other"),
        lambda: fs.makedirs(f"{ROOT}/new", exist_ok=True),
        lambda: fs.rm(ROOT, recursive=True),
        lambda: fs.rm_file(f"{ROOT}/a.csv"),
        lambda: fs.delete(f"{ROOT}/a.csv"),
        lambda: fs.rmdir(f"{ROOT}/train"),
        lambda: fs.mv(f"{ROOT}/a.csv", f"{ROOT}/b.csv"),
        lambda: fs.cp(f"{ROOT}/a.csv", f"{ROOT}/b.csv"),
        lambda: fs.put(str(tmp_path), f"{ROOT}/"),
        lambda: UPath(f"artfs://{ROOT}/new").write_text("x"),
    ]
    for attempt in attempts:
        with pytest.raises(OSError, match="never changes") as caught:
            attempt()
        assert caught.value.errno == errno.EROFS
    fs.makedirs(f"{ROOT}/train", exist_ok=True)


def test_an_alias_leads_where_it_leads_now(own: Repository) -> None:
    fs = fsspec.filesystem("artfs")
    with fs.open("demo/flowers:latest/a.csv") as file:
        commit(own, "demo/flowers", {"a.csv": b"new"})
        assert fs.cat_file("demo/flowers:latest/a.csv") == b"new"
        copy = pickle.loads(pickle.dumps(file))
        assert (copy.read(), file.read()) == (b"x,y\n1,2\n", b"x,y\n1,2\n")


def test_a_copy_is_made_of_all_but_dead_links(fs: ArtfsFileSystem, tmp_path: Path) -> None:
    fs.get(ROOT, str(tmp_path / "out"), recursive=True)
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    files = {name: item for name, item in CONTENT.items() if isinstance(item, bytes)}
    assert found == {**files, "run.sh": b"#!/bin/sh\n", "same.csv": CONTENT["a.csv"]}


def test_a_forked_worker_goes_on_reading(fs: ArtfsFileSystem) -> None:
    file = fs.open(f"{ROOT}/big.bin")
    file.read(1000)
    stop, reading = threading.Event(), threading.Event()

    def read_all_the_time() -> None:
        while not stop.is_set():
            fs.cat_ranges([f"{ROOT}/big.bin", f"{ROOT}/a.csv"] * 4, 5, 50)
            reading.set()

    thread = threading.Thread(target=read_all_the_time)
    thread.start()
    try:
        reading.wait()

        def work() -> bool:
            found = fsspec.filesystem("artfs").cat_file(f"{ROOT}/a.csv")
            both = (
                file.read(10) == BIG[1000:1010] and fs.cat_file(f"{ROOT}/big.bin", -7) == BIG[-7:]
            )
            return both and found == CONTENT["a.csv"] and len(fs.cat_ranges([ROOT] * 3, 0, 1)) == 3

        assert all(works_in_child(work) for _ in range(2))
    finally:
        stop.set()
        thread.join()
    assert file.read(10) == BIG[1000:1010]


def test_a_spawned_worker_reads_the_same_store(
    fs: ArtfsFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fs.open(f"{ROOT}/big.bin")
    file.seek(5_000_000)
    pickled = pickle.dumps((fs, file, UPath(f"artfs://{ROOT}/a.csv")))
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "another"))
    code = (
        "import pickle, sys; fs, file, path = pickle.load(sys.stdin.buffer);"
        f"print(fs.cat_file('{ROOT}/a.csv', 0, 3), file.tell(), file.read(2), path.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickled, capture_output=True, check=False
    )
    assert done.stdout.decode() == f"b'x,y' 5000000 {BIG[5_000_000:5_000_002]!r} a.csv\n", (
        done.stderr.decode()
    )


def test_a_password_of_the_environment_is_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = fsspec.filesystem("artfs", skip_instance_cache=True)
    monkeypatch.setenv("ARTFS_STORE", "postgresql://me:hunter2@db.example/artfs")
    assert b"hunter2" not in pickle.dumps(fs)
    monkeypatch.setenv("ARTFS_STORE", "postgresql://db.example/artfs")
    assert b"db.example" in pickle.dumps(fs)


def test_a_damaged_store_is_an_error_and_neither_content_nor_missing(
    own: Repository, tmp_path: Path
) -> None:
    fs = fsspec.filesystem("artfs")
    root = own.info.root
    assert root is not None
    [blob] = [path for path in (root / "blobs").rglob("*") if path.is_file()]
    blob.chmod(0o600)
    blob.write_bytes(bytes(len(BIG)))
    with pytest.raises(OSError, match="does not match its digest") as caught:
        fs.cat_file(f"{ROOT}/big.bin")
    assert caught.value.errno == errno.EIO
    with fs.open(f"{ROOT}/big.bin") as file, pytest.raises(OSError, match="digest"):
        file.read(10)
    assert fs.exists(f"{ROOT}/big.bin")
    shutil.rmtree(root / "packs")
    # By another path, so that nothing of it is in memory.
    (tmp_path / "link").symlink_to(root)
    fresh = fsspec.filesystem("artfs", store=str(tmp_path / "link"))
    assert fresh.exists("demo/flowers/v1")
    for attempt in (fresh.exists, fresh.find):
        with pytest.raises(OSError, match=r".") as caught:
            attempt(f"{ROOT}/train")
        assert caught.value.errno == errno.EIO


def test_upath_works_as_pathlib_does(fs: ArtfsFileSystem) -> None:
    root = UPath(f"artfs://{ROOT}")
    assert (root / "a.csv").read_text() == "x,y\n1,2\n"
    assert sorted(each.name for each in (root / "train" / "x").iterdir()) == ["1.txt", "2.txt"]
    assert [each.name for each in root.glob("**/1.txt")] == ["1.txt"]
    assert (root / "train").is_dir()
    assert (root / "a.csv").is_file()
    assert not (root / "none").exists()
    assert (root / "ümlaut #1?.txt").read_bytes() == b"odd"
    assert (root / "a.csv").stat().st_size == 8
    assert str(root.parent / "flowers:v0" / "a.csv") == "artfs://demo/flowers:v0/a.csv"
    assert (root / "a.csv").parts == ("demo", "flowers:latest", "a.csv")
    assert [str(each) for each in UPath("artfs://").iterdir()] == ["artfs://demo"]
