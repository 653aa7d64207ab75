"""Every Catalog keeps the same promises."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from artfs.catalog.sql import SqlCatalog
from artfs.testing.catalog_contract import CatalogContract, OpenCatalog
from tests.servers.postgres import PostgreSQL, lapse_leases


class TestSqliteCatalog(CatalogContract):
    @pytest.fixture
    def open_catalog(self, tmp_path: Path) -> OpenCatalog:
        path = tmp_path / "catalog ü?#.sqlite"
        SqlCatalog.sqlite(path, create=True).close()
        return partial(SqlCatalog.sqlite, path)


class TestPostgresqlCatalog(CatalogContract):
    @pytest.fixture
    def url(self, postgresql: PostgreSQL) -> str:
        return postgresql.new_schema()

    @pytest.fixture
    def open_catalog(self, url: str) -> OpenCatalog:
        SqlCatalog.connect(url, create=True).close()
        return partial(SqlCatalog.connect, url)

    @pytest.fixture
    def let_time_pass(self, url: str) -> Callable[[], None]:
        return partial(lapse_leases, url)
