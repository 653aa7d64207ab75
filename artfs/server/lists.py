"""Pages of lists as Relay has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from artfs.errors import InvalidArgument
from artfs.repository.filters import matching, ordered

__all__ = ["connection", "edges", "matching", "nodes", "ordered", "page_bounds"]

T = TypeVar("T")

DEFAULT_PAGE = 50
MAX_PAGE = 10_000


def page_bounds(first: int | None, after: str | None) -> tuple[int, int]:
    """Where a page begins, and how many items it has at most. Raises: InvalidArgument."""
    count = DEFAULT_PAGE if first is None else first
    if not 0 <= count <= MAX_PAGE:
        raise InvalidArgument(f"first: {first}", f"a page has at most {MAX_PAGE} items")
    if not after:
        return 0, count
    if not after.isdecimal() or len(after) > 18:
        raise InvalidArgument(f"after: {after[:40]!r}", "is no cursor of this server")
    return int(after), count


def connection(
    items: Sequence[T],
    first: int | None,
    after: str | None,
    edge: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """A page of `items`; `edge` makes of one what an edge says, but for its cursor."""
    start, count = page_bounds(first, after)
    shown = items[start : start + count]
    return edges(
        [edge(item) for item in shown], start, more=start + count < len(items), total=len(items)
    )


def edges(
    found: Sequence[dict[str, Any]], start: int, *, more: bool, total: int | None = None
) -> dict[str, Any]:
    """A page that begins at `start` of a longer list."""
    return {
        "edges": [
            {**each, "cursor": str(position)} for position, each in enumerate(found, start + 1)
        ],
        "pageInfo": {"hasNextPage": more, "endCursor": str(start + len(found)) if found else None},
        "totalCount": total,
    }


def nodes(items: Iterable[Any]) -> list[dict[str, Any]]:
    """Edges that say nothing but their node."""
    return [{"node": item} for item in items]
