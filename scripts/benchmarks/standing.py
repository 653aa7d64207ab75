"""What several systems took for the same works: medians, a table and a plot."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec


class Work(msgspec.Struct, frozen=True):
    """One thing that everybody does."""

    name: str
    shown: Callable[[float], str]
    """A figure as it stands in the table; less is better."""


class Standing:
    """The figures of all systems, as they come."""

    def __init__(self, title: str, works: tuple[Work, ...]) -> None:
        self.title = title
        self._works = works
        self._found: dict[str, dict[str, list[float]]] = {work.name: {} for work in works}

    def note(self, system: str, work: Work, figure: float) -> None:
        """One more figure; works that do not belong here are passed over."""
        if work.name in self._found:
            self._found[work.name].setdefault(system, []).append(figure)
            shown = work.shown(figure)
            print(f"    {system}: {work.name}: {shown}", file=sys.stderr, flush=True)

    def medians(self) -> dict[str, dict[str, float]]:
        """By work and system; in seconds or bytes."""
        return {
            work: {system: statistics.median(figures) for system, figures in systems.items()}
            for work, systems in self._found.items()
        }

    @property
    def _systems(self) -> list[str]:
        return list(dict.fromkeys(name for found in self._found.values() for name in found))

    def markdown(self) -> str:
        """A table, whose best figure of each row is bold."""
        medians = self.medians()
        lines = [[self.title, *self._systems], ["---", *("---:" for _ in self._systems)]]
        for work in self._works:
            row = medians[work.name]
            best = min(row.values(), default=0.0)
            cells = []
            for system in self._systems:
                figure = row.get(system)
                shown = "" if figure is None else work.shown(figure)
                cells.append(f"**{shown}**" if figure == best else shown)
            lines.append([work.name, *cells])
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def plot(self, path: Path) -> None:
        """How much longer each took than the best, for each work; on a logarithmic scale."""
        import matplotlib as mpl  # noqa: PLC0415 - after whoever runs no plot was served

        mpl.use("Agg")
        from matplotlib import pyplot  # noqa: PLC0415 - see above

        medians = self.medians()
        systems, works = self._systems, [work.name for work in self._works]
        height = 0.8 / len(systems)
        figure, axes = pyplot.subplots(figsize=(9, 0.62 * len(works) + 1))
        for number, system in enumerate(systems):
            ratios = [
                medians[work].get(system, float("nan")) / min(medians[work].values())
                for work in works
            ]
            at = [-place - number * height for place in range(len(works))]
            axes.barh(at, ratios, height, label=system)
        axes.set_yticks([-place - 0.4 + height / 2 for place in range(len(works))], works)
        axes.set_xscale("log")
        axes.set_xlabel("times the best of the row (1 is best)")
        axes.set_title(self.title)
        axes.legend(loc="lower right")
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        pyplot.close(figure)
