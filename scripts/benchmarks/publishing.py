"""Putting content in: small files against wandb, a large one against hashing, an edit."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path

from artfs.blobs.hashing import hash_file
from artfs.catalog.records import CommitRequest
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import FileEntry
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from scripts.benchmarks.harness import Bench, fresh, write_files, write_large

_WANDB_ADD_DIR = """
import sys, time, wandb
start = time.perf_counter()
wandb.Artifact("bench", "dataset").add_dir(sys.argv[1])
print(time.perf_counter() - start)
"""


def small_files(bench: Bench, *, wandb_python: Path | None, count: int = 10_000) -> None:
    """10,000 files of 1 KiB, durably, against add_dir of the W&B SDK (which syncs nothing)."""
    import artfs  # noqa: PLC0415

    source = fresh(bench.directory / "small")
    write_files(source, count=count, size_bytes=1024)
    stores = itertools.count()

    def put() -> None:
        # A store of its own, so that nothing is there already.
        os.environ["ARTFS_STORE"] = str(bench.directory / f"put-small-{next(stores)}")
        with artfs.init(project="bench") as run:
            artifact = artfs.Artifact("small", type="dataset")
            artifact.add_dir(str(source))
            run.log_artifact(artifact)

    rate = count / bench.best(put)
    figure = f"{rate:,.0f} files/s"
    if wandb_python is None:
        bench.add("put 10,000 x 1 KiB", figure, target="≥ 10,800/s", reached=rate >= 10_800)
        return
    command = [str(wandb_python), "-c", _WANDB_ADD_DIR, str(source)]
    took = min(
        float(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        )
        for _ in range(bench.rounds)
    )
    peer = count / took
    bench.add(
        "put 10,000 x 1 KiB, durable",
        figure,
        peer=f"wandb 0.15.0 add_dir {peer:,.0f} files/s",
        ratio=f"{rate / peer:.1f}",
        target="≥ 6",
        reached=rate >= 6 * peer,
    )


def large_file(bench: Bench, *, size_bytes: int = 4 << 30) -> None:
    """One file of 4 GiB against hashing it; by copy, and by hard link."""
    path = bench.directory / "large.bin"
    write_large(path, size_bytes)

    def hash_it() -> None:
        fd = os.open(path, os.O_RDONLY)
        hash_file(fd)
        os.close(fd)

    peer = bench.best(hash_it)
    for how, options in (("copy", []), ("link", ["--link"])):
        store = fresh(bench.directory / f"put-large-{how}")
        start = time.perf_counter()
        bench.artfs("put", path, "-n", "bench/large", "--store", store, *options)
        took = time.perf_counter() - start
        bench.add(
            f"put 4 GiB by {how}",
            f"{size_bytes / took / 2**20:,.0f} MiB/s",
            peer=f"hashing alone {size_bytes / peer / 2**20:,.0f} MiB/s",
            ratio=f"{peer / took:.2f}",
            target="≥ 0.9",
            reached=peer >= 0.9 * took,
        )
        fresh(store)
    path.unlink()


def million_files(repository: Repository, *, directories: int = 1000, files: int = 1000) -> str:
    """Commit a version of a million (small, equal) files; its path."""
    content = repository.ingest()
    stored = content.add_bytes(b"x")
    builder = TreeBuilder(repository.directory)
    for directory in range(directories):
        for number in range(files):
            # Their times differ, so that no two directories are the same object.
            mtime_ns = directory * files + number
            entry = FileEntry("", stored.sha256, 1, stored.md5, None, False, mtime_ns)
            builder.put(f"d{directory:04d}/f{number:04d}", entry)
    tree = builder.build(content.add_directory)
    request = CommitRequest(project="bench", name="million", type="dataset")
    return repository.commit(content, tree, request).version.path


def edit_of_a_million(bench: Bench) -> None:
    """Change one file of 1,000,000 and commit; time and bytes written."""
    store = bench.directory / "store"
    with open_store(str(store), create=True) as repository:
        million_files(repository)
    before = _stored_bytes(store)
    with open_store(str(store)) as repository:
        start = time.perf_counter()
        base = repository.resolve("bench/million")
        content = repository.ingest()
        stored = content.add_bytes(os.urandom(100))
        builder = TreeBuilder(repository.directory, base.root)
        entry = FileEntry("", stored.sha256, 100, stored.md5, None, False, 7)
        builder.put("d0500/f0500", entry)
        tree = builder.build(content.add_directory)
        request = CommitRequest(
            project="bench", name="million", type="dataset", base_ids=(base.id,)
        )
        outcome = repository.commit(content, tree, request)
        took = time.perf_counter() - start
    assert outcome.created
    written = _stored_bytes(store) - before
    bench.add(
        "commit 1 changed file of 1,000,000",
        f"{took:.2f} s, {written / 1e6:.2f} MB written",
        target="< 3 s, < 5 MB",
        reached=took < 3 and written < 5e6,
    )


def _stored_bytes(store: Path) -> int:
    return sum(path.stat().st_size for path in (store / "packs").rglob("*") if path.is_file())
