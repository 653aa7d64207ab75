"""Charts, which scripts make to log them: artfs draws none, and a run keeps only their kind."""

from __future__ import annotations

from typing import Any


class Chart:
    """What W&B would draw. `log` takes it; it is no value of an artifact."""

    kind = "chart"

    def __init__(self, *data: Any, **options: Any) -> None:
        """Whatever W&B takes; nothing of it is kept."""


class Histogram(Chart):
    """How often values occur: in place of W&B's class."""

    kind = "histogram"


class Plotly(Chart):
    """A figure of plotly or matplotlib: in place of W&B's class."""

    kind = "plotly-file"


def plot_table(*data: Any, **options: Any) -> Chart:
    """A chart of a table: in place of W&B's function."""
    del data, options
    return Chart()
