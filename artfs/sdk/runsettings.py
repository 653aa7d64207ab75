"""What a run is asked to be: by arguments, by `Settings`, by W&B's variables, in this order."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from artfs.errors import UNDECODABLE, ConfigError, InvalidArgument, Unsupported
from artfs.settings import default_project

MAX_TAG_CHARS = 64

_MODES = frozenset({"online", "offline", "shared", "disabled", "dryrun", "run"})
_RESUMES = {True: "auto", False: None, None: None}
_RESUME_WORDS = frozenset({"allow", "must", "never", "auto"})
_REINITS = {True: "finish_previous", False: "default", None: "default"}
_REINIT_WORDS = frozenset({"default", "return_previous", "finish_previous", "create_new"})

_MEANT = {
    "entity": "entity",
    "mode": "mode",
    "project": "project",
    "reinit": "reinit",
    "resume": "resume",
    "root_dir": "dir",
    "run_group": "group",
    "run_id": "id",
    "run_job_type": "job_type",
    "run_name": "name",
    "run_notes": "notes",
    "run_tags": "tags",
    "save_code": "save_code",
    "silent": "silent",
    "quiet": "silent",
}
"""Settings of W&B that mean something here, and the argument of `init` that says the same."""

_VARIABLES = {
    "WANDB_DIR": "dir",
    "WANDB_JOB_TYPE": "job_type",
    "WANDB_MODE": "mode",
    "WANDB_NAME": "name",
    "WANDB_NOTES": "notes",
    "WANDB_RESUME": "resume",
    "WANDB_RUN_GROUP": "group",
    "WANDB_RUN_ID": "id",
}

_WITHOUT_EFFECT = frozenset(
    """
    allow_media_symlink allow_offline_artifacts allow_val_change anonymous api_key
    app_url_override azure_account_url_to_access_key base_url capture_loggers code_dir
    colab_url config_paths console console_chunk_max_bytes console_chunk_max_seconds
    console_multipart credentials_file deployment disable_code disable_git
    disable_git_fork_point disable_hints disable_job_creation disabled docker email
    enable_job_creation files_dir finish_timeout finish_timeout_raises force fork_from
    git_commit git_remote git_remote_url git_root heartbeat_seconds host http_proxy
    https_proxy identity_token_file ignore_globs init_timeout insecure_disable_ssl
    is_local job_name job_source label_disable launch launch_config_path log_dir
    log_internal log_level log_symlink_internal log_symlink_user log_user login_timeout
    magic max_end_of_run_history_metrics max_end_of_run_summary_metrics notebook_name
    offline organization program program_abspath program_relpath project_url relogin
    resume_fname resume_from resumed run_mode run_url sagemaker_disable settings_system
    settings_workspace show_colors show_emoji show_errors show_info show_warnings
    start_datetime start_method start_time stop_fn stop_on_fatal_error strict
    summary_errors summary_timeout summary_warnings sweep_id sweep_param_path sweep_url
    symlink sync_dir sync_file sync_tensorboard system_sample system_sample_seconds
    table_raise_on_max_row_limit_exceeded timespec tmp_dir use_dot_wandb username
    wandb_dir
    """.split()  # noqa: SIM905 - a list of these would fill three pages
)


class Settings:
    """W&B's settings, of which those count that say what a run is; the rest is taken.

    They are attributes; one that was not given is None.

    Raises: InvalidArgument (a ValueError) for one that W&B does not have.
    """

    def __init__(self, **settings: Any) -> None:
        for name in settings:
            if not (
                name in _MEANT or name in _WITHOUT_EFFECT or name.startswith(("_", "x_", "run_"))
            ):
                raise InvalidArgument(f"setting {name!r}", "is none of W&B's")
        self.__dict__.update(settings)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __getattr__(self, name: str) -> Any:
        if name in _MEANT or name in _WITHOUT_EFFECT:
            return None
        raise AttributeError(f"there is no setting {name!r}")

    def arguments(self) -> dict[str, Any]:
        """What they say as arguments of `init`."""
        return {
            _MEANT[name]: value
            for name, value in vars(self).items()
            if name in _MEANT and value is not None
        }


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is asked to be, checked."""

    project: str | None = None
    entity: str | None = None
    id: str | None = None
    name: str | None = None
    job_type: str | None = None
    group: str | None = None
    notes: str | None = None
    tags: tuple[str, ...] | None = None
    mode: str = "online"
    dir: str | None = None
    resume: str | None = None
    reinit: str = "default"
    save_code: bool = False
    silent: bool = False
    config: dict[str, Any] = {}
    store: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any], settings: Settings | dict[str, Any] | None) -> Self:
        """What arguments of `init` (None: not given), settings and the environment ask for.

        Raises: InvalidArgument (a ValueError) for values that mean nothing.
        """
        if isinstance(settings, dict):
            settings = Settings(**settings)
        given = {name: value for name, value in arguments.items() if value is not None}
        chosen = _from_environment() | (settings.arguments() if settings else {}) | given
        if "project" not in chosen and default_project() is None:
            chosen["project"] = os.environ.get("WANDB_PROJECT") or None
        chosen["mode"] = _one_of("mode", chosen.get("mode", "online"), _MODES)
        resume = chosen.get("resume")
        chosen["resume"] = _word("resume", resume, _RESUMES, _RESUME_WORDS)
        chosen["reinit"] = _word("reinit", chosen.get("reinit"), _REINITS, _REINIT_WORDS)
        if chosen.get("tags") is not None:
            chosen["tags"] = checked_tags(chosen["tags"])
        for name in ("id", "name", "job_type", "group", "notes", "dir"):
            if chosen.get(name) is not None:
                chosen[name] = str(chosen[name])
        for name in ("save_code", "silent"):
            chosen[name] = bool(chosen.get(name))
        return cls(**chosen)


def _from_environment() -> dict[str, Any]:
    found: dict[str, Any] = {
        name: os.environ[variable]
        for variable, name in _VARIABLES.items()
        if os.environ.get(variable)
    }
    if tags := os.environ.get("WANDB_TAGS"):
        found["tags"] = [each.strip() for each in tags.split(",") if each.strip()]
    if os.environ.get("WANDB_SILENT", "").lower() in {"1", "true", "yes"}:
        found["silent"] = True
    return found


def _one_of(what: str, value: Any, words: frozenset[str]) -> str:
    if value not in words:
        raise InvalidArgument(f"{what} {value!r}", f"is none of {', '.join(sorted(words))}")
    return str(value)


def _word(
    what: str, value: Any, meanings: Mapping[Any, str | None], words: frozenset[str]
) -> str | None:
    if value in meanings:
        return meanings[value]
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return meanings[value.lower() == "true"]
    return _one_of(what, value, words)


def checked_tags(tags: str | Iterable[Any]) -> tuple[str, ...]:
    """A run's tags, each once. Raises: InvalidArgument for one that is not 1 to 64 characters."""
    found = tuple(dict.fromkeys([tags] if isinstance(tags, str) else tags))
    for tag in found:
        if not isinstance(tag, str) or not 1 <= len(tag) <= MAX_TAG_CHARS:
            raise InvalidArgument(
                f"tag {str(tag)[:20]!r}", f"a run's tag is text of 1 to {MAX_TAG_CHARS} characters"
            )
    return found


def config_values(config: object) -> dict[str, Any]:
    """The values of what W&B takes as a config: a dict, a namespace, a file of JSON or YAML.

    Raises: ConfigError for a file that is not there or not right, TypeError for anything else.
    """
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    if isinstance(config, str | os.PathLike):
        return _config_file(Path(config))
    if isinstance(config, argparse.Namespace) or hasattr(config, "__dict__"):
        return dict(vars(config))
    raise TypeError(f"config must be dict or have a __dict__, not be a {type(config).__name__}")


def _config_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        values = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (OSError, *UNDECODABLE) as error:
        raise ConfigError(f"config file {path}", str(error)) from None
    if not isinstance(values, dict):
        raise ConfigError(f"config file {path}", "does not hold keys and values")
    # As W&B writes them, each value may have a description beside it.
    return {
        key: each["value"] if isinstance(each, dict) and "value" in each else each
        for key, each in values.items()
        if key != "wandb_version"
    }


def _yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore] # noqa: PLC0415 - not everybody has it
    except ImportError:
        raise Unsupported(
            "a config file of YAML", "needs PyYAML", hint="pip install pyyaml, or write JSON"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def selected(
    config: dict[str, Any], *, include: list[str] | None, exclude: list[str] | None
) -> dict[str, Any]:
    """A config without the keys that are not wanted. Raises: InvalidArgument for both at once."""
    if include and exclude:
        raise InvalidArgument("config", "either include keys or exclude some, not both")
    return {
        key: value
        for key, value in config.items()
        if (not include or key in include) and key not in (exclude or ())
    }
