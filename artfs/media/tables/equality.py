"""Whether tables hold the same: arrays compare cell by cell, and give no truth of their own."""

from __future__ import annotations

from typing import Any

from artfs.media.extras import is_array


def equal_rows(first: list[list[Any]], second: list[list[Any]]) -> bool:
    """Whether rows are equal, arrays in their cells included."""
    return len(first) == len(second) and all(
        equal_cells(one, two) for one, two in zip(first, second, strict=True)
    )


def equal_cells(one: Any, two: Any) -> bool:
    """Whether two cells, or rows of them, are equal."""
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(equal_cells, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(equal_cells(one[key], two[key]) for key in one)
    if is_array(one) or is_array(two):
        listed = [cell.tolist() if is_array(cell) else cell for cell in (one, two)]
        return equal_cells(*listed)
    return one is two or bool(one == two)
