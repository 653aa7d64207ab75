"""Progress as a terminal shows it."""

from __future__ import annotations

import io
import re
import sys
import time

import pytest

from artfs.cli.progress import ProgressLine
from artfs.system.progress import ProgressMeter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_sizes_and_speeds_have_the_units_of_all_that_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    with ProgressLine("storing") as progress:
        meter = ProgressMeter(progress.show)
        meter.expect(size_bytes=1 << 34)
        for _ in range(30):
            now_s += 1.0
            meter.advance_bytes(64 << 20)
    shown = terminal.getvalue()
    assert re.search(r"\d MiB/s|\d GiB/s", shown), shown
    assert re.search(r"\d/16\.0 GiB", shown), shown
    assert not re.search(r"\d [kMG]B", shown), shown
