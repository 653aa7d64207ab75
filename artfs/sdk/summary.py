"""A run's summary: a dict whose keys are attributes too, saved now and then."""

from __future__ import annotations

import atexit
import logging
import math
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from artfs import forks
from artfs.catalog.rowchecks import json_text
from artfs.errors import ArtfsError, InvalidArgument
from artfs.model import Metadata
from artfs.sdk.metadata import plain

logger = logging.getLogger(__name__)

SAVE_INTERVAL_S = 5.0
"""How long what a loop logs may wait until the store knows it, in seconds."""


class SaveSummary(Protocol):
    """Writes what has changed of a summary to the store."""

    def __call__(self, changed: Metadata, removed: tuple[str, ...]) -> None:
        """Put values beside or over those there, and take some out."""
        ...


class SummaryPart(dict[str, Any]):
    """A dict whose keys are attributes, and which tells when it is changed."""

    __slots__ = ("_tell",)
    _tell: Callable[[], None]

    def __init__(self, values: Mapping[str, Any], tell: Callable[[], None]) -> None:
        super().__init__()
        object.__setattr__(self, "_tell", tell)
        for key, value in values.items():
            super().__setitem__(key, self._part(key, value))

    def _part(self, key: str, value: Any) -> Any:
        return SummaryPart(value, lambda: self._changed(key)) if isinstance(value, dict) else value

    def _changed(self, key: str) -> None:  # noqa: ARG002 - RunSummary knows what to do with it
        self._tell()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the summary has no {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, self._part(key, value))
        self._changed(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._changed(key)

    def update(self, *values: Any, **more: Any) -> None:
        """As that of a dict."""
        for key, value in dict(*values, **more).items():
            self[key] = value

    def pop(self, key: str, *default: Any) -> Any:
        """As that of a dict."""
        value = super().pop(key, *default)
        self._changed(key)
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As that of a dict."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """As that of a dict."""
        for key in list(self):
            del self[key]

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class RunSummary(SummaryPart):
    """The last value of everything that a run logs, and what its script puts there.

    `summary.loss` is `summary["loss"]`. The store has it five seconds later at most, and when the
    run ends or `update` is called; a forked child that ends by `os._exit` calls that itself.
    Thread-safe where it is set.
    """

    __slots__ = ("__weakref__", "_clock", "_dirty", "_lock", "_saved_at", "_seen_in", "_write")

    def __init__(
        self,
        values: Mapping[str, Any],
        write: SaveSummary,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        object.__setattr__(self, "_lock", forks.lock())
        object.__setattr__(self, "_dirty", {})
        object.__setattr__(self, "_write", write)
        object.__setattr__(self, "_clock", clock)
        object.__setattr__(self, "_saved_at", clock())
        object.__setattr__(self, "_seen_in", None)
        super().__init__(values, _nothing)
        # A child would send what its parent sends as well, later and so over newer values.
        forks.in_child(self.forget_changes)

    # Forks keep hold of it by a weak reference, which has to be hashed.
    __hash__ = object.__hash__  # type: ignore[assignment]

    def _changed(self, key: str) -> None:
        with self._lock:
            self._dirty[key] = None
        if self._seen_in != forks.generation():
            object.__setattr__(self, "_seen_in", forks.generation())
            _call_at_exit(weakref.WeakMethod(self._save_at_exit))
        if self._clock() - self._saved_at >= SAVE_INTERVAL_S:
            try:
                self.save()
            except ArtfsError as error:
                # Training goes on; the end of the run tries again, and says what it could not do.
                logger.warning("the run's summary could not be saved: %s", error)

    def update(self, *values: Any, **more: Any) -> None:
        """As that of a dict; the store then has all that was set. Raises: BackendUnavailable."""
        super().update(*values, **more)
        self.save()

    def save(self) -> None:
        """Let the store have what was changed. Blocks: on the catalog.

        Raises: RunNotFound, BackendUnavailable; what was changed is then sent the next time.
        """
        object.__setattr__(self, "_saved_at", self._clock())
        with self._lock:
            keys = tuple(self._dirty)
            found = {key: self[key] for key in keys if key in self}
            self._dirty.clear()
        changed = {}
        for key, value in found.items():
            if is_storable(value):
                changed[key] = storable(value)
            else:
                # One value that cannot be kept is no reason to lose the others.
                logger.warning(
                    "the run's summary: %s is a %s that cannot be kept", key, type(value).__name__
                )
        if not keys:
            return
        try:
            self._write(changed, tuple(key for key in keys if key not in found))
        except BaseException:
            with self._lock:
                self._dirty.update(dict.fromkeys(keys))
            raise

    def _save_at_exit(self) -> None:
        try:
            self.save()
        except ArtfsError as error:
            logger.warning("the run's summary could not be saved: %s", error)

    def forget_changes(self) -> None:
        """Send nothing of what was changed up to now."""
        self._dirty.clear()


def is_storable(value: object) -> bool:
    """Whether the store can keep a metric."""
    try:
        json_text({"value": storable(value)})
    except (InvalidArgument, ValueError, TypeError, RecursionError):
        return False
    return True


def storable(value: object) -> Any:
    """The JSON value for a metric; numbers that JSON does not know are W&B's words for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    if value is None or type(value) in {str, int, float, bool}:
        return value
    converted = plain(value)
    return storable(converted) if type(converted) is not type(value) else converted


def _nothing() -> None:
    """Who changes a summary itself is not told."""


def _call_at_exit(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call a method, as long as its object lives, when this process ends.

    A child of multiprocessing ends without what atexit knows.
    """

    def call() -> None:
        if (alive := method()) is not None:
            alive()

    atexit.register(call)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, call, exitpriority=10)
