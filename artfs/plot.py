"""`wandb.plot`, so that scripts that log charts run: artfs draws none, and says so."""

from __future__ import annotations

from artfs.sdk.charts import plot_table

bar = plot_table
confusion_matrix = plot_table
histogram = plot_table
line = plot_table
line_series = plot_table
pr_curve = plot_table
roc_curve = plot_table
scatter = plot_table

__all__ = [
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
]
