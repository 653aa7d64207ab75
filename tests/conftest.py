"""Fixtures for all tests: servers, one per test process, started when first asked for."""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.servers.gcs import gcs
from tests.servers.nginx import nginx
from tests.servers.postgres import postgresql
from tests.servers.seaweedfs import seaweedfs

__all__ = ["gcs", "nginx", "postgresql", "seaweedfs"]

_FIRST = (
    "tests/unit/references/test_faults.py",
    "tests/mount/test_foreign.py",
    "tests/mount/test_shared.py",
    "tests/test_demo.py",
    "tests/crash/",
    "tests/model/",
)
"""Long files, which mostly wait: begun first, they end while others are still running."""


def pytest_configure() -> None:
    """Keep what artfs remembers of stores out of the home of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="artfs-test-state-")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; everything else stays in its order."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
