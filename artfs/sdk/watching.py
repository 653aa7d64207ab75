"""Progress in a notebook, for what takes longer than a second; elsewhere nothing is shown."""

from __future__ import annotations

import html
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from artfs import forks
from artfs.system.progress import OnProgress, Progress
from artfs.system.texts import escaped, format_count, format_size

PATIENCE_S = 1.0
_REDRAW_S = 0.2
_IPYTHON = "IPython"


@contextmanager
def watching(title: str, on_progress: OnProgress | None = None) -> Iterator[OnProgress | None]:
    """Who is to hear of an operation: `on_progress`; else in a notebook its cell; else nobody."""
    if on_progress is not None or not _is_notebook():
        yield on_progress
        return
    shown = _Cell(title)
    try:
        yield shown.show
    finally:
        shown.end()


def _is_notebook() -> bool:
    """Whether this is the process of a kernel: a terminal would show what is meant for a page."""
    ipython = sys.modules.get(_IPYTHON)
    shell = None if ipython is None else getattr(ipython, "get_ipython", lambda: None)()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return False
    # What a fork sends for its parent is refused, with a warning.
    pid = getattr(getattr(kernel, "session", None), "pid", None)
    return pid in {None, os.getpid()}


class _Cell:
    """One output of a notebook's cell, which is written again and again. Thread-safe."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lock = forks.lock()
        self._now = Progress()
        self._handle: Any = None
        self._is_lost = False
        self._next_draw_s = time.monotonic() + PATIENCE_S

    def show(self, progress: Progress) -> None:
        """Say how much is done, of how much."""
        with self._lock:
            self._now = progress
            if time.monotonic() >= self._next_draw_s:
                self._next_draw_s = time.monotonic() + _REDRAW_S
                self._draw(is_over=False)

    def end(self) -> None:
        """Leave what was done in place of the bar, where there is one."""
        with self._lock:
            if self._handle is not None:
                self._draw(is_over=True)

    def _draw(self, *, is_over: bool) -> None:
        if self._is_lost:
            return
        data = _shown(self._title, self._now, is_over=is_over)
        try:
            if self._handle is None:
                display = sys.modules[_IPYTHON].display.display
                self._handle = display(data, raw=True, display_id=True)
            else:
                self._handle.update(data, raw=True)
        except Exception:  # noqa: BLE001 - whatever a front end lacks, the work goes on
            self._is_lost = True


def _shown(title: str, now: Progress, *, is_over: bool) -> dict[str, str]:
    """The output, for pages and for what shows text alone."""
    done, total = now.bytes_done, now.bytes_total
    of = "" if not total or is_over else f" of {format_size(total)}"
    counted = f"{format_count(now.files_done)} file{'' if now.files_done == 1 else 's'}"
    text = f"{escaped(title)}: {counted}, {format_size(done)}{of}"
    line = html.escape(text)
    if is_over:
        return {"text/plain": text, "text/html": f"<div>{line}</div>"}
    # Without a value it is a bar that only says that something is going on.
    value = f' value="{min(done, total)}" max="{total}"' if total else ""
    label = html.escape(escaped(title), quote=True)
    bar = f'<progress aria-label="{label}"{value}></progress>'
    return {"text/plain": text, "text/html": f"<div>{bar} {line}</div>"}
