"""Inode numbers, and what the kernel knows by them.

A number is what the node's identity asks for, so it is the same in every mount. Where a live
node has that number already, the next free one is taken. Numbers live as long as the kernel
holds a lookup on them.

Nodes are kept as objects. Whatever a directory tells by position is kept as one integer:

    bits 0-5    lookups, less one; 63 says that they are counted elsewhere
    bits 6-33   position in its directory; 4 GiB, the most an object can be, hold no 2**28
    bits 34-41  of the identity's bits above the number, to tell apart who asks for the same one
    bits 42-    slot of the directory

so that a file which was listed costs two integers of 60 bits, the longest that are short in
Python, in one dict.

A slot is a directory together with the versions that told its leaves: a leaf which another version
tells as well moves to another slot, so that whoever opens it can be asked which one was meant.
"""

from __future__ import annotations

from typing import NamedTuple

from artfs.vfs.evidence import Told
from artfs.vfs.lineage import version_id_of
from artfs.vfs.tree import NUMBER_BITS, NUMBER_MASK, ROOT_NUMBER, DirectoryNode, Found, Node

_LOOKUPS_BITS = 6
_POSITION_BITS = 28
_CHECK_BITS = 8
_POSITION_SHIFT = _LOOKUPS_BITS
_CHECK_SHIFT = _POSITION_SHIFT + _POSITION_BITS
_SLOT_SHIFT = _CHECK_SHIFT + _CHECK_BITS
_LOOKUPS_MASK = (1 << _LOOKUPS_BITS) - 1
_POSITION_MASK = (1 << _POSITION_BITS) - 1
_CHECK_MASK = (1 << _CHECK_BITS) - 1
_MANY = _LOOKUPS_MASK


class Place(NamedTuple):
    """Where a leaf is told: a position of a directory."""

    directory: DirectoryNode
    position: int


class _Live:
    """A node that the kernel knows."""

    __slots__ = ("lookups", "node")

    def __init__(self, node: Node, lookups: int) -> None:
        self.node = node
        self.lookups = lookups


# What finds a slot: the id of its directory, and, where other versions told its leaves as well,
# all versions.
_SlotKey = int | tuple[int, frozenset[str]]


class _Slot:
    """A directory that has leaves which the kernel knows."""

    __slots__ = ("directory", "key", "leaves", "told")

    def __init__(self, key: _SlotKey, directory: DirectoryNode, told: Told | None) -> None:
        # The slot keeps the directory alive, and so its id is its own.
        self.key = key
        self.directory = directory
        self.told = told
        self.leaves = 0


class Inodes:
    """All inodes that the kernel knows. Not thread-safe."""

    def __init__(self, root: DirectoryNode) -> None:
        self._nodes: dict[int, _Live] = {ROOT_NUMBER: _Live(root, 1)}
        self._leaves: dict[int, int] = {}
        self._many_lookups: dict[int, int] = {}
        self._slots: dict[int, _Slot] = {}
        self._slot_of: dict[_SlotKey, int] = {}
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

    def told(self, number: int) -> Told | None:
        """The versions in which the kernel was told a leaf; None for what is in no version."""
        packed = self._leaves.get(number)
        return None if packed is None else self._slots[packed >> _SLOT_SHIFT].told

    def number_for(self, identity: int) -> int:
        """The number of whoever has this identity: the wanted one, or the next that is free."""
        number = identity & NUMBER_MASK
        check = (identity >> NUMBER_BITS) & _CHECK_MASK
        while True:
            packed = self._leaves.get(number)
            if packed is not None:
                if (packed >> _CHECK_SHIFT) & _CHECK_MASK == check:
                    return number
            elif number > ROOT_NUMBER:
                live = self._nodes.get(number)
                if live is None or live.node.attributes.identity == identity:
                    return number
            number = (number + 1) & NUMBER_MASK

    def add(self, number: int, directory: DirectoryNode, found: Found) -> None:
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
            if self._slots[packed >> _SLOT_SHIFT].directory is not directory:
                packed = self._told_again(packed, directory)
            self._count(number, packed, 1)
            return
        check = (found.attributes.identity >> NUMBER_BITS) & _CHECK_MASK
        slot = self._take_slot(directory)
        position = found.position << _POSITION_SHIFT
        self._leaves[number] = (slot << _SLOT_SHIFT) | (check << _CHECK_SHIFT) | position

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

    def _told_again(self, packed: int, directory: DirectoryNode) -> int:
        """A leaf that another directory tells as well, in the slot where it belongs then."""
        old = packed >> _SLOT_SHIFT
        slot = self._slots[old]
        version_id = version_id_of(directory)
        if slot.told is None or version_id is None or version_id in slot.told.versions:
            return packed
        versions = slot.told.versions | {version_id}
        new = self._slot((id(slot.directory), versions), slot.directory, versions)
        self._leave_slot(old)
        return (new << _SLOT_SHIFT) | (packed & ((1 << _SLOT_SHIFT) - 1))

    def _take_slot(self, directory: DirectoryNode) -> int:
        number = self._slot_of.get(id(directory))
        if number is not None:
            self._slots[number].leaves += 1
            return number
        version_id = version_id_of(directory)
        versions = frozenset[str]() if version_id is None else frozenset({version_id})
        return self._slot(id(directory), directory, versions)

    def _slot(self, key: _SlotKey, directory: DirectoryNode, versions: frozenset[str]) -> int:
        number = self._slot_of.get(key)
        if number is None:
            number = self._free_slots.pop() if self._free_slots else len(self._slots)
            first = version_id_of(directory)
            told = None if first is None else Told(versions, first)
            self._slots[number] = _Slot(key, directory, told)
            self._slot_of[key] = number
        self._slots[number].leaves += 1
        return number

    def _leave_slot(self, number: int) -> None:
        slot = self._slots[number]
        slot.leaves -= 1
        if slot.leaves == 0:
            del self._slots[number]
            del self._slot_of[slot.key]
            self._free_slots.append(number)
