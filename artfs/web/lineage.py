"""Lineage as a drawing: versions and runs in columns, what came from what from left to right."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from starlette.responses import Response

from artfs.catalog.records import RunRecord, VersionRecord
from artfs.web.addresses import run_url, version_url
from artfs.web.context import Asked

_STEPS = 4
"""From version to run, and from run to version, to either side."""
_NODES = 60
_BESIDE = 12
"""So many neighbours of one node are drawn."""

_WIDTH, _HEIGHT = 178, 44
_GAP_X, _GAP_Y = 56, 16
_MARGIN = 10


class Node(msgspec.Struct, frozen=True):
    """A version or a run, and its place."""

    kind: str
    """version or run."""
    title: str
    subtitle: str
    url: str
    is_center: bool
    state: str
    x: int
    y: int
    width: int = _WIDTH
    height: int = _HEIGHT


class Edge(msgspec.Struct, frozen=True):
    """What came from what, as the path of a line."""

    path: str


class Drawing(msgspec.Struct, frozen=True):
    """All of it."""

    width: int
    height: int
    nodes: list[Node]
    edges: list[Edge]
    is_cut: bool


Item = VersionRecord | RunRecord


class _Graph:
    """What is around a version, found step by step."""

    def __init__(self, asked: Asked) -> None:
        self._catalog = asked.repository.catalog
        self._reads = asked.visitor.access.reads
        self.items: dict[str, Item] = {}
        self.columns: dict[str, int] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self.is_cut = False

    def explore(self, center: VersionRecord) -> None:
        """Look around; blocks on the catalog."""
        self._put(center, 0)
        for direction in (-1, 1):
            waiting: deque[tuple[Item, int]] = deque([(center, 0)])
            seen = {_key(center)}
            while waiting:
                item, column = waiting.popleft()
                if abs(column) >= _STEPS:
                    continue
                for other in self._beside(item, direction):
                    if not self._put(other, column + direction):
                        continue
                    self._connect(item, other, direction)
                    if _key(other) not in seen:
                        seen.add(_key(other))
                        waiting.append((other, column + direction))

    def _connect(self, item: Item, other: Item, direction: int) -> None:
        left, right = (_key(other), _key(item)) if direction < 0 else (_key(item), _key(other))
        self.edges[left, right] = None

    def _put(self, item: Item, column: int) -> bool:
        key = _key(item)
        if key in self.items:
            return True
        if len(self.items) >= _NODES:
            self.is_cut = True
            return False
        self.items[key] = item
        self.columns[key] = column
        return True

    def _beside(self, item: Item, direction: int) -> Iterator[Item]:
        found = [each for each in self._neighbours(item, direction) if self._reads(each.project)]
        if len(found) > _BESIDE:
            self.is_cut = True
        yield from found[:_BESIDE]

    def _neighbours(self, item: Item, direction: int) -> list[Item]:
        if isinstance(item, RunRecord):
            if direction < 0:
                return [*self._catalog.inputs_of(item.id)]
            return [*self._catalog.outputs_of(item.id)]
        if direction > 0:
            return [*self._catalog.users_of(item.id)]
        maker = self._catalog.maker_of(item.id)
        return [] if maker is None else [maker]


def _key(item: Item) -> str:
    return f"{'run' if isinstance(item, RunRecord) else 'version'} {item.id}"


def draw(asked: Asked, center: VersionRecord) -> Drawing:
    """The lineage of a version, so far as it may be seen. Blocks: on the catalog."""
    graph = _Graph(asked)
    graph.explore(center)
    first = min(graph.columns.values())
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for key, column in graph.columns.items():
        row = rows[column] = rows.get(column, -1) + 1
        places[key] = (column - first, row)
    tallest = max(rows.values()) + 1
    nodes = {}
    for key, (column, row) in places.items():
        # Shorter columns stand in the middle.
        count = rows[column + first] + 1
        top = (tallest - count) * (_HEIGHT + _GAP_Y) // 2
        x = _MARGIN + column * (_WIDTH + _GAP_X)
        y = _MARGIN + top + row * (_HEIGHT + _GAP_Y)
        nodes[key] = _node(graph.items[key], x, y, is_center=key == _key(center))
    edges = [_edge(nodes[left], nodes[right]) for left, right in graph.edges]
    columns = max(column for column, _ in places.values()) + 1
    return Drawing(
        2 * _MARGIN + columns * (_WIDTH + _GAP_X) - _GAP_X,
        2 * _MARGIN + tallest * (_HEIGHT + _GAP_Y) - _GAP_Y,
        list(nodes.values()),
        edges,
        graph.is_cut,
    )


def _node(item: Item, x: int, y: int, *, is_center: bool) -> Node:
    if isinstance(item, RunRecord):
        subtitle = f"{item.job_type or 'run'}, {item.state.value}"
        url = run_url(item.project, item.id)
        return Node("run", item.name, subtitle, url, is_center, item.state.value, x, y)
    subtitle = f"{item.type} in {item.project}"
    title = f"{item.name}:{item.version}"
    # What was deleted is known to lineage, and has no page.
    is_there = item.state.value == "COMMITTED"
    url = version_url(item) if is_there else ""
    return Node(
        "version",
        title,
        subtitle if is_there else f"{item.type}, deleted",
        url,
        is_center,
        item.state.value,
        x,
        y,
    )


def _edge(left: Node, right: Node) -> Edge:
    start_x, start_y = left.x + _WIDTH, left.y + _HEIGHT // 2
    stop_x, stop_y = right.x, right.y + _HEIGHT // 2
    bend = max(24, abs(stop_x - start_x) // 2)
    bent = f"{start_x + bend} {start_y} {stop_x - bend} {stop_y}"
    return Edge(f"M{start_x} {start_y}C{bent} {stop_x} {stop_y}")


def lineage_page(asked: Asked) -> Response:
    """The drawing."""
    version = asked.version()
    return asked.page("lineage.html", version=version, drawing=draw(asked, version))
