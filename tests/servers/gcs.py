"""A Google Cloud Storage emulator on loopback, one per test process.

It serves one connection at a time, ignores `generation` on reads, and knows no versions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from artfs.testing.seaweedfs import connect, free_ports, wait_until_it_answers


class GcsEmulator(msgspec.Struct, frozen=True):
    """A running emulator; its address is in the environment of the tests."""

    url: str
    bucket: str

    def client(self) -> Any:
        """A client of google-cloud-storage."""
        from google.cloud import storage  # noqa: PLC0415

        return storage.Client()

    def put(self, key: str, data: bytes) -> None:
        """Store an object, with a new generation."""
        self.client().bucket(self.bucket).blob(key).upload_from_string(data)


@pytest.fixture(scope="session")
def gcs() -> Iterator[GcsEmulator]:
    """A GCS emulator with one bucket."""
    binary = shutil.which(
        "gcp-storage-emulator", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    )
    if binary is None:
        pytest.fail("gcp-storage-emulator is missing: scripts/test installs it")
    [port] = free_ports(1)
    # The emulator dies with the tests, whatever ends them.
    command = ["setpriv", "--pdeathsig", "KILL", binary, "start", "--host=127.0.0.1"]
    arguments = [f"--port={port}", "--in-memory", "--default-bucket=artfs-tests", "--quiet"]
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(lambda: connect(port), process)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", url)
            yield GcsEmulator(url, "artfs-tests")
    finally:
        process.kill()
        process.wait()
