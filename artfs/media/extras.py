"""Libraries that are only needed for some values: imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from artfs.errors import Unsupported

_EXTRA = {"numpy": "numpy", "PIL": "pillow"}
"""Packages of the extra `media`, by the module that they have."""


def require(module: str, purpose: str) -> Any:
    """A module that is no dependency of artfs. Raises: Unsupported where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        package = "artfs[media]" if top in _EXTRA else top
        raise Unsupported(
            purpose, f"needs {_EXTRA.get(top, top)}", hint=f"pip install '{package}'"
        ) from error


def numpy(purpose: str) -> Any:
    """numpy. Raises: Unsupported where it is not installed."""
    return require("numpy", purpose)


def is_array(value: object) -> bool:
    """Whether it is a numpy array; numpy is not imported for it."""
    return type(value).__module__ == "numpy" and type(value).__name__ == "ndarray"


def is_from(value: object, package: str) -> bool:
    """Whether the class of a value, or one that it derives from, belongs to a package."""
    return any(
        base.__module__ == package or base.__module__.startswith(f"{package}.")
        for base in type(value).__mro__
    )
