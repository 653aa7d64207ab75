"""Metrics as Prometheus reads them: its text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Sample(msgspec.Struct, frozen=True):
    """One value of a metric."""

    value: float
    labels: Mapping[str, str] = {}


class Metric(msgspec.Struct, frozen=True):
    """A metric with all its values."""

    name: str
    kind: str
    """`counter` or `gauge`."""
    help: str
    samples: list[Sample]


def exposition(metrics: Iterable[Metric]) -> str:
    """The text that a scrape gets; a metric without values is left out."""
    lines = []
    for metric in metrics:
        if not metric.samples:
            continue
        lines.append(f"# HELP {metric.name} {metric.help}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        for sample in metric.samples:
            labels = ",".join(
                f'{name}="{_text(value)}"' for name, value in sorted(sample.labels.items())
            )
            shown = f"{{{labels}}}" if labels else ""
            lines.append(f"{metric.name}{shown} {_number(sample.value)}")
    return "".join(f"{line}\n" for line in lines)


def _text(value: str) -> str:
    # A name that is no UTF-8 would make all of the text unreadable.
    return value.encode(errors="backslashreplace").decode().translate(_ESCAPES)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(value)
