"""One store for all golden cases: what differs between them is only what a draft says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def golden_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of this test run, chosen by the environment."""
    store = tmp_path_factory.mktemp("golden") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTFS_STORE", str(store))
        patch.delenv("ARTFS_RUN_ID", raising=False)
        yield store
