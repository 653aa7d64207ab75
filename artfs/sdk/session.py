"""The run that is current in this process, and the store that goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from artfs.sdk.stores import shared_repository

if TYPE_CHECKING:
    from artfs.repository.facade import Repository


class CurrentRun(Protocol):
    """The run of a process, as all those know it that need not begin or end it: Run is one."""

    @property
    def id(self) -> str:
        """See Run."""
        ...

    @property
    def project(self) -> str:
        """See Run."""
        ...

    @property
    def entity(self) -> str:
        """See Run."""
        ...

    @property
    def repository(self) -> Repository:
        """The store that it belongs to."""
        ...

    def log_artifact(self, artifact_or_path: Any) -> Any:
        """See Run."""
        ...


class _Session:
    run: CurrentRun | None = None


def current_run() -> CurrentRun | None:
    """The run that `artfs.init` began and that is not finished."""
    return _Session.run


def set_current_run(run: CurrentRun | None) -> None:
    """Make `run` the current one; None: there is none."""
    _Session.run = run


def active_repository(*, create: bool = True) -> Repository:
    """The current run's store, else the default one: see `shared_repository`."""
    run = _Session.run
    return shared_repository(create=create) if run is None else run.repository
