"""SOURCE and TARGET of `artfs copy`: a store, and what is meant of it, in one argument."""

from __future__ import annotations

from pathlib import Path

import msgspec

from artfs.errors import InvalidArgument

_FOREIGN = ("wandb", "wandb+http", "wandb+https")
"""Schemes of stores whose URLs lead on to what is in them."""
_PATHS = ("/", "./", "../", "~")


class NamedPlace(msgspec.Struct, frozen=True):
    """What `[STORE#]NAMES` or `STORE` says."""

    store: str | None
    """None: the one of --store, the environment or the configuration."""
    names: str
    """`[PROJECT[/NAME[:VERSION]]]`; empty: all of it."""


def parse_place(text: str) -> NamedPlace:
    """Read SOURCE or TARGET.

    A store stands before a `#`, or alone, where it begins as paths do (/, ./, ../, ~) or is a URL;
    anything else names what is in the default store. Raises: InvalidArgument.
    """
    if not text or "\0" in text:
        raise InvalidArgument(repr(text), "names no store and nothing in one")
    store, sign, names = text.rpartition("#")
    if sign:
        return NamedPlace(store or None, names)
    scheme, is_url, rest = text.partition("://")
    if is_url and scheme.lower() in _FOREIGN:
        host, _, path = rest.partition("/")
        entity, _, names = path.partition("/")
        return NamedPlace(f"{scheme}://{host}/{entity}", names)
    if is_url or text in {".", ".."} or text.startswith(_PATHS):
        return NamedPlace(text, "")
    if _is_store(text):
        raise InvalidArgument(
            text,
            "is a store here, and could be a name in one",
            hint=f"write ./{text} or STORE#{text}",
        )
    return NamedPlace(None, text)


def _is_store(text: str) -> bool:
    try:
        return (Path(text) / "artfs.toml").exists()
    except OSError:
        return False
