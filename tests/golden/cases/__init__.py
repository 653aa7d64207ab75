"""Recipes of the golden cases; importing this package fills `CASES`.

What wandb did with each is in `../values/GROUP.json`; see registry.py for the kinds of case.
"""

from . import (
    arrays,
    errors,
    files,
    frames,
    images,
    keys,
    media,
    metadata,
    overlays,
    random_tables,
    references,
    sounds,
    tables,
)
from .divergences import DIVERGES
from .registry import CASES, Case

MODULES = (
    arrays,
    errors,
    files,
    frames,
    images,
    keys,
    media,
    metadata,
    overlays,
    random_tables,
    references,
    sounds,
    tables,
)

__all__ = ["CASES", "DIVERGES", "MODULES", "Case"]
