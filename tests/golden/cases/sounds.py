"""Audio from arrays; needs soundfile, which artfs does not depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .pictures import stored
from .registry import value

if TYPE_CHECKING:
    from pathlib import Path

SOUNDS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (np.linspace(-1, 1, 50), {"sample_rate": 8000}),
    (np.linspace(-2, 2, 9), {"sample_rate": 44100, "caption": "clipped"}),
    (np.arange(10, dtype=np.int16), {"sample_rate": 22050}),
    (np.arange(10, dtype=np.int32) * 65536, {"sample_rate": 22050}),
    (np.zeros((5, 2), dtype=np.float32), {"sample_rate": 16000}),
    ([0.0, 0.5, -0.5], {"sample_rate": 8000}),
    (np.zeros(0), {"sample_rate": 8000}),
)
for _number, (_data, _options) in enumerate(SOUNDS):

    @value(f"sounds.array-{_number}")
    def sound(wandb: Any, root: Path, data: Any = _data, given: Any = _options) -> Any:
        return stored(wandb, wandb.Audio(data, **given))
