"""API keys, found where W&B's client finds them: environment, netrc, settings file.

A key goes to the server that it is for and to no other. Which one that is, is said by netrc and
by `base_url` beside the key. `WANDB_API_KEY` is for the server of `WANDB_BASE_URL`; without that
it is for W&B's own, or for whichever server a person named: never for one that only a version
refers to.
"""

from __future__ import annotations

import configparser
import logging
import netrc
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from artfs.errors import ConfigError
from artfs.wandbstore.address import ServerAddress

logger = logging.getLogger(__name__)

KEY_VARIABLE = "WANDB_API_KEY"
URL_VARIABLE = "WANDB_BASE_URL"
_CLOUD = "https://api.wandb.ai"
_KEY = re.compile(r"[\x21-\x7e]{1,1000}")
_PORTS = {"http": 80, "https": 443}


def find_key(address: ServerAddress, *, named: bool) -> str | None:
    """The key for a server; None where there is none.

    `named`: a person named this server, and not a version that refers to it.
    Blocks: on small files. Raises: ConfigError for what cannot be a key.
    """
    base_url = address.base_url
    text = os.environ.get(KEY_VARIABLE, "").strip()
    if text:
        chosen = os.environ.get(URL_VARIABLE, "").strip()
        own = chosen or (base_url if named else _settings().get("base_url", _CLOUD))
        if _is_same(own, base_url):
            return _checked(text, KEY_VARIABLE)
    return _from_netrc(base_url) or _from_settings(base_url)


def _from_netrc(base_url: str) -> str | None:
    host = urlsplit(base_url).hostname or ""
    for path in _netrc_paths():
        try:
            found = netrc.netrc(str(path)).hosts.get(host)
        except FileNotFoundError:
            continue
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
            logger.warning("%s cannot be read, no key is taken from it: %s", path, error)
            continue
        # Of the entry `default` nobody knows whom it is for.
        return _checked(found[2] or "", str(path)) if found is not None else None
    return None


def _netrc_paths() -> list[Path]:
    chosen = os.environ.get("NETRC")
    if chosen:
        return [Path(os.path.expanduser(chosen))]  # noqa: PTH111 - Path.expanduser raises
    home = _home()
    return [] if home is None else [home / ".netrc", home / "_netrc"]


def _from_settings(base_url: str) -> str | None:
    found = _settings()
    key = found.get("api_key", "").strip()
    if not key or not _is_same(found.get("base_url", _CLOUD), base_url):
        return None
    return _checked(key, "the settings of W&B")


def _settings() -> dict[str, str]:
    chosen = os.environ.get("WANDB_CONFIG_DIR")
    home = _home()
    if not chosen and home is None:
        return {}
    assert chosen or home is not None
    path = Path(chosen or f"{home}/.config/wandb") / "settings"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        logger.warning("%s cannot be read, no key is taken from it: %s", path, type(error).__name__)
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}


def _home() -> Path | None:
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises
    return Path(home) if home.startswith("/") else None


def _checked(key: str, where: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise ConfigError(where, "holds no API key", hint="a key is printable and has no spaces")
    return key


def _is_same(one: str, other: str) -> bool:
    """Whether two base URLs are of one server."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme,
            (parts.hostname or "").rstrip("."),
            parts.port or _PORTS.get(parts.scheme),
        )
    except ValueError:
        return None
