"""`artfs://` over a shared store: what is fetched is kept for all processes of the user."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from artfs.content.remote import cache_root
from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.stores import make_store, open_store
from tests.servers.postgres import PostgreSQL
from tests.support.forked import works_in_child
from tests.support.stores import commit

DATA = os.urandom(6 * BLOCK_SIZE_BYTES)


def kept_bytes() -> int:
    """How much is in the block cache."""
    return sum(path.stat().st_size for path in cache_root().rglob("*") if path.is_file())


def test_what_is_read_is_fetched_once_also_for_forked_workers(
    tmp_path: Path, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ARTFS_RUN_ID", raising=False)
    url = postgresql.new_schema()
    make_store(url, blobs=(tmp_path / "blobs").as_uri(), entity="team")
    with open_store(url) as repository:
        commit(repository, "demo/big", {"data.bin": DATA})
    fs = fsspec.filesystem("artfs", store=url)
    file = fs.open("demo/big:latest/data.bin")
    file.seek(2 * BLOCK_SIZE_BYTES + 5)
    assert file.read(1000) == DATA[2 * BLOCK_SIZE_BYTES + 5 :][:1000]
    before = kept_bytes()
    assert BLOCK_SIZE_BYTES <= before < 2 * BLOCK_SIZE_BYTES

    def work() -> bool:
        kept = file.read(1000) == DATA[2 * BLOCK_SIZE_BYTES + 1005 :][:1000]
        return kept and bool(fs.cat_file("demo/big:v0/data.bin", -100) == DATA[-100:])

    assert works_in_child(work)
    # The child has fetched the last block, which this process finds.
    assert before + BLOCK_SIZE_BYTES <= kept_bytes() < before + 2 * BLOCK_SIZE_BYTES
    after = kept_bytes()
    assert fs.cat_file("demo/big:v0/data.bin", -10) == DATA[-10:]
    assert kept_bytes() == after
    assert fs.cat_file("demo/big:v0/data.bin") == DATA
