"""Downloads of large files and of references: in parallel, once, resumed, and without a source."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

import artfs
from artfs.content.blobs import BlobContent
from artfs.errors import ArtfsError, BackendUnavailable
from artfs.manifest.entries import ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.repository.facade import Repository
from artfs.sdk.download import download_tree
from artfs.sdk.materialize import Placement
from artfs.system.threads import Workers
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.nginx import Nginx
from tests.support.stores import commit, commit_references
from tests.unit.sdk.helpers import files_below

LARGE = Random(6).randbytes(10 * BLOCK_SIZE_BYTES + 4321)
_PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A block cache for each test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tree(repository: Repository, path: str = "p/a") -> Digest:
    return repository.resolve(path).tree


def body_bytes(nginx: Nginx, name: str) -> int:
    """How many bytes of a file the server has sent."""
    return sum(each.body_bytes for each in nginx.requests(name) if each.method == "GET")


def test_a_large_file_is_read_by_several_threads(
    repository: Repository, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, "p/a", {"large": LARGE})
    load_block = BlobContent.load_block
    both = threading.Barrier(2, timeout=_PATIENCE_S)
    met: list[str] = []

    def meeting(self: BlobContent, index: int) -> object:
        # The first two blocks show how the source answers; the next ones are shared out.
        if 2 <= index < 6 and index % 2 == 0:
            both.wait()
            met.append(threading.current_thread().name)
        return load_block(self, index)

    monkeypatch.setattr(BlobContent, "load_block", meeting)
    download_tree(repository, tree(repository), workplace / "root")
    assert (workplace / "root/large").read_bytes() == LARGE
    assert len(set(met)) == 2


def test_a_download_killed_within_a_large_file_leaves_nothing_half_written(
    repository: Repository, workplace: Path
) -> None:
    commit(repository, "demo/data", {"large": LARGE, "other": b"other"})
    script = (
        "import artfs, os, signal\n"
        "def told(progress):\n"
        "    if progress.bytes_done > 20_000_000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "artfs.Api().artifact('demo/data').download('out', on_progress=told)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(artfs.__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not Path("out/large").exists()
    # What was written until then is aside, until the next download.
    [aside] = [path for path in Path("out").iterdir() if path.name.startswith(".")]
    assert sum(path.stat().st_size for path in aside.iterdir()) > 0
    download_tree(repository, tree(repository, "demo/data"), Path("out"))
    assert Path("out/large").read_bytes() == LARGE
    assert sorted(path.name for path in Path("out").iterdir()) == ["large", "other"]


def test_two_downloads_to_one_place_do_not_disturb_each_other(
    repository: Repository, workplace: Path
) -> None:
    files = {f"d{n % 7}/{n}": bytes([n]) * (n * 1000) for n in range(200)} | {"large": LARGE}
    commit(repository, "p/a", files)
    root = workplace / "root"
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: download_tree(repository, tree(repository), root), range(3)))
    assert files_below(root) == files


# --- references --------------------------------------------------------------------------------


def test_a_reference_is_fetched_once_and_then_comes_from_the_cache(
    repository: Repository, nginx: Nginx, workplace: Path
) -> None:
    nginx.write("ranged.bin", LARGE)
    with fault_proxy(nginx.url) as proxy:
        commit_references(repository, "p/a", large=f"{proxy.url}/plain/ranged.bin")
        before = body_bytes(nginx, "ranged.bin")
        download_tree(repository, tree(repository), workplace / "first")
        assert (workplace / "first/large").read_bytes() == LARGE
        assert body_bytes(nginx, "ranged.bin") - before == len(LARGE)
        assert len({each.range for each in nginx.requests("ranged.bin")}) > 3
    # The proxy is gone, and with it the address.
    download_tree(repository, tree(repository), workplace / "second")
    assert (workplace / "second/large").read_bytes() == LARGE


def test_a_server_without_ranges_sends_a_large_file_once(
    repository: Repository, nginx: Nginx, workplace: Path
) -> None:
    nginx.write("whole.bin", LARGE)
    commit_references(repository, "p/a", large=f"{nginx.url}/no-ranges/whole.bin")
    before = body_bytes(nginx, "whole.bin")
    download_tree(repository, tree(repository), workplace / "root")
    assert (workplace / "root/large").read_bytes() == LARGE
    assert body_bytes(nginx, "whole.bin") - before == len(LARGE)


def test_a_download_that_broke_off_fetches_only_what_is_missing(
    repository: Repository, nginx: Nginx, workplace: Path
) -> None:
    nginx.write("broken.bin", LARGE)
    root = workplace / "root"
    with fault_proxy(nginx.url) as proxy:
        commit_references(repository, "p/a", large=f"{proxy.url}/plain/broken.bin")
        first: list[int] = []

        def refuse_the_rest(done: artfs.Progress) -> None:
            first.append(done.bytes_done)
            proxy.set(Fault(status=403))

        artifact = artfs.Artifact.of_version(repository, repository.resolve("p/a"))
        with pytest.raises(ArtfsError):
            artifact.download(str(root), on_progress=refuse_the_rest)
        assert list(root.iterdir()) == []
        proxy.set()
        sent = proxy.body_bytes
        artifact.download(str(root))
        assert (root / "large").read_bytes() == LARGE
        assert first[0] >= BLOCK_SIZE_BYTES
        assert proxy.body_bytes - sent <= len(LARGE) - 2 * BLOCK_SIZE_BYTES


def test_a_reference_pinned_by_its_md5_is_kept_where_it_is_right(
    repository: Repository, workplace: Path
) -> None:
    (workplace / "source").write_bytes(LARGE)
    commit_references(repository, "p/a", large=f"file://{workplace}/source")
    entry = repository.find(tree(repository), "large")
    assert isinstance(entry, ReferenceEntry)
    assert entry.pin.md5 is not None
    root = workplace / "root"
    download_tree(repository, tree(repository), root)
    (workplace / "source").unlink()
    done = download_tree(repository, tree(repository), root)
    assert done.counts[Placement.KEPT] == 1
    with (root / "large").open("r+b") as file:
        file.write(b"wrong")
    with pytest.raises(ArtfsError):
        download_tree(repository, tree(repository), root)


def test_what_is_neither_cached_nor_reachable_is_an_error_and_leaves_the_rest(
    repository: Repository, nginx: Nginx, workplace: Path
) -> None:
    nginx.write("lost.bin", b"lost")
    with fault_proxy(nginx.url) as proxy:
        commit_references(repository, "p/a", lost=f"{proxy.url}/plain/lost.bin")
    (workplace / "root").mkdir()
    (workplace / "root/lost").write_bytes(b"mine")
    with pytest.raises(BackendUnavailable):
        download_tree(repository, tree(repository), workplace / "root")
    assert (workplace / "root/lost").read_bytes() == b"mine"


# --- workers -----------------------------------------------------------------------------------


def test_all_parts_of_a_shared_job_are_done_once() -> None:
    workers, done = Workers("test"), []

    def job(number: int) -> None:
        workers.share(lambda part: done.append((number, part)), range(50))

    workers.run(job, range(20), on_failure=lambda: None)
    assert sorted(done) == [(number, part) for number in range(20) for part in range(50)]


@pytest.mark.parametrize("error", [IndexError, ValueError, OSError])
def test_a_part_that_fails_fails_the_job_and_ends_it(error: type[Exception]) -> None:
    workers, done = Workers("test"), []
    told: list[bool] = []

    def part(number: int) -> None:
        if number == 7:
            raise error("seven")
        done.append(number)

    with pytest.raises(error, match="seven"):
        workers.run(
            lambda _: workers.share(part, range(100_000)),
            [0],
            on_failure=lambda: told.append(True),
        )
    assert told == [True]
    assert len(done) < 100_000 - 1
