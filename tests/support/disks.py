"""File systems of their own for tests; only root can make them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(place: Path, *arguments: str | Path) -> Iterator[Path]:
    """What `mount ARGUMENT… PLACE` mounts; without root the test is skipped, and counted."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, place], check=True)
    try:
        yield place
    finally:
        # Whoever still has a file open there is ending.
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def small_file_system(place: Path, *, size_mib: int) -> Iterator[Path]:
    """A file system of some MiB, in memory."""
    with mounted(place, "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs") as disk:
        yield disk


@pytest.fixture(scope="module")
def reflinking_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system on which files can share their extents."""
    directory = tmp_path_factory.mktemp("btrfs")
    image = directory / "image"
    with image.open("wb") as file:
        file.truncate(256 * 1024 * 1024)
    program = shutil.which("mkfs.btrfs", path=f"{os.environ['PATH']}:/sbin")
    if program is None:
        pytest.fail("mkfs.btrfs is missing: scripts/test installs it")
    subprocess.run([program, "-q", image], check=True, capture_output=True)
    with mounted(directory / "disk", "-o", "loop", image) as disk:
        yield disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    with small_file_system(tmp_path / "disk", size_mib=16) as disk:
        yield disk
