"""What a system call changes in the index of a staging area, and many such changes made one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artfs.staging.nodes import Node

NodeRow = tuple[int, str, int, int, int, int, int, bytes | str | None]
LinkRow = tuple[int, str, int | None]
Record = tuple[list[int], list[tuple[int, str]], list[int], list[NodeRow], list[LinkRow]]
"""Vanished directories, removed links, gone nodes, nodes, links: see Changes; in this order."""


class Changes:
    """What one operation changes; applied whole or not at all."""

    __slots__ = ("gone", "links", "newly_persisted", "nodes", "removed_links", "vanished")

    def __init__(self) -> None:
        self.nodes: list[NodeRow] = []
        self.links: list[LinkRow] = []
        self.removed_links: list[tuple[int, str]] = []
        self.gone: list[int] = []
        """Nodes that have no name any more."""
        self.vanished: list[int] = []
        """Directories whose names all go with them."""
        self.newly_persisted: list[Node] = []

    def record(self) -> Record:
        """What the index has to know."""
        return self.vanished, self.removed_links, self.gone, self.nodes, self.links


def merged(records: Iterable[Record]) -> Record:
    """One record that does what all of these do, one after the other.

    Making 10,000 files in a directory changes the directory's row 10,000 times.
    """
    vanished: dict[int, None] = {}
    nodes: dict[int, NodeRow | None] = {}
    links: dict[int, dict[str, LinkRow | None]] = {}
    for vanishing, removed_links, gone, put_nodes, put_links in records:
        for parent in vanishing:
            vanished[parent] = None
            links.pop(parent, None)
        for parent, name in removed_links:
            links.setdefault(parent, {})[name] = None
        nodes.update(dict.fromkeys(gone))
        for row in put_nodes:
            nodes[row[0]] = row
        for link in put_links:
            links.setdefault(link[0], {})[link[1]] = link
    return (
        list(vanished),
        [
            (parent, name)
            for parent, names in links.items()
            for name, link in names.items()
            if link is None
        ],
        [node_id for node_id, row in nodes.items() if row is None],
        [row for row in nodes.values() if row is not None],
        [link for names in links.values() for link in names.values() if link is not None],
    )
