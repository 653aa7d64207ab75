"""scripts/demo runs on real data, cleans up behind itself, and does so when it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """Where the demo makes its directory; nothing is left there."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    yield directory
    assert list(directory.iterdir()) == []
    assert str(directory) not in Path("/proc/self/mounts").read_text()


def start(temporary: Path) -> subprocess.Popen[str]:
    """Start the demo as a terminal would, in a process group of its own."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", ROOT / "scripts" / "demo"],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.timeout(TIMEOUT_S)
def test_the_demo_publishes_mounts_trains_and_corrects(temporary: Path) -> None:
    out, err = start(temporary).communicate(timeout=TIMEOUT_S)
    # That a store is made is said beside the output; so is what namespaces of other tests hold.
    told = [line for line in err.splitlines() if not line.startswith("other mount namespaces ")]
    assert re.fullmatch(r"\S+/store: a new store of demo was made here", "\n".join(told)), err
    accuracy = re.search(r"test accuracy (0\.\d+)", out)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.9
    assert "demo/digits:v1" in out
    assert "demo/digits-model:v0" in out
    assert re.search(r"^demo/digits-model:v1$", out, re.MULTILINE)
    assert "SVC()" in out
    assert re.search(r"^v1 .* retrained ", out, re.MULTILINE)
    assert re.search(r"read: all right\n", out)
    for word in ("fetched", "read", "stored"):
        assert re.search(rf"^{word} ", out, re.MULTILINE)


@pytest.mark.timeout(TIMEOUT_S)
def test_an_interrupted_demo_leaves_nothing(temporary: Path) -> None:
    process = start(temporary)
    assert process.stdout is not None
    for line in process.stdout:
        if "find mnt" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
