"""Small picture files as literals, so that no case depends on an encoder for its input."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from .registry import write

if TYPE_CHECKING:
    from pathlib import Path

# One green pixel, RGBA.
GREEN = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
# Three by two pixels, palette, GIF.
STRIPE = base64.b64decode("R0lGODlhAwACAIABAAAAAP///ywAAAAAAwACAAACA4R/BQA7")


def green(root: Path, name: str = "green.png") -> str:
    """Write the green pixel below `root` and return its path."""
    return str(write(root, {name: GREEN}) / name)


def stored(wandb: Any, obj: Any, name: str = "thing") -> Any:
    """Return a draft that holds `obj` under `name`."""
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add(obj, name)
    return artifact
