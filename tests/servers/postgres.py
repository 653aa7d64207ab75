"""A real PostgreSQL server for tests, one per test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from artfs.testing.postgres import OwnPostgreSQL, PostgreSQL, lapse_leases, own_postgresql

__all__ = ["OwnPostgreSQL", "PostgreSQL", "lapse_leases", "own_postgresql", "postgresql"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server without databases of tests."""
    with own_postgresql() as own:
        yield own.server
