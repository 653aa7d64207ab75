"""Runs and projects as `artfs.Api` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, overload

from artfs.repository.facade import Repository
from artfs.repository.filters import check_order, matching, ordered, run_view
from artfs.sdk.run import Run
from artfs.settings import URL_SCHEME

_FIELDS = frozenset(
    (
        "name",
        "display_name",
        "displayName",
        "state",
        "job_type",
        "jobType",
        "group",
        "tags",
        "notes",
        "created_at",
        "createdAt",
        "config",
        "summary_metrics",
    )
)


class Project(str):
    """A project: its name, with what W&B's have."""

    __slots__ = ("entity",)

    def __new__(cls, name: str, entity: str) -> Self:
        made = super().__new__(cls, name)
        made.entity = entity
        return made

    entity: str

    @property
    def name(self) -> str:
        """The name, again."""
        return str(self)

    @property
    def url(self) -> str:
        """A name that is spelled like an address; no web page is there."""
        return f"{URL_SCHEME}://{self.entity}/{self}"


class Runs(Sequence[Run]):
    """The runs that are as a filter says, in an order; a list that reads itself when needed.

    What is wrong with filters and order is told at once.
    """

    def __init__(
        self,
        repository: Repository,
        project: str | None,
        filters: dict[str, Any] | None,
        order: str | None,
    ) -> None:
        if order:
            check_order(order.replace("summary.", "summary_metrics."), _FIELDS)
        matching(list[Run](), filters, lambda _run: {})
        self._repository = repository
        self._project = project
        self._filters = filters
        self._order = (order or "").replace("summary.", "summary_metrics.")
        self._found: list[Run] | None = None

    def __repr__(self) -> str:
        return f"<Runs of {self._project or 'all projects'}>"

    def __len__(self) -> int:
        return len(self._runs())

    @overload
    def __getitem__(self, position: int) -> Run: ...
    @overload
    def __getitem__(self, position: slice) -> list[Run]: ...
    def __getitem__(self, position: int | slice) -> Run | list[Run]:
        return self._runs()[position]

    def __eq__(self, other: object) -> bool:
        return self._runs() == list(other) if isinstance(other, Runs | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def _runs(self) -> list[Run]:
        """Blocks: on the catalog, the first time."""
        if self._found is None:
            catalog = self._repository.catalog
            # The catalog has the newest first: of those of one second the order stays right.
            records = catalog.runs(project=self._project)[::-1]
            if self._order.startswith("-"):
                records = records[::-1]
            details = catalog.run_details([record.id for record in records])
            rows = [(record, details.get(record.id, {})) for record in records]
            rows = matching(rows, self._filters, lambda row: run_view(*row))
            rows = ordered(rows, self._order, lambda row: run_view(*row))
            self._found = [Run(self._repository, record, known) for record, known in rows]
        return self._found
