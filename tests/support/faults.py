"""Damage done to stores, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from artfs.repository.facade import Repository


def objects_of(repository: Repository) -> list[Path]:
    """All files that hold content, the largest first."""
    root = repository.info.root
    assert root is not None
    found = [*(root / "blobs").glob("*/*"), *(root / "packs").glob("*/*")]
    return sorted(found, key=lambda path: path.stat().st_size, reverse=True)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Change bytes of a stored object in place."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def break_catalog(repository: Repository) -> None:
    """Make the catalog unreadable, under the feet of everybody who has it open."""
    root = repository.info.root
    assert root is not None
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
        path = root / name
        if path.exists():
            size_bytes = path.stat().st_size
            path.write_bytes(b"\xff" * size_bytes)


def wait_until(holds: Callable[[], bool], *, timeout_s: float = 30.0) -> float:
    """Wait for something that takes effect on its own; return how long that took."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < timeout_s, "it never came to hold"
        time.sleep(0.02)
    return time.monotonic() - start
