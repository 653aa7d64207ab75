"""The functions of `artfs` that speak to the run that is current in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidArgument
from artfs.sdk.run import Artifact, Run
from artfs.sdk.session import current_run

if TYPE_CHECKING:
    from artfs.sdk.metrics import Metric


def finish(exit_code: int | None = None) -> None:
    """End the current run, if there is one; see `Run.finish`."""
    run = _current()
    if run is not None:
        run.finish(exit_code)


def log(
    data: dict[str, Any],
    step: int | None = None,
    commit: bool | None = None,
    sync: bool | None = None,
) -> None:
    """Log metrics with the current run; see `Run.log`. Raises: InvalidArgument without a run."""
    _required_run("log").log(data, step, commit, sync)


def log_artifact(
    artifact_or_path: Artifact | str | os.PathLike[str],
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - W&B's name
    aliases: str | Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> Artifact:
    """Log an artifact with the current run; see `Run.log_artifact`.

    Raises: InvalidArgument where there is no run.
    """
    run = _required_run("log_artifact")
    return run.log_artifact(artifact_or_path, name, type, aliases, tags)


def use_artifact(
    artifact_or_name: Artifact | str,
    type: str | None = None,  # noqa: A002 - W&B's name
    aliases: str | Sequence[str] | None = None,
    use_as: str | None = None,
) -> Artifact:
    """Use an artifact in the current run; see `Run.use_artifact`.

    Raises: InvalidArgument where there is no run.
    """
    return _required_run("use_artifact").use_artifact(artifact_or_name, type, aliases, use_as)


def define_metric(name: str, *arguments: Any, **more: Any) -> Metric:
    """See `Run.define_metric`. Raises: InvalidArgument where there is no run."""
    return _required_run("define_metric").define_metric(name, *arguments, **more)


def watch(models: Any, *arguments: Any, **more: Any) -> None:
    """See `Run.watch`. Raises: InvalidArgument where there is no run."""
    _required_run("watch").watch(models, *arguments, **more)


def unwatch(models: Any = None) -> None:
    """See `Run.unwatch`. Raises: InvalidArgument where there is no run."""
    _required_run("unwatch").unwatch(models)


def log_model(
    path: str | os.PathLike[str],
    name: str | None = None,
    aliases: str | Sequence[str] | None = None,
) -> None:
    """See `Run.log_model`. Raises: InvalidArgument where there is no run."""
    _required_run("log_model").log_model(path, name, aliases)


def use_model(name: str) -> str:
    """See `Run.use_model`. Raises: InvalidArgument where there is no run."""
    return _required_run("use_model").use_model(name)


def link_model(
    path: str | os.PathLike[str],
    registered_model_name: str,
    name: str | None = None,
    aliases: list[str] | None = None,
) -> Artifact:
    """See `Run.link_model`. Raises: InvalidArgument where there is no run."""
    run = _required_run("link_model")
    linked: Artifact = run.link_model(path, registered_model_name, name, aliases)
    return linked


def save(
    glob_str: str | os.PathLike[str] | None = None,
    base_path: str | os.PathLike[str] | None = None,
    policy: str = "live",
    glob: bool = True,
) -> list[str]:
    """See `Run.save`. Raises: InvalidArgument where there is no run."""
    return _required_run("save").save(glob_str, base_path, policy, glob)


def alert(title: str, text: str, *arguments: Any, **more: Any) -> None:
    """See `Run.alert`. Raises: InvalidArgument where there is no run."""
    _required_run("alert").alert(title, text, *arguments, **more)


def mark_preempting() -> None:
    """Do nothing. Raises: InvalidArgument where there is no run."""
    _required_run("mark_preempting").mark_preempting()


def pin_config_keys(keys: Sequence[str] = ()) -> None:
    """Do nothing. Raises: InvalidArgument where there is no run."""
    _required_run("pin_config_keys").pin_config_keys(keys)


def login(  # noqa: PLR0913, PLR0917 - W&B's
    key: str | None = None,  # noqa: ARG001 - without effect, as the others
    relogin: bool | None = None,  # noqa: ARG001
    host: str | None = None,  # noqa: ARG001
    force: bool | None = None,  # noqa: ARG001
    timeout: int | None = None,  # noqa: ARG001
    verify: bool = True,  # noqa: ARG001
    referrer: str | None = None,  # noqa: ARG001
    prompt: bool = True,  # noqa: ARG001
    anonymous: object = None,  # noqa: ARG001
) -> bool:
    """Do nothing, and answer True: a store needs no key."""
    return True


def setup(settings: object = None) -> None:
    """Do nothing: there is nothing to start before `init`."""


def teardown(exit_code: int | None = None) -> None:
    """End the current run, if there is one."""
    finish(exit_code)


def require(requirement: object = None, experiment: object = None) -> None:
    """Do nothing: there are no features to ask for."""


def _current() -> Run | None:
    run = current_run()
    return run if isinstance(run, Run) else None


def _required_run(function: str) -> Run:
    run = _current()
    if run is None:
        raise InvalidArgument(
            f"artfs.{function}()", "there is no run", hint="call artfs.init() before it"
        )
    return run
