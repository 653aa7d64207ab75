"""What a notebook shows while something takes long, in a real kernel of Jupyter."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[3]
_TIMEOUT_S = 60


class Output(msgspec.Struct, frozen=True):
    """What a cell has shown: each state of its displays, and what it has printed."""

    displayed: list[tuple[str, str]]
    """Text and HTML, in order; updates included."""
    display_count: int
    printed: str


class Notebook:
    """Runs cells in a kernel."""

    def __init__(self, directory: Path) -> None:
        # Sockets in a directory: no port is taken.
        self._manager = KernelManager(transport="ipc", ip=str(directory / "kernel"))
        assert self._manager.kernel_spec is not None
        launcher = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
        self._manager.kernel_spec.argv = list(launcher)
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "ARTFS_STORE": str(directory / "store"),
            "IPYTHONDIR": str(directory / "ipython"),
            "HOME": str(directory),
        }
        self._manager.start_kernel(env=environment, cwd=str(directory))
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=_TIMEOUT_S)

    def run(self, code: str) -> Output:
        """What came of a cell, which must not fail."""
        displayed: list[tuple[str, str]] = []
        counts = {"display_data": 0, "update_display_data": 0}
        printed: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind in counts:
                counts[kind] += 1
                displayed.append((content["data"]["text/plain"], content["data"]["text/html"]))
            elif kind == "stream":
                printed.append(content["text"])

        reply = self._client.execute_interactive(code, output_hook=hear, timeout=_TIMEOUT_S)
        assert reply["content"]["status"] == "ok", reply["content"]
        return Output(displayed, counts["display_data"], "".join(printed))

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    opened = Notebook(tmp_path)
    yield opened
    opened.close()


STORING = """
artifact = artfs.Artifact("data", type="dataset")
artifact.add_dir("data<b>")
run = artfs.init(project="demo")
run.log_artifact(artifact).wait()
"""


def test_a_notebook_shows_one_bar_each_and_only_for_what_takes_long(
    notebook: Notebook, tmp_path: Path
) -> None:
    source = tmp_path / "data<b>"
    source.mkdir()
    for number in range(3):
        (source / f"{number}.txt").write_bytes(bytes(1000))
    (source / "large").write_bytes(os.urandom(9 << 20))
    notebook.run("import artfs, artfs.sdk.watching as watching\nwatching.PATIENCE_S = 3600")
    quiet = notebook.run(STORING)
    assert quiet.displayed == []
    # Nothing is waited for: every report is shown that can be.
    notebook.run("watching.PATIENCE_S = watching._REDRAW_S = 0.0")
    stored = notebook.run('artifact = artfs.Artifact("d", "dataset"); artifact.add_dir("data<b>")')
    assert stored.display_count == 1
    assert stored.displayed[-1][0] == "storing data<b>: 4 files, 9.0 MiB"
    assert "<progress" in stored.displayed[0][1]
    assert "of 9.0 MiB" in stored.displayed[0][0]
    assert "<progress" not in stored.displayed[-1][1]
    assert not any("<b>" in page for _, page in stored.displayed)
    loaded = notebook.run('print(artfs.Api().artifact("demo/data:v0").download("out"))')
    assert (loaded.display_count, loaded.printed) == (1, "out\n")
    assert loaded.displayed[-1][0] == "downloading demo/data:v0: 4 files, 9.0 MiB"
    assert (tmp_path / "out" / "large").read_bytes() == (source / "large").read_bytes()
    # Who wants to hear of it alone does, and a front end that fails stops nothing.
    heard = notebook.run(
        'artfs.Api().artifact("demo/data:v0").download("out2", on_progress=lambda now: None)'
    )
    assert heard.displayed == []
    failing = notebook.run(
        "get_ipython().display_pub.publish = None\n"
        'print(artfs.Api().artifact("demo/data:v0").download("out3"))'
    )
    assert (failing.displayed, failing.printed) == ([], "out3\n")
