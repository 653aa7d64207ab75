"""A run's configuration: a dict whose keys are attributes too."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, Self

from artfs.errors import InvalidArgument
from artfs.model import Metadata
from artfs.sdk.artifact_content import ArtifactContent
from artfs.sdk.metadata import normalize_metadata

UseArtifact = Callable[[str, ArtifactContent | str], ArtifactContent]
"""Records an artifact, or the version of an id, as what a run uses under a key."""

SaveConfig = Callable[[Metadata], None]
"""Lets the store have values of a run's config."""


class RunConfig(dict[str, Any]):
    """What a run was configured with.

    `config.lr` is `config["lr"]`. What is changed is kept at once. An artifact is an input of the
    run, under its key, and the store keeps which.

    Raises: InvalidArgument (a ValueError) for an artifact inside of another value.
    """

    __slots__ = ("_save", "_use")
    _use: UseArtifact | None
    _save: SaveConfig | None

    def __init__(
        self,
        values: Mapping[str, Any],
        use: UseArtifact | None = None,
        save: SaveConfig | None = None,
    ) -> None:
        """`values` are taken as they are; what comes later and is an artifact is given to `use`,
        and what else comes later to `save`.
        """
        super().__init__(values)
        object.__setattr__(self, "_use", use)
        object.__setattr__(self, "_save", save)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the run's config has no {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *values: Any, allow_val_change: object = None, **more: Any) -> None:  # noqa: ARG002 - W&B's
        """As that of a dict; nothing is changed where one of the values is refused.

        Values may always be changed, with `allow_val_change`, which is W&B's, or without.
        """
        self._take([vars(each) if isinstance(each, Namespace) else each for each in values], more)

    def update_here(self, values: Mapping[str, Any]) -> None:
        """Take values into this process only, but for artifacts, which are used."""
        save, self_set = self._save, object.__setattr__
        self_set(self, "_save", None)
        try:
            self.update(values)
        finally:
            self_set(self, "_save", save)

    def _take(self, values: list[Any], more: dict[str, Any]) -> None:
        new: dict[str, Any] = dict(*values, **more)
        check_config(new)
        if self._save is not None:
            rest = {key: each for key, each in new.items() if artifact_in(each) is None}
            if rest:
                self._save({str(key): _storable(each) for key, each in rest.items()})
        for key, value in new.items():
            super().__setitem__(key, self._used(key, value))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As that of a dict."""
        if key not in self:
            self[key] = default
        return self[key]

    def setdefaults(self, values: Mapping[str, Any]) -> None:
        """Take each value whose key is not there yet."""
        self.update({key: value for key, value in values.items() if key not in self})

    def as_dict(self) -> dict[str, Any]:
        """The values, as a dict of their own."""
        return dict(self)

    def persist(self) -> None:
        """Do nothing: what is changed is kept already."""

    def __ior__(self, values: Any) -> Self:  # type: ignore[override,misc]
        self.update(values)
        return self

    def __reduce__(self) -> tuple[type[RunConfig], tuple[dict[str, Any]]]:
        # A copy is that of the values: what is put into it is no input of the run.
        return RunConfig, (dict(self),)

    def _used(self, key: str, value: Any) -> Any:
        artifact = artifact_in(value)
        return value if artifact is None or self._use is None else self._use(key, artifact)


def artifact_in(value: object) -> ArtifactContent | str | None:
    """The artifact that a value of a config is, or the id of the version that it stands for."""
    if isinstance(value, ArtifactContent):
        return value
    if isinstance(value, Mapping) and value.get("_type") == "artifactVersion":
        version_id = value.get("id")
        return version_id if isinstance(version_id, str) else None
    return None


def _storable(value: Any) -> Any:
    """The JSON value that is kept of a value: of what JSON cannot say, its text."""
    try:
        return normalize_metadata({"": value}, subject="config")[""]
    except (TypeError, ValueError, RecursionError):
        return str(value)


def check_config(values: Mapping[str, Any]) -> None:
    """Raises: InvalidArgument for an artifact that is not the value of a key at the top."""
    for key, value in values.items():
        if artifact_in(value) is not None and not isinstance(key, str):
            raise InvalidArgument(f"config key {key!r}", "an artifact needs a key that is text")
    waiting = [value for value in values.values() if not isinstance(value, ArtifactContent)]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, ArtifactContent):
            raise InvalidArgument(
                "config",
                "artifacts can only be top level keys of a run's config",
                hint='write config["data"] = artifact',
            )
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
