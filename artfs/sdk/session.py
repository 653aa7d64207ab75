"""The run that is current in this process, and the store that goes with it."""

from __future__ import annotations

import atexit
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from artfs import forks
from artfs.errors import InvalidArgument
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.settings import (
    RUN_MARKER,
    RUN_MARKER_FDS,
    RUN_VARIABLE,
    STORE_VARIABLE,
    expand_home,
    is_url,
    store_location,
)

if TYPE_CHECKING:
    from artfs.repository.facade import Repository

_lock = forks.lock()
_opened: dict[str, Repository] = {}


def mark_process(run_id: str) -> int | None:
    """Show that this process belongs to a run; the descriptor of the mark.

    None where that cannot be done: then mounts do not see it.
    """
    try:
        made = os.memfd_create(RUN_MARKER + run_id)
        try:
            return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, RUN_MARKER_FDS.start)
        finally:
            os.close(made)
    except OSError:
        return None


def unmark_process(descriptor: int) -> None:
    """Take the mark away, unless somebody has closed it and the descriptor is another file's."""
    try:
        target = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if target.startswith(f"/memfd:{RUN_MARKER}"):
            os.close(descriptor)
    except OSError:
        return


def shared_repository(
    location: str | None = None, *, entity: str | None = None, create: bool = True
) -> Repository:
    """The store at `location`, or the default one; with `create` made where there is none.

    One for each location; a forked child goes on with its parent's, which has nothing open then.
    Thread-safe.
    Raises: InvalidArgument where the store belongs to another entity; what `open_store` raises.
    """
    chosen = store_location(location)
    if not is_url(chosen):
        chosen = str(expand_home(chosen).absolute())
    with _lock:
        repository = _opened.get(chosen)
        if repository is None:
            repository = _open(chosen, entity, create=create)
            _opened[chosen] = repository
            if repository.recovery is not None:
                atexit.register(repository.recovery.note_end)
    info = repository.info
    if entity is not None and entity != info.entity:
        raise InvalidArgument(
            f"entity {entity!r}",
            f"the store {info.location} belongs to the entity {info.entity!r}",
            hint="leave the entity out, or name another store in ARTFS_STORE",
        )
    return repository


def _open(location: str, entity: str | None, *, create: bool) -> Repository:
    if create and entity is not None and not is_url(location):
        return open_store(location, create=create, entity=entity)
    return open_store(location, create=create)


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

    @property
    def disabled(self) -> bool:
        """See Run."""
        ...

    def log_artifact(self, artifact_or_path: Any) -> Any:
        """See Run."""
        ...


class ShownVariable(NamedTuple):
    """A variable of the environment that a run has set, and what it was before."""

    name: str
    value: str
    before: str | None


class _Current:
    run: CurrentRun | None = None
    shown: tuple[ShownVariable, ...] = ()
    """How the run shows itself to the processes that this one starts."""


def current_run() -> CurrentRun | None:
    """The run that `artfs.init` began and that is not finished."""
    return _Current.run


def set_current_run(run: CurrentRun | None) -> None:
    """Make `run` the current one; None: there is none."""
    _Current.run = run


def show_run(run_id: str, store: str) -> None:
    """Let processes that this one starts find its run, and the store that knows it."""
    hide_run()
    shown = {RUN_VARIABLE: run_id, STORE_VARIABLE: store}
    _Current.shown = tuple(
        ShownVariable(name, value, os.environ.get(name)) for name, value in shown.items()
    )
    os.environ.update(shown)


def hide_run() -> None:
    """What is started from now on belongs to no run, and uses the store that was chosen before."""
    shown, _Current.shown = _Current.shown, ()
    for each in shown:
        # Another value is somebody else's choice.
        if os.environ.get(each.name) != each.value:
            continue
        if each.before is None:
            del os.environ[each.name]
        else:
            os.environ[each.name] = each.before


def active_repository(*, create: bool = True) -> Repository:
    """The current run's store, else the default one: see `shared_repository`."""
    run = _Current.run
    return shared_repository(create=create) if run is None else run.repository


def repository_to_read(location: str | None = None) -> Repository:
    """The store at `location`, else the one of a run that logs, else the default one.

    Raises: StoreNotFound where there is none, and what else `shared_repository` raises.
    """
    run = _Current.run
    if location is not None or run is None or run.disabled:
        return shared_repository(location, create=False)
    return active_repository(create=False)
