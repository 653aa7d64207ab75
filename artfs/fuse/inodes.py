"""Inode numbers, and what the kernel knows by them.

A number is what the node's identity asks for, so it is the same in every mount. Where a live
node has that number already, the next free one is taken. Numbers live as long as the kernel
holds a lookup on them.

Nodes are kept as objects. Whatever a directory tells by position is kept as one integer:

    bits 0-5    lookups, less one; 63 says that they are counted elsewhere
    bits 6-33   position in its directory; 4 GiB, the most an object can be, hold no 2**28
    bits 34-    slot of the directory

so that a file which was listed costs two integers of 60 bits, the longest that are short in
Python, in one dict. Slot and position are the place itself: who asks for a number that is taken
is known for certain.
"""

from __future__ import annotations

from typing import NamedTuple

from artfs.vfs.tree import NUMBER_MASK, ROOT_NUMBER, DirectoryNode, ListedName, Node

_LOOKUPS_BITS = 6
_POSITION_BITS = 28
_POSITION_SHIFT = _LOOKUPS_BITS
_SLOT_SHIFT = _POSITION_SHIFT + _POSITION_BITS
_LOOKUPS_MASK = (1 << _LOOKUPS_BITS) - 1
_POSITION_MASK = (1 << _POSITION_BITS) - 1
_MANY = _LOOKUPS_MASK


class Place(NamedTuple):
    """Where a leaf is: a position of a directory."""

    directory: DirectoryNode
    position: int


class _Live:
    """A node that the kernel knows."""

    __slots__ = ("lookups", "node")

    def __init__(self, node: Node, lookups: int) -> None:
        self.node = node
        self.lookups = lookups


class _Slot:
    """A directory that has leaves which the kernel knows."""

    __slots__ = ("directory", "leaves")

    def __init__(self, directory: DirectoryNode) -> None:
        self.directory = directory
        self.leaves = 0


class Inodes:
    """All inodes that the kernel knows. Not thread-safe."""

    def __init__(self, root: DirectoryNode) -> None:
        self._nodes: dict[int, _Live] = {ROOT_NUMBER: _Live(root, 1)}
        self._leaves: dict[int, int] = {}
        self._many_lookups: dict[int, int] = {}
        self._slots: dict[int, _Slot] = {}
        # By the directory's identity: two objects may stand for one directory.
        self._slot_of: dict[int, int] = {}
        self._free_slots: list[int] = []

    def __len__(self) -> int:
        return len(self._nodes) + len(self._leaves)

    def get(self, number: int) -> Node | Place:
        """What has this number. Raises: KeyError for one that the kernel should not know."""
        packed = self._leaves.get(number)
        if packed is not None:
            slot = self._slots[packed >> _SLOT_SHIFT]
            return Place(slot.directory, (packed >> _POSITION_SHIFT) & _POSITION_MASK)
        return self._nodes[number].node

    def number_for(self, directory: DirectoryNode, found: ListedName) -> int:
        """The number of what `directory` tells: the wanted one, or the next that is free."""
        identity = found.attributes.identity
        number = identity & NUMBER_MASK
        while True:
            packed = self._leaves.get(number)
            if packed is not None:
                if found.node is None and self._is(packed, directory, found.position):
                    return number
            elif number > ROOT_NUMBER:
                live = self._nodes.get(number)
                if live is None:
                    return number
                if found.node is not None and live.node.attributes.identity == identity:
                    return number
            number = (number + 1) & NUMBER_MASK

    def add(self, number: int, directory: DirectoryNode, found: ListedName) -> None:
        """Count one lookup of `found`, which `directory` told, under its number."""
        if found.node is not None:
            live = self._nodes.get(number)
            if live is None:
                self._nodes[number] = _Live(found.node, 1)
            else:
                live.lookups += 1
                # The newer one knows the newer aliases; everything else is the same.
                live.node = found.node
            return
        packed = self._leaves.get(number)
        if packed is not None:
            self._count(number, packed, 1)
            return
        slot = self._take_slot(directory)
        self._leaves[number] = (slot << _SLOT_SHIFT) | (found.position << _POSITION_SHIFT)

    def forget(self, number: int, lookups: int) -> None:
        """Take back that many lookups; what has none left is dropped."""
        packed = self._leaves.get(number)
        if packed is not None:
            if self._count(number, packed, -lookups) > 0:
                return
            del self._leaves[number]
            self._leave_slot(packed >> _SLOT_SHIFT)
            if not self._leaves:
                # A dict never shrinks by itself.
                self._leaves = {}
            return
        live = self._nodes.get(number)
        if live is None or number == ROOT_NUMBER:
            return
        live.lookups -= lookups
        if live.lookups <= 0:
            del self._nodes[number]

    def _is(self, packed: int, directory: DirectoryNode, position: int) -> bool:
        """Whether a leaf is the one at this place."""
        slot = self._slot_of.get(directory.attributes.identity)
        return slot is not None and packed >> _POSITION_SHIFT == slot << _POSITION_BITS | position

    def _count(self, number: int, packed: int, change: int) -> int:
        """Change the lookups of a leaf; return how many it has then, none being for the caller."""
        lookups = packed & _LOOKUPS_MASK
        before = self._many_lookups.pop(number) if lookups == _MANY else lookups + 1
        after = before + change
        if after > _MANY:
            self._many_lookups[number] = after
        if after > 0:
            self._leaves[number] = (packed & ~_LOOKUPS_MASK) | min(after - 1, _MANY)
        return after

    def _take_slot(self, directory: DirectoryNode) -> int:
        identity = directory.attributes.identity
        number = self._slot_of.get(identity)
        if number is None:
            number = self._free_slots.pop() if self._free_slots else len(self._slots)
            self._slots[number] = _Slot(directory)
            self._slot_of[identity] = number
        self._slots[number].leaves += 1
        return number

    def _leave_slot(self, number: int) -> None:
        slot = self._slots[number]
        slot.leaves -= 1
        if slot.leaves == 0:
            del self._slots[number]
            del self._slot_of[slot.directory.attributes.identity]
            self._free_slots.append(number)
