"""Progress on a terminal's standard error, for whatever takes longer than a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from artfs.cli.output import format_size
from artfs.system import forks

if TYPE_CHECKING:
    from rich.progress import Progress

_PATIENCE_S = 1.0
_REDRAW_S = 0.1


class ByteProgress:
    """Counts bytes, from any thread; draws nothing unless standard error is a terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._suffix = ""
        self._total_bytes: int | None = None
        self._done_bytes = 0
        self._lock = forks.lock()
        self._next_draw_s = time.monotonic() + _PATIENCE_S
        self._bar: Progress | None = None
        self._wanted = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._wanted = False
            if self._bar is not None:
                self._bar.stop()

    @property
    def is_watched(self) -> bool:
        """Whether there is a terminal to draw on."""
        return self._wanted

    def expect(self, total_bytes: int) -> None:
        """Say how much there will be."""
        self._total_bytes = total_bytes

    def advance(self, count_bytes: int) -> None:
        """Count bytes that are done."""
        with self._lock:
            self._done_bytes += count_bytes
            self._draw_if_due()

    def show(self, done_bytes: int, total_bytes: int | None) -> None:
        """Say how much is done, of how much."""
        with self._lock:
            self._done_bytes, self._total_bytes = done_bytes, total_bytes
            self._draw_if_due()

    def note_count(self, count: int) -> None:
        """Say how many things were found, beside the bytes."""
        self.note(f"{count:,} found")

    def note(self, text: str) -> None:
        """Say something beside the bytes."""
        with self._lock:
            self._suffix = f" ({text})"
            self._draw_if_due()

    def _draw_if_due(self) -> None:
        if self._wanted and time.monotonic() >= self._next_draw_s:
            self._next_draw_s = time.monotonic() + _REDRAW_S
            self._draw()

    def _draw(self) -> None:
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.start()
            self._bar.add_task(self._title, total=self._total_bytes, speed="")
        speed = self._bar.tasks[0].speed
        self._bar.update(
            self._bar.task_ids[0],
            description=self._title + self._suffix,
            completed=self._done_bytes,
            total=self._total_bytes,
            speed="" if speed is None else f"{format_size(round(speed))}/s",
        )


def _new_bar() -> Progress:
    from rich.console import Console  # noqa: PLC0415 - takes long to import
    from rich.progress import (  # noqa: PLC0415 - takes long to import
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        # Its own column counts in powers of 1,000, all else that is printed in those of 1,024.
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
