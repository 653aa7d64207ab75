"""The store that this process uses: opened once, when it is first needed."""

from __future__ import annotations

import atexit

from artfs.errors import InvalidArgument
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.settings import expand_home, is_url, store_location
from artfs.system import forks

_lock = forks.lock()
_opened: dict[str, Repository] = {}


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
