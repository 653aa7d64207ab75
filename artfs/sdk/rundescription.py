"""What a run says of itself, as the store has it: names, config, summary, tags and so on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from artfs.catalog.records import RunChange, RunRecord
from artfs.model import Metadata
from artfs.repository.facade import Repository
from artfs.repository.filters import time_text
from artfs.repository.runnames import run_name
from artfs.sdk.artifact_content import ArtifactContent
from artfs.sdk.runconfig import RunConfig
from artfs.sdk.runsettings import Settings, checked_tags
from artfs.sdk.summary import RunSummary
from artfs.settings import URL_SCHEME


class RunTags(list[str]):
    """A run's tags: a list, to which tuples can be added, as W&B's are one of the two."""

    def __add__(self, more: Iterable[Any]) -> RunTags:  # type: ignore[override]
        return RunTags([*self, *more])

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | tuple) else False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


class RunDescription(ABC):
    """The attributes of a run; Run adds what it does."""

    sweep_id: Final = None
    """There are no sweeps."""

    def __init__(
        self, repository: Repository, record: RunRecord, details: Metadata | None = None
    ) -> None:
        """`details` is what it says of itself beside its config; None: to be read when needed."""
        self.repository = repository
        self._record = record
        self._known = details
        self._config = RunConfig(record.config, self._use_as_configured, self._save_config)
        self._summary: RunSummary | None = None
        self._tags: RunTags | None = None
        self._resumed = False
        self._settings = Settings()
        self._files_root: str | None = None
        self._files: Path | None = None

    def __repr__(self) -> str:
        return f"<Run {self.name} ({self.id})>"

    @abstractmethod
    def _use_as_configured(self, key: str, artifact: ArtifactContent | str) -> ArtifactContent:
        """Record what the config has under a key as an input."""

    # --- names -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id, unique in the store."""
        return self._record.id

    @property
    def name(self) -> str:
        """A name for people; setting it is kept."""
        return self._record.name

    @name.setter
    def name(self, name: str) -> None:
        self._record = self.repository.catalog.change_run(self.id, RunChange(name=str(name)))

    @property
    def display_name(self) -> str:
        """The name for people, again."""
        return self.name

    @property
    def project(self) -> str:
        """The project that the run is in."""
        return self._record.project

    @property
    def entity(self) -> str:
        """The entity that the run's store belongs to."""
        return self.repository.info.entity

    @property
    def username(self) -> str:
        """The entity, again: artfs has no users."""
        return self.entity

    @property
    def path(self) -> str:
        """`entity/project/id`."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def url(self) -> str:
        """A name for the run that is spelled like an address; no web page is there."""
        return f"{self.project_url}/runs/{run_name(self._record)}"

    @property
    def project_url(self) -> str:
        """The like for its project."""
        return f"{URL_SCHEME}://{self.entity}/{self.project}"

    # --- what it is ------------------------------------------------------------------------

    @property
    def job_type(self) -> str | None:
        """What the run does, such as "train"; "auto" where `Artifact.save` made it."""
        return self._record.job_type

    @property
    def group(self) -> str | None:
        """The group that the run belongs to."""
        return self._details().get("group")

    @property
    def notes(self) -> str | None:
        """Text about the run; setting it is kept."""
        return self._details().get("notes")

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._describe({"notes": notes})

    @property
    def description(self) -> str | None:
        """The notes, again."""
        return self.notes

    @property
    def tags(self) -> RunTags:
        """Words to find the run by; setting them is kept, what is appended once `update` is called.

        Raises: InvalidArgument for a tag that is set and is not 1 to 64 characters.
        """
        if self._tags is None:
            self._tags = RunTags(self._details().get("tags") or ())
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._tags = RunTags(checked_tags(tags))
        self._describe({"tags": list(self._tags)})

    @property
    def config(self) -> RunConfig:
        """What the run was configured with; `config.lr` and `config["lr"]` are the same."""
        return self._config

    @property
    def summary(self) -> RunSummary:
        """The last value of each metric, and what is put there."""
        if self._summary is None:
            self._summary = RunSummary(self._details().get("summary") or {}, self._save_summary)
        return self._summary

    @property
    def summary_metrics(self) -> dict[str, Any]:
        """The summary as a plain dict."""
        return dict(self.summary)

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known of where it ran: `program`, `host`."""
        return {key: value for key, value in self._details().items() if key in {"program", "host"}}

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed` or `crashed`, as the store knows it now.

        A run has crashed when its processes were killed before one of them ended it.
        Blocks: on the catalog.
        """
        return self.repository.catalog.run(self.id).state.value

    @property
    def created_at(self) -> str:
        """When it began: UTC, as `2026-01-31T23:59:59`."""
        return time_text(self._record.created_at_ns)

    @property
    def start_time(self) -> float:
        """When it began, in seconds since 1970."""
        return self._record.created_at_ns / 1e9

    @property
    def resumed(self) -> bool:
        """Whether `init` went on with a run that was there."""
        return self._resumed

    @property
    def settings(self) -> Settings:
        """What `init` was given as settings."""
        return self._settings

    @property
    def disabled(self) -> bool:
        """Whether nothing of it is kept: `init(mode="disabled")`."""
        return False

    @property
    def offline(self) -> bool:
        """False: artfs writes to the store itself."""
        return False

    @property
    def dir(self) -> str:
        """A directory for files of the run, below `./wandb`; they stay on this machine.

        It is made when it is first asked for.
        """
        if self._files is None:
            root = Path(self._files_root or ".").absolute() / "wandb"
            began = time.strftime("%Y%m%d_%H%M%S", time.localtime(self.start_time))
            self._files = root / f"run-{began}-{self.id}" / "files"
        self._files.mkdir(parents=True, exist_ok=True)
        return str(self._files)

    def history(self, *_samples: Any, pandas: bool = True, **_more: Any) -> Any:
        """Nothing: of metrics the last values are kept, in `summary`. As W&B, empty frames."""
        if pandas:
            try:
                import pandas as frames  # type: ignore[import-untyped,unused-ignore] # noqa: PLC0415 - heavy, and not everybody has it
            except ImportError:
                return []
            return frames.DataFrame()
        return []

    def scan_history(self, *_keys: Any, **_more: Any) -> Iterator[dict[str, Any]]:
        """Nothing; see `history`."""
        return iter(())

    def update(self) -> None:
        """Let the store have what was changed of summary and tags. Raises: BackendUnavailable."""
        if self._summary is not None:
            self._summary.save()
        if self._tags is not None and list(self._tags) != (self._details().get("tags") or []):
            self.tags = self._tags

    def load(self, force: bool = False) -> Self:  # noqa: ARG002 - W&B's
        """Read again what the store says of the run."""
        self._record = self.repository.catalog.run(self.id)
        self._known = self._summary = self._tags = None
        self._config = RunConfig(self._record.config, self._use_as_configured, self._save_config)
        return self

    # --- keeping it ------------------------------------------------------------------------

    def _details(self) -> Metadata:
        if self._known is None:
            found = self.repository.catalog.run_details([self.id])
            self._known = found.get(self.id, {})
        return self._known

    def _describe(self, details: Metadata) -> None:
        self._known = {**self._details(), **details}
        self.repository.catalog.describe_run(self.id, details)

    def _save_summary(self, changed: Metadata, removed: tuple[str, ...]) -> None:
        catalog = self.repository.catalog
        catalog.describe_run(self.id, changed, within="summary", without=removed)

    def _save_config(self, values: Metadata) -> None:
        self.repository.catalog.configure_run(self.id, values)
        # What a client of W&B said is kept as it said it, and shown so.
        if "config" in self._details():
            raw = {key: {"value": value} for key, value in values.items()}
            self.repository.catalog.describe_run(self.id, raw, within="config")

    def _said_at_start(self, change: RunChange, details: Metadata) -> None:
        """Keep what `init` was given."""
        if change != RunChange():
            self._record = self.repository.catalog.change_run(self.id, change)
        if details:
            self._describe(details)


def changed_names(name: str | None, job_type: str | None) -> RunChange:
    """What `init` says anew of a run that is there."""
    return RunChange(name=name or msgspec.UNSET, job_type=job_type or msgspec.UNSET)
