"""A run's configuration: a dict whose keys are attributes too."""

from __future__ import annotations

from typing import Any


class RunConfig(dict[str, Any]):
    """What a run was configured with.

    `config.lr` is `config["lr"]`. Changes stay in this process: the store keeps what the run
    began with.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the run's config has no {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value
