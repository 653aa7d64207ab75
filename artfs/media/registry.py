"""The value types by the suffix of the files that they are stored in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artfs.sdk.values import ArtifactValue

_CLASSES: dict[str, str] = {}
"""Suffix to `module:class`, in the order in which `Artifact.get` looks for a name."""


def value_types() -> Mapping[str, type[ArtifactValue]]:
    """All value types, imported."""
    found: dict[str, type[ArtifactValue]] = {}
    for suffix, location in _CLASSES.items():
        module, _, name = location.partition(":")
        found[suffix] = getattr(import_module(module), name)
    return found
