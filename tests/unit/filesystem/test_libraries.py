"""Libraries read through `artfs://`, and fetch only the blocks that they touch."""

from __future__ import annotations

import io
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import zarr

import artfs
from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from tests.servers.nginx import Nginx
from tests.support.mounts import ended_at_the_end, runtime
from tests.support.stores import commit, commit_references

__all__ = ["runtime"]

GROUPS, ROWS = 4, 640_000
"""Row groups of 5 MB each: no two of them share more than one block."""
ADDRESS = "artfs://demo/numbers:latest/numbers.parquet"


@pytest.fixture(scope="module")
def numbers() -> pa.Table:
    """A table that compresses badly."""
    value = np.random.default_rng(1).random(GROUPS * ROWS)
    return pa.table({"value": value, "group": np.repeat(np.arange(GROUPS), ROWS)})


@pytest.fixture(scope="module")
def parquet(numbers: pa.Table) -> bytes:
    """The same as a file."""
    file = io.BytesIO()
    pq.write_table(numbers, file, row_group_size=ROWS)
    return file.getvalue()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A new store, which is the default one, and an empty block cache."""
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ARTFS_RUN_ID", raising=False)
    return open_store(str(tmp_path / "store"), create=True)


@pytest.fixture
def served(repository: Repository, nginx: Nginx, parquet: bytes) -> Served:
    """A version that refers to the file on a web server, which nobody has read yet."""
    name = f"{repository.info.location.replace('/', '-')}.parquet"
    first = nginx.root / "numbers.parquet"
    if not first.exists():
        nginx.write(first.name, parquet)
    (nginx.root / name).hardlink_to(first)
    entries = {"numbers.parquet": f"{nginx.url}/{name}"}
    commit_references(repository, "demo/numbers", checksum=True, **entries)
    return Served(nginx, name, len(parquet))


class Served:
    """A file on a web server, and what was asked of it."""

    def __init__(self, nginx: Nginx, name: str, size_bytes: int) -> None:
        self._nginx = nginx
        self._name = name
        self.block_count = -(-size_bytes // BLOCK_SIZE_BYTES)

    def blocks_sent(self) -> int:
        """How many blocks were sent by now, each of them counted as often as it was sent."""
        # The one without a range is that of the commit, which did not wait for the body.
        sent = sum(
            each.body_bytes for each in self._nginx.requests(self._name) if each.range != "-"
        )
        return -(-sent // BLOCK_SIZE_BYTES)


def test_pandas_reads_one_column_of_one_row_group(served: Served, numbers: pa.Table) -> None:
    frame = pd.read_parquet(ADDRESS, columns=["value"], filters=[("group", "==", 0)])
    assert len(frame) == ROWS
    assert frame["value"].sum() == numbers["value"].to_numpy()[:ROWS].sum()
    assert 0 < served.blocks_sent() < served.block_count


def test_pyarrow_reads_a_row_group_and_then_the_next(served: Served, numbers: pa.Table) -> None:
    with fsspec.open(ADDRESS) as file:
        opened = pq.ParquetFile(file)
        assert opened.num_row_groups == GROUPS
        footer = served.blocks_sent()
        assert footer == 1
        group = opened.read_row_group(1)
        assert group.equals(numbers.slice(ROWS, ROWS))
    # A row group that begins anywhere in a block touches three at most.
    assert served.blocks_sent() - footer <= 3
    fs = fsspec.filesystem("artfs")
    pq.read_table(ADDRESS.removeprefix("artfs://"), filesystem=fs, columns=["value"])
    assert served.blocks_sent() <= served.block_count


def test_a_pyarrow_data_set_prunes_row_groups(served: Served) -> None:
    data = pyarrow.dataset.dataset(
        "demo/numbers:latest/numbers.parquet",
        filesystem=fsspec.filesystem("artfs"),
        format="parquet",
    )
    assert data.count_rows(filter=pyarrow.dataset.field("group") == 3) == ROWS
    assert served.blocks_sent() <= 2


def test_duckdb_reads_what_a_query_needs(served: Served, numbers: pa.Table) -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("artfs"))
        count = connection.sql(f"SELECT count(*) FROM '{ADDRESS}'").fetchall()
        assert count == [(GROUPS * ROWS,)]
        assert served.blocks_sent() == 1
        [[total]] = connection.sql(
            f"SELECT sum(value) FROM read_parquet('{ADDRESS}') WHERE \"group\" = 2"
        ).fetchall()
    expected = numbers["value"].to_numpy()[2 * ROWS : 3 * ROWS].sum()
    assert total == pytest.approx(expected)
    assert served.blocks_sent() < served.block_count


def test_duckdb_finds_files_by_a_glob(repository: Repository) -> None:
    parts = {f"year={year}/part.csv": f"n\n{year}\n".encode() for year in (2024, 2025)}
    commit(repository, "demo/years", parts)
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("artfs"))
        found = connection.sql("SELECT sum(n) FROM 'artfs://demo/years:v0/*/*.csv'").fetchall()
    assert found == [(4049,)]


def test_zarr_reads_the_chunks_of_a_slice_and_by_a_path_no_others(
    repository: Repository, nginx: Nginx, tmp_path: Path, runtime: Path
) -> None:
    values = np.arange(400, dtype="i4").reshape(20, 20)
    zarr.create_array(tmp_path / "array", data=values, chunks=(5, 5))  # type: ignore[arg-type,unused-ignore]
    entries = {}
    for path in (tmp_path / "array").rglob("*"):
        if path.is_file():
            name = path.relative_to(tmp_path).as_posix()
            nginx.write(f"{tmp_path.name}/{name}", path.read_bytes())
            entries[name] = f"{nginx.url}/{tmp_path.name}/{name}"
    commit_references(repository, "demo/grid", checksum=True, **entries)
    array = zarr.open_array("artfs://demo/grid:latest/array", mode="r")
    assert (np.asarray(array[0:5, 5:15]) == values[0:5, 5:15]).all()

    def read() -> set[str]:
        # One request of each was that of the commit.
        return {name for name in entries if len(nginx.requests(f"{tmp_path.name}/{name}")) > 1}

    assert read() == {"array/c/0/1", "array/c/0/2", "array/zarr.json"}
    with ended_at_the_end(runtime):
        array = zarr.open_array(artfs.path("demo/grid:latest/array"), mode="r")
        assert (np.asarray(array[0:10, 5:10]) == values[0:10, 5:10]).all()
    assert read() == {"array/c/0/1", "array/c/0/2", "array/c/1/1", "array/zarr.json"}
