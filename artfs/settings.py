"""Settings of the user: which store, and where local state lives.

The store comes from an explicit choice, else `$ARTFS_STORE`, else `store` in
`$XDG_CONFIG_HOME/artfs/config.toml`, else the embedded default in the XDG data directory.
"""

from __future__ import annotations

import math
import os
import pwd
import re
import tomllib
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, ConfigError

STORE_VARIABLE = "ARTFS_STORE"
ENTITY_VARIABLE = "ARTFS_ENTITY"
PROJECT_VARIABLE = "ARTFS_PROJECT"
RUN_VARIABLE = "ARTFS_RUN_ID"
URL_SCHEME = "artfs"
"""Of the `url` of runs and artifacts: names that are spelled like addresses."""
RUN_MARKER = "artfs-run:"
"""With a run's id behind it, the name of a memfd in a process that `artfs.init` was called in."""
RUN_MARKER_FDS = range(900, 908)
"""The descriptors at which mounts look for it: few, high enough to be free in most processes."""
CACHE_VARIABLE = "XDG_CACHE_HOME"
DATA_VARIABLE = "XDG_DATA_HOME"
STATE_VARIABLE = "XDG_STATE_HOME"
CACHE_SIZE_VARIABLE = "ARTFS_CACHE_SIZE"
FILE_REFERENCES_VARIABLE = "ARTFS_FILE_REFERENCES"
TIMEOUT_VARIABLE = "ARTFS_TIMEOUT"
LINK_LOCAL_VARIABLE = "ARTFS_LINK_LOCAL"

DEFAULT_TIMEOUT_S = 60.0
MAX_TIMEOUT_S = 3600.0

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)

_SWITCH = {"on": True, "off": False}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration file; every key may be left out."""

    store: str | None = None
    """A directory, or the URL of a shared store's catalog."""
    entity: str | None = None
    """The entity of stores that this user creates."""
    project: str | None = None
    """The project of names that mention none."""
    cache_size: str | None = None
    """How much the block cache may keep, for example "200 GiB"."""
    file_references: str | None = None
    """`on` or `off`: whether local files are read that versions refer to."""
    timeout: float | None = None
    """How long a read may take, in seconds."""
    link_local: bool | None = None
    """Whether references may lead to link-local addresses, and to those of cloud metadata."""


def config_path() -> Path:
    """Where the configuration file is looked for."""
    return _user_path("XDG_CONFIG_HOME", ".config") / "config.toml"


def load_config() -> Config:
    """The configuration file, or the defaults where there is none.

    Raises: ConfigError for a file that cannot be read or has unknown or wrong keys.
    """
    try:
        path = config_path()
        # One in a home that is closed to this user is not theirs.
        if not path.exists():
            return Config()
    except (ConfigError, PermissionError, NotADirectoryError):
        return Config()
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), analysed(Config))
    except FileNotFoundError:
        return Config()
    except (OSError, *UNDECODABLE) as error:
        raise ConfigError(str(path), str(error), hint="mend or remove it") from None


def store_location(explicit: str | None = None) -> str:
    """The store to use: a directory or a URL. Raises: ConfigError."""
    chosen = explicit or os.environ.get(STORE_VARIABLE) or load_config().store
    if chosen:
        return chosen
    try:
        return str(_default_store())
    except ConfigError as error:
        raise ConfigError(
            "store", error.reason, hint=f"say --store, or set {STORE_VARIABLE}"
        ) from None


def store_variable(root: Path) -> str | None:
    """The variable that says where this store is, as long as nobody names one."""
    with suppress(ConfigError):
        return DATA_VARIABLE if root == _default_store() else None
    return None


def _default_store() -> Path:
    return _user_path(DATA_VARIABLE, ".local", "share") / "store"


def is_url(location: str) -> bool:
    """Whether a store is a shared one, named by a URL."""
    return "://" in location


def default_entity() -> str:
    """The entity of a store that is being created. Raises: ConfigError."""
    chosen = os.environ.get(ENTITY_VARIABLE) or load_config().entity or os.environ.get("USER")
    return chosen or "default"


def default_project() -> str | None:
    """The project of names that mention none, where one is set. Raises: ConfigError."""
    return os.environ.get(PROJECT_VARIABLE) or load_config().project


def chosen_project(name: str | None = None) -> str:
    """The project `name`, else the one of the settings, else W&B's for those who name none."""
    return name or default_project() or "uncategorized"


def runtime_base() -> Path:
    """What the directory of control sockets is in; user_places.py makes it."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/artfs-{os.getuid()}")  # noqa: S108 - user_places.py looks whose it is


def cache_path() -> Path:
    """Where the block cache and the workspace of shared stores live. Raises: ConfigError."""
    return _user_path(CACHE_VARIABLE, ".cache")


def state_path() -> Path:
    """Where logs of daemons live, and what is remembered. Raises: ConfigError."""
    return _user_path(STATE_VARIABLE, ".local", "state")


def _user_path(variable: str, *below_home: str) -> Path:
    """A directory of this user, which need not be there.

    A variable that is no absolute path does not count. Raises: ConfigError without a home.
    """
    chosen = os.environ.get(variable, "")
    if chosen.startswith("/"):
        return Path(chosen) / "artfs"
    home = _home()
    if home is None:
        raise ConfigError(
            variable, "this user has no home directory", hint=f"set {variable} or HOME to one"
        )
    return Path(home).joinpath(*below_home, "artfs")


def expand_home(path: str | os.PathLike[str]) -> Path:
    """A path that people wrote, with `~` and `~user` as shells understand them: one that leads to
    no home is a name like any other.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError


def _home() -> str | None:
    """HOME, or what passwd says; an empty HOME would be the root directory, for expanduser."""
    home = os.environ.get("HOME", "")
    if not home.startswith("/"):
        with suppress(KeyError):
            home = pwd.getpwuid(os.getuid()).pw_dir
    return home if home.startswith("/") else None


def file_references() -> bool | None:
    """Whether local files are read that versions refer to; None: as the store deserves.

    Raises: ConfigError.
    """
    text = os.environ.get(FILE_REFERENCES_VARIABLE) or load_config().file_references
    if not text:
        return None
    if text not in {"on", "off"}:
        raise ConfigError(f"file_references {text!r}", "neither `on` nor `off`")
    return text == "on"


def cache_limit_bytes() -> int | None:
    """The limit of the block cache, where one is set. Raises: ConfigError."""
    text = os.environ.get(CACHE_SIZE_VARIABLE) or load_config().cache_size
    if not text:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise ConfigError(f"cache size {text!r}", "not a size", hint="write it as 200GiB")
    power = " KMGT".index(match[2].upper() or " ")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


def allows_link_local() -> bool:
    """Whether references may lead to link-local addresses. Raises: ConfigError."""
    text = os.environ.get(LINK_LOCAL_VARIABLE)
    if not text:
        return bool(load_config().link_local)
    if text not in _SWITCH:
        raise ConfigError(LINK_LOCAL_VARIABLE, f"{text!r} is neither 'on' nor 'off'")
    return _SWITCH[text]


def timeout_s() -> float:
    """How long a read may take, where nothing else says so, in seconds. Raises: ConfigError."""
    text = os.environ.get(TIMEOUT_VARIABLE)
    try:
        found = float(text) if text else load_config().timeout or DEFAULT_TIMEOUT_S
    except ValueError:
        found = math.nan
    if not 0 < found <= MAX_TIMEOUT_S:
        raise ConfigError(
            f"timeout {text or found!r}",
            f"not seconds, more than 0 and at most {MAX_TIMEOUT_S:.0f}",
        )
    return found
