"""The list of golden cases: each is a recipe that wandb 0.15.0 and artfs both can carry out.

A recipe takes the module under test as `wandb` and an empty directory of its own, so the generator
passes the real package and the tests pass `artfs`. There are three kinds: a *value* returns a draft
artifact, a *fact* returns anything JSON can hold, an *error* is expected to raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Recipe = Callable[[Any, Path], Any]
SeededRecipe = Callable[[Any, Path, int], Any]
Kind = Literal["value", "fact", "error"]


@dataclass(frozen=True, slots=True)
class Case:
    """One recipe; the part of `name` before the first dot is its fixture file in `values/`."""

    name: str
    kind: Kind
    recipe: Recipe

    @property
    def group(self) -> str:
        """Return the name of the fixture file, without its suffix."""
        return self.name.partition(".")[0]


CASES: dict[str, Case] = {}


def _register(name: str, kind: Kind, recipe: Recipe) -> None:
    """Add a case; two cases of one name would silently overwrite each other's fixture."""
    if name in CASES:
        raise ValueError(f"two golden cases are called {name}")
    CASES[name] = Case(name, kind, recipe)


def value(name: str) -> Callable[[Recipe], Recipe]:
    """Register a recipe that returns a draft artifact."""

    def decorate(recipe: Recipe) -> Recipe:
        _register(name, "value", recipe)
        return recipe

    return decorate


def fact(name: str) -> Callable[[Recipe], Recipe]:
    """Register a recipe that returns a value of plain JSON types."""

    def decorate(recipe: Recipe) -> Recipe:
        _register(name, "fact", recipe)
        return recipe

    return decorate


def error(name: str) -> Callable[[Recipe], Recipe]:
    """Register a recipe that is expected to raise; what it does raise is the fixture."""

    def decorate(recipe: Recipe) -> Recipe:
        _register(name, "error", recipe)
        return recipe

    return decorate


def seeded(name: str, count: int) -> Callable[[SeededRecipe], SeededRecipe]:
    """Register `count` value cases `name-0000`, `name-0001`, ... that differ in their seed."""

    def bind(recipe: SeededRecipe, seed: int) -> Recipe:
        return lambda wandb, root: recipe(wandb, root, seed)

    def decorate(recipe: SeededRecipe) -> SeededRecipe:
        for seed in range(count):
            _register(f"{name}-{seed:04d}", "value", bind(recipe, seed))
        return recipe

    return decorate


def write(root: Path, files: dict[str, bytes]) -> Path:
    """Write `files` (path below `root` -> content) and return `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
