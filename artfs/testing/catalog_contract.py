"""What every Catalog must do: subclass it in a test module and say how yours is opened.

class TestMyCatalog(CatalogContract):
    @pytest.fixture
    def open_catalog(self) -> OpenCatalog:
        return functools.partial(MyCatalog, ...)  # empty, of this test alone; can be pickled
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from artfs.catalog.base import Catalog
from artfs.testing.catalog_changes import ChangesContract
from artfs.testing.catalog_commits import CommitContract
from artfs.testing.catalog_copies import CopiesContract
from artfs.testing.catalog_crowds import CrowdContract
from artfs.testing.catalog_garbage import GarbageContract
from artfs.testing.catalog_leases import LeasesContract
from artfs.testing.catalog_names import NamesContract, RunsContract
from artfs.testing.catalog_samples import OpenCatalog
from artfs.testing.catalog_searching import SearchContract
from artfs.testing.catalog_serving import ServingContract

__all__ = ["CatalogContract", "OpenCatalog"]


class CatalogContract(
    NamesContract,
    CommitContract,
    ChangesContract,
    CopiesContract,
    RunsContract,
    LeasesContract,
    GarbageContract,
    SearchContract,
    CrowdContract,
    ServingContract,
):
    """The promises of the port."""

    @pytest.fixture
    def catalog(self, open_catalog: OpenCatalog) -> Iterator[Catalog]:
        """The catalog, sound when a test is done with it."""
        catalog = open_catalog()
        try:
            yield catalog
            assert catalog.check() == []
        finally:
            catalog.close()

    def test_a_setting_is_chosen_once(self, catalog: Catalog, open_catalog: OpenCatalog) -> None:
        assert "blobs" not in catalog.settings()
        assert catalog.choose_setting("blobs", "s3://bucket") == "s3://bucket"
        assert catalog.choose_setting("blobs", "s3://other") == "s3://bucket"
        other = open_catalog()
        try:
            assert other.settings() == catalog.settings()
            assert other.settings()["blobs"] == "s3://bucket"
            assert len(other.settings()["id"]) == 32
        finally:
            other.close()
