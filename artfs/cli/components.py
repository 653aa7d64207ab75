"""Which versions of artfs and of what it builds on are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version(name: str) -> str:
    """A distribution's version, or "not installed", as in a source tree without an installation."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
