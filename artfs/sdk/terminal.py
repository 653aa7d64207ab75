"""What the SDK prints on standard error, as W&B does, under its own name."""

from __future__ import annotations

import sys
from contextlib import suppress

from artfs.references.base import Announced


def print_announced(words: Announced) -> None:
    """Print the words of a listing, each line but the one that they go on with begun by `artfs: `.

    Where nobody can read them, nothing happens.
    """
    if words.is_end:
        text = f"{words.text}\n"
    else:
        text = "\n".join(f"artfs: {line}" for line in words.text.split("\n"))
    if sys.stderr is None:
        return
    # Closed, or a pipe that nobody reads: no reason to add nothing.
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
