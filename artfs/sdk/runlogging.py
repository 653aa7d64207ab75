"""Metrics of a run: the last value of each becomes its summary, the history is not kept."""

from __future__ import annotations

import logging
import os
import time
from abc import abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from enum import Enum
from glob import glob as matching_paths
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidArgument, UsageError
from artfs.sdk.charts import Chart
from artfs.sdk.entry import ArtifactValue
from artfs.sdk.metrics import NOTHING, Metric, Metrics, defined
from artfs.sdk.rundescription import RunDescription
from artfs.sdk.summary import is_storable
from artfs.system.oserrors import translate_os_errors

if TYPE_CHECKING:
    from artfs.catalog.records import RunRecord
    from artfs.model import Metadata
    from artfs.repository.facade import Repository

logger = logging.getLogger(__name__)

_PLAIN = frozenset({float, bool, type(None)})
_POLICIES = frozenset({"live", "now", "end"})


_NOT_THERE = {
    "finish_artifact": "processes of a run join it: let one of them log the artifact",
    "upsert_artifact": "processes of a run join it: let one of them log the artifact",
    "restore": "files of runs stay where they are: use_artifact() gives what was logged",
}
"""What W&B's runs have and these have not, so that who asks for it is told."""


class AlertLevel(Enum):
    """How bad it is, for `Run.alert`."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class _Told:
    """What this process has said already: each of these lines is said once."""

    lines: set[str] = set()  # noqa: RUF012 - it is the process's own


def say_once(line: str, *, silent: bool = False) -> None:
    """Tell the user what is not kept, the first time that it matters."""
    if line not in _Told.lines:
        _Told.lines.add(line)
        logger.log(logging.DEBUG if silent else logging.WARNING, "%s", line)


class RunLogging(RunDescription):
    """What scripts log with a run beside artifacts; Run adds those."""

    def __init__(
        self, repository: Repository, record: RunRecord, details: Metadata | None = None
    ) -> None:
        super().__init__(repository, record, details)
        self._metrics = Metrics()
        self._step: int | None = None
        self._starting_step = 0
        self._has_ended = False
        self._is_silent = False

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_THERE:
            raise AttributeError(f"artfs.Run.{name}: not there: {_NOT_THERE[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @abstractmethod
    def _stored_table(self, key: str, table: ArtifactValue) -> dict[str, Any]:
        """Log a table as an artifact; what the summary says of it."""

    # --- metrics ---------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The step that what is logged next belongs to."""
        return self._starting_step if self._step is None else self._step

    @property
    def starting_step(self) -> int:
        """The first step of this process: behind the last one, where a run was resumed."""
        return self._starting_step

    def log(
        self,
        data: dict[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        sync: bool | None = None,  # noqa: ARG002 - W&B's
    ) -> None:
        """Take metrics: the last value of each is kept in the run's summary, others are not.

        A Table becomes an artifact of the type "run_table"; of other media only the kind is kept.

        Args:
            data: Values by name; dicts in it are metrics of their own.
            step: The step that they belong to. One that is past is left out, with a warning.
            commit: Whether the step ends here. Default: unless `step` is given.

        Raises:
            TypeError: for what is no dict, and keys that are not text.
            UsageError: if the run has ended.
        """
        if not isinstance(data, dict):
            raise TypeError("log() must be passed a dictionary")
        if any(not isinstance(key, str) for key in data):
            raise TypeError("keys of what is passed to log() must be strings")
        self._require_going_on("log")
        say_once(
            "artfs keeps the last value of each metric, as the run's summary; not their history",
            silent=self._is_silent,
        )
        if step is not None:
            if step < self.step:
                say_once(
                    f"log(): step {step} is behind step {self.step}, and left out",
                    silent=self._is_silent,
                )
                return
            self._step = int(step)
        self._summarize(data)
        if commit or (commit is None and step is None):
            self._step = self.step + 1

    def _summarize(self, data: dict[str, Any]) -> None:
        summary, now = self.summary, time.time()
        for key, value in data.items():
            shown = self._shown(key, value)
            if shown is not NOTHING:
                shown = self._metrics.summarized(key, shown)
            if shown is NOTHING:
                continue
            if isinstance(shown, dict) and isinstance(old := summary.get(key), dict):
                # What was logged below the same key before stays.
                shown = {**old, **shown} if "_type" not in shown else shown
            summary[key] = shown
        summary["_step"] = self.step
        summary["_timestamp"] = now
        summary["_runtime"] = now - self.start_time

    def _shown(self, key: str, value: Any) -> Any:
        """A metric as the summary has it."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, dict):
            parts = {str(name): self._shown(f"{key}.{name}", each) for name, each in value.items()}
            return {name: each for name, each in parts.items() if each is not NOTHING}
        if isinstance(value, list | tuple) and value and isinstance(value[0], ArtifactValue):
            return {"_type": f"{value[0].artifact_suffix}s", "count": len(value)}
        if isinstance(value, ArtifactValue):
            is_table = value.artifact_suffix == "table"
            return self._stored_table(key, value) if is_table else {"_type": value.artifact_suffix}
        return self._kept(key, value)

    def _kept(self, key: str, value: Any) -> Any:
        """What of an object a summary keeps; NOTHING: that cannot be kept, which is said."""
        if isinstance(value, Chart):
            say_once(
                "log(): artfs draws no charts: log a Table to keep data", silent=self._is_silent
            )
            return {"_type": value.kind}
        if not is_storable(value):
            say_once(
                f"log(): {key} is a {type(value).__name__}, which a summary cannot keep: left out",
                silent=self._is_silent,
            )
            return NOTHING
        return value

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
        *,
        goal: str | None = None,
    ) -> Metric:
        """Say what of a metric the summary keeps.

        Args:
            name: The metric; with a star at the end, all that begin so.
            step_metric: Kept with the definition; without effect, as there is no history.
            step_sync: As `step_metric`.
            hidden: As `step_metric`.
            summary: `min`, `max`, `mean`, `first`, `last`, `best` (of `goal`), `none`, or several
                with commas. Default: the last value itself.
            overwrite: Whether what this call leaves out is forgotten of an earlier one.
            goal: `minimize` or `maximize`: what `best` is.

        Raises:
            UsageError: for another summary or name.
        """
        self._require_going_on("define_metric")
        metric = defined(
            name,
            step_metric=step_metric,
            step_sync=step_sync,
            hidden=hidden,
            summary=summary,
            goal=goal,
        )
        return self._metrics.define(metric, overwrite=bool(overwrite))

    # --- what has no effect ----------------------------------------------------------------

    def watch(
        self,
        models: Any,  # noqa: ARG002 - W&B's, as the others
        criterion: Any = None,  # noqa: ARG002
        log: str | None = "gradients",
        log_freq: int = 1000,  # noqa: ARG002
        idx: int | None = None,  # noqa: ARG002
        log_graph: bool = False,  # noqa: ARG002
    ) -> None:
        """Do nothing: gradients and parameters are history. Raises: InvalidArgument for `log`."""
        if log not in {None, "gradients", "parameters", "all"}:
            raise InvalidArgument(f"watch(log={log!r})", "is none of gradients, parameters, all")
        say_once("watch(): artfs keeps no gradients and parameters", silent=self._is_silent)

    def unwatch(self, models: Any = None) -> None:
        """Do nothing: nothing is watched."""

    def alert(
        self,
        title: str,
        text: str,
        level: str | AlertLevel | None = None,
        wait_duration: float | timedelta | None = None,  # noqa: ARG002 - W&B's
    ) -> None:
        """Write an alert to the log: artfs sends no messages. Raises: InvalidArgument."""
        name = level.value if isinstance(level, AlertLevel) else str(level or "INFO").upper()
        if name not in AlertLevel.__members__:
            raise InvalidArgument(f"level {level!r}", "is none of INFO, WARN, ERROR")
        logger.warning("alert (%s): %s: %s", name, title, text)

    def save(
        self,
        glob_str: str | os.PathLike[str] | None = None,
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        glob: bool = True,
    ) -> list[str]:
        """Link files into `dir`, where they stay on this machine: log an artifact to keep them.

        Returns where they are. Raises: InvalidArgument for another policy, or a base path that
        the files are not below.
        """
        if policy not in _POLICIES:
            raise InvalidArgument(f"policy {policy!r}", "is none of live, now, end")
        if glob_str is None:
            self.update()
            return []
        pattern = os.fspath(glob_str)
        if "://" in pattern:
            return []
        say_once(
            "save(): artfs leaves files of a run on this machine: keep them by log_artifact()",
            silent=self._is_silent,
        )
        found = sorted(matching_paths(pattern)) if glob else [pattern]  # noqa: PTH207 - absolute too
        base = Path(base_path or Path(pattern).parent).absolute()
        placed = []
        for each in (Path(path).absolute() for path in found):
            if not each.is_relative_to(base):
                raise InvalidArgument(str(each), f"is not below {base}")
            placed.append(str(self._linked(each, each.relative_to(base))))
        return placed

    def _linked(self, source: Path, name: Path) -> Path:
        place = Path(self.dir) / name
        if source == place:
            return place
        with translate_os_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink() or not place.exists():
                place.unlink(missing_ok=True)
                place.symlink_to(source)
        return place

    def mark_preempting(self) -> None:
        """Do nothing."""

    def pin_config_keys(self, keys: Iterable[str] = ()) -> None:
        """Do nothing."""

    def write_logs(self, text: str) -> None:
        """Do nothing: what a run prints is not kept."""

    def _require_going_on(self, method: str) -> None:
        if self._has_ended:
            raise UsageError(
                f"run {self.id}", f"has ended: {method}() comes too late", hint="call init() again"
            )
