"""Progress on a terminal's standard error, for whatever takes longer than a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from artfs import forks
from artfs.cli.output import format_size
from artfs.system.progress import OnProgress, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_PATIENCE_S = 1.0
_REDRAW_S = 0.1


class ProgressLine:
    """Shows bytes, from any thread; draws nothing unless standard error is a terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._suffix = ""
        self._shown = Progress()
        self._lock = forks.lock()
        self._next_draw_s = time.monotonic() + _PATIENCE_S
        self._bar: Bar | None = None
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
    def if_watched(self) -> OnProgress | None:
        """`show`, where there is a terminal to draw on: totals may cost a second look."""
        return self.show if self._wanted else None

    def show(self, progress: Progress) -> None:
        """Say how much is done, of how much."""
        with self._lock:
            self._shown = progress
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
            # What was done before there was a bar to draw tells nothing about speed.
            self._bar.add_task(
                self._title,
                total=self._shown.bytes_total,
                completed=round(self._shown.bytes_done),
                speed="",
            )
        speed = self._bar.tasks[0].speed
        self._bar.update(
            self._bar.task_ids[0],
            description=self._title + self._suffix,
            completed=self._shown.bytes_done,
            total=self._shown.bytes_total,
            speed="" if speed is None else f"{format_size(round(speed))}/s",
        )


def _new_bar() -> Bar:
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
