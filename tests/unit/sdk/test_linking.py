"""Downloads that share the store's disk space: hard links, reflinks, and what cannot be shared."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from pathlib import Path
from random import Random

import pytest

import artfs
from artfs.blobs.cache import BlockCache
from artfs.blobs.local import LocalObjectStore
from artfs.catalog.sql import SqlCatalog
from artfs.errors import IntegrityError
from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.facade import Repository, StoreInfo
from artfs.repository.stores import open_store
from artfs.sdk import materialize
from artfs.sdk.download import download_tree
from artfs.sdk.materialize import Placement
from artfs.upkeep.verify import verify
from tests.support.disks import reflinking_disk
from tests.support.references import ROOMY
from tests.support.stores import File, commit, commit_references, new_store

__all__ = ["reflinking_disk"]

LARGE = Random(5).randbytes(5 * BLOCK_SIZE_BYTES + 77)
SMALL = b"small"
MTIME_NS = 1_500_000_000_123_456_789


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    """An embedded store that holds p/a: a large file and a small one."""
    repository = new_store(tmp_path / "linked-store")
    files = {"large": File(LARGE, mtime_ns=MTIME_NS), "dir/small": File(SMALL, mtime_ns=MTIME_NS)}
    commit(repository, "p/a", files)
    return repository


def tree(repository: Repository, path: str = "p/a") -> artfs.model.Digest:
    return repository.resolve(path).tree


def blob(repository: Repository) -> Path:
    """The one large blob of a store."""
    assert repository.info.root is not None
    [found] = [path for path in (repository.info.root / "blobs").rglob("*") if path.is_file()]
    return found


def damage(path: Path) -> None:
    """Change one byte in the middle of a read-only file, and nothing that `stat` shows."""
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(len(LARGE) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(before.st_mode & 0o777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def is_sound(repository: Repository) -> bool:
    """Whether `artfs verify` of the whole store finds nothing."""
    versions = [version for version, _ in repository.catalog.live_trees()]
    return not verify(repository, versions).damages


def names_aside(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.startswith(".")]


# --- hard links --------------------------------------------------------------------------------


def test_a_large_file_is_linked_and_a_small_one_copied(store: Repository, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = download_tree(store, tree(store), root, link=True)
    assert (root / "large").samefile(blob(store))
    assert (root / "large").stat().st_mode & 0o777 == 0o400
    assert (root / "large").read_bytes() == LARGE
    small = (root / "dir/small").stat()
    assert (root / "dir/small").read_bytes() == SMALL
    assert (small.st_nlink, small.st_mtime_ns) == (1, MTIME_NS)
    assert done.counts[Placement.LINKED] == done.counts[Placement.COPIED] == 1
    assert done.not_linked == 0
    assert names_aside(root) == []


def test_without_being_asked_nothing_is_linked(store: Repository, tmp_path: Path) -> None:
    root = tmp_path / "root"
    download_tree(store, tree(store), root)
    status = (root / "large").stat()
    assert not (root / "large").samefile(blob(store))
    assert (status.st_nlink, status.st_mtime_ns) == (1, MTIME_NS)
    (root / "large").write_bytes(b"mine")
    assert is_sound(store)


def test_a_second_download_keeps_links_and_the_times_of_the_store(
    store: Repository, tmp_path: Path
) -> None:
    download_tree(store, tree(store), tmp_path / "root", link=True)
    before = blob(store).stat()
    for link in (True, False):
        done = download_tree(store, tree(store), tmp_path / "root", link=link)
        assert done.counts[Placement.KEPT] == 2
    after = blob(store).stat()
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)


def test_r2_what_is_damaged_in_the_store_is_not_linked(store: Repository, tmp_path: Path) -> None:
    damage(blob(store))
    with pytest.raises(IntegrityError):
        download_tree(store, tree(store), tmp_path / "root", link=True)
    assert not (tmp_path / "root/large").exists()
    assert names_aside(tmp_path / "root") == []


def test_a_link_that_was_damaged_is_noticed_and_the_store_says_so(
    store: Repository, tmp_path: Path
) -> None:
    download_tree(store, tree(store), tmp_path / "root", link=True)
    damage(tmp_path / "root/large")
    with pytest.raises(IntegrityError, match="does not match"):
        download_tree(store, tree(store), tmp_path / "root", link=True)
    assert not is_sound(store)


def test_the_next_version_takes_the_place_of_a_link_and_leaves_the_store_alone(
    store: Repository, tmp_path: Path
) -> None:
    old = tree(store)
    root = tmp_path / "root"
    download_tree(store, old, root, link=True)
    changed = bytes(reversed(LARGE))
    commit(store, "p/a", {"large": changed})
    for link in (False, True):
        download_tree(store, tree(store), root, link=link)
        assert (root / "large").read_bytes() == changed
        download_tree(store, old, root, link=True)
        assert (root / "large").read_bytes() == LARGE
    assert is_sound(store)


def test_a_file_with_another_executable_bit_than_the_stored_one_is_copied(
    store: Repository, tmp_path: Path
) -> None:
    commit(store, "p/x", {"run": File(LARGE, executable=True), "plain": LARGE})
    root = tmp_path / "root"
    done = download_tree(store, tree(store, "p/x"), root, link=True)
    assert os.access(root / "run", os.X_OK)
    assert not (root / "run").samefile(blob(store))
    assert (root / "plain").samefile(blob(store))
    assert (done.not_linked, done.why_not_linked) == (1, "it is stored with another executable bit")


def test_a_blob_that_can_be_written_to_is_copied(store: Repository, tmp_path: Path) -> None:
    blob(store).chmod(0o644)
    done = download_tree(store, tree(store), tmp_path / "root", link=True)
    assert not (tmp_path / "root/large").samefile(blob(store))
    assert done.why_not_linked == "it is stored writable"


@pytest.mark.parametrize(
    "code",
    [errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT],
    ids=errno.errorcode.get,
)
def test_what_cannot_be_linked_is_copied(
    code: int, store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    root = tmp_path / "root"
    done = download_tree(store, tree(store), root, link=True)
    assert (root / "large").read_bytes() == LARGE
    assert (root / "large").stat().st_mtime_ns == MTIME_NS
    assert (done.counts[Placement.LINKED], done.not_linked) == (0, 1)


def test_python_is_told_once_that_files_were_copied(
    store: Repository, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.fail("/dev/shm is not a file system of its own")
    commit(store, "p/two", {"one": LARGE, "two": LARGE})
    artifact = artfs.Artifact.of_version(store, store.resolve("p/two"))
    root = Path("/dev/shm") / f"artfs-test-{os.getpid()}"
    try:
        with caplog.at_level(logging.WARNING):
            artifact.download(str(root), link=True)
        assert (root / "two").read_bytes() == LARGE
    finally:
        shutil.rmtree(root, ignore_errors=True)
    [record] = caplog.records
    assert "2 large files were copied in place of being hard-linked" in record.message
    assert "another file system" in record.message


def test_one_entry_is_linked_as_well(store: Repository, tmp_path: Path) -> None:
    artifact = artfs.Artifact.of_version(store, store.resolve("p/a"))
    path = artifact.get_path("large").download(str(tmp_path / "root"), link=True)
    assert Path(path).samefile(blob(store))


def test_an_entry_of_another_version_is_linked_too(store: Repository, tmp_path: Path) -> None:
    version = store.resolve("p/a")
    commit_references(store, "p/view", view=f"wandb-artifact://{version.id}/large")
    download_tree(store, tree(store, "p/view"), tmp_path / "root", link=True)
    assert (tmp_path / "root/view").samefile(blob(store))


def test_nothing_is_linked_out_of_a_store_that_is_elsewhere(
    store: Repository, tmp_path: Path
) -> None:
    assert store.info.root is not None
    elsewhere = Repository(
        StoreInfo("elsewhere", "team", None),
        catalog=SqlCatalog.sqlite(store.info.root / "catalog.sqlite"),
        objects=LocalObjectStore(store.info.root),
        workspace=LocalObjectStore(store.info.root),
        cache=BlockCache(tmp_path / "cache", ROOMY),
    )
    with elsewhere:
        done = download_tree(elsewhere, tree(elsewhere), tmp_path / "root", link=True)
    assert (tmp_path / "root/large").read_bytes() == LARGE
    assert not (tmp_path / "root/large").samefile(blob(store))
    assert done.why_not_linked == "the store is not a directory of this machine"


# --- reflinks ----------------------------------------------------------------------------------


def test_on_a_disk_that_reflinks_a_large_file_shares_extents(reflinking_disk: Path) -> None:
    root = reflinking_disk / "root"
    with open_store(str(reflinking_disk / "store"), create=True) as store:
        files = {
            "large": File(LARGE, mtime_ns=MTIME_NS),
            "run": File(LARGE, executable=True),
            "small": File(SMALL),
        }
        commit(store, "p/a", files)
        done = download_tree(store, tree(store), root)
        assert (done.counts[Placement.REFLINKED], done.counts[Placement.COPIED]) == (2, 1)
        assert (root / "large").read_bytes() == LARGE
        status = (root / "large").stat()
        assert (status.st_mtime_ns, status.st_nlink) == (MTIME_NS, 1)
        assert os.access(root / "large", os.W_OK)
        assert not status.st_mode & 0o111
        assert os.access(root / "run", os.X_OK)
        # It is a file of its own.
        with (root / "large").open("r+b") as file:
            file.write(b"mine")
        assert is_sound(store)
        assert (root / "run").read_bytes() == LARGE


def test_r2_a_reflink_of_what_is_damaged_does_not_stay(
    store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloned: list[int] = []

    def clone(source_fd: int, target_fd: int) -> bool:
        """What the ioctl does, for disks that do not know it."""
        cloned.append(os.fstat(source_fd).st_size)
        with open(source_fd, "rb", closefd=False) as source:
            os.pwrite(target_fd, source.read(), 0)
        return True

    monkeypatch.setattr(materialize, "clone_file", clone)
    done = download_tree(store, tree(store), tmp_path / "good")
    assert done.counts[Placement.REFLINKED] == 1
    assert (tmp_path / "good/large").read_bytes() == LARGE
    assert (tmp_path / "good/large").stat().st_mtime_ns == MTIME_NS
    damage(blob(store))
    with pytest.raises(IntegrityError):
        download_tree(store, tree(store), tmp_path / "root")
    assert not (tmp_path / "root/large").exists()
    assert cloned == [len(LARGE)] * 2
