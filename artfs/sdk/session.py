"""The run that is current in this process, and the store that goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artfs.sdk.stores import shared_repository

if TYPE_CHECKING:
    from artfs.repository.facade import Repository
    from artfs.sdk.run import Run


class _Session:
    run: Run | None = None


def current_run() -> Run | None:
    """The run that `artfs.init` began and that is not finished."""
    return _Session.run


def set_current_run(run: Run | None) -> None:
    """Make `run` the current one; None: there is none."""
    _Session.run = run


def active_repository(*, create: bool = True) -> Repository:
    """The current run's store, else the default one: see `shared_repository`."""
    run = _Session.run
    return shared_repository(create=create) if run is None else run.repository
