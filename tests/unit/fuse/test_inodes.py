from __future__ import annotations

from collections.abc import Mapping

import pytest

from artfs.fuse.inodes import Inodes, Place
from artfs.vfs.tree import (
    NUMBER_BITS,
    ROOT_NUMBER,
    Attributes,
    DirectoryNode,
    ListedName,
    Listing,
    Lookup,
    Node,
    OpenFile,
)


class Folder:
    """A directory as far as inodes are concerned."""

    def __init__(self, identity: int) -> None:
        self.attributes = Attributes(identity, 0o040555, 0, 0)
        self.parent_number = ROOT_NUMBER

    def xattrs(self) -> Mapping[str, bytes]:
        return {}

    def open(self) -> OpenFile:
        raise AssertionError

    def readlink(self) -> str:
        raise AssertionError

    async def lookup(self, name: str) -> Lookup:
        raise AssertionError

    async def listing(self) -> Listing:
        raise AssertionError

    async def child(self, position: int) -> Node:
        raise AssertionError


def leaf(identity: int, position: int) -> ListedName:
    return ListedName(f"f{position}", Attributes(identity, 0o100444, 0, 0), position)


def look_up(inodes: Inodes, directory: DirectoryNode, found: ListedName) -> int:
    number = inodes.number_for(directory, found)
    inodes.add(number, directory, found)
    return number


def test_a_number_is_what_the_identity_asks_for() -> None:
    inodes = Inodes(Folder(ROOT_NUMBER))
    identity = (5 << NUMBER_BITS) | 1234
    assert look_up(inodes, Folder(77), leaf(identity, 3)) == 1234


def test_a_leaf_is_found_by_directory_and_position() -> None:
    inodes, folder = Inodes(Folder(ROOT_NUMBER)), Folder(77)
    number = look_up(inodes, folder, leaf(1234, 2**28 - 1))
    assert inodes.get(number) == Place(folder, 2**28 - 1)


def test_one_place_has_one_number_whichever_object_stands_for_its_directory() -> None:
    inodes = Inodes(Folder(ROOT_NUMBER))
    first = look_up(inodes, Folder(77), leaf(1234, 9))
    assert look_up(inodes, Folder(77), leaf(1234, 9)) == first
    inodes.forget(first, 1)
    assert isinstance(inodes.get(first), Place)
    inodes.forget(first, 1)
    with pytest.raises(KeyError):
        inodes.get(first)


def test_two_places_never_have_one_number_though_they_have_one_identity() -> None:
    inodes, one, two = Inodes(Folder(ROOT_NUMBER)), Folder(77), Folder(78)
    first, second = look_up(inodes, one, leaf(1234, 0)), look_up(inodes, two, leaf(1234, 0))
    third = look_up(inodes, one, leaf(1234, 1))
    assert len({first, second, third}) == 3
    assert inodes.get(first) == Place(one, 0)
    assert inodes.get(second) == Place(two, 0)
    assert inodes.get(third) == Place(one, 1)
    # Each is found again.
    assert look_up(inodes, two, leaf(1234, 0)) == second
    assert look_up(inodes, one, leaf(1234, 1)) == third


def test_two_files_that_want_the_same_number_both_get_one() -> None:
    inodes, folder = Inodes(Folder(ROOT_NUMBER)), Folder(77)
    one, two = (1 << NUMBER_BITS) | 1234, (2 << NUMBER_BITS) | 1234
    assert look_up(inodes, folder, leaf(one, 1)) == 1234
    assert look_up(inodes, folder, leaf(two, 2)) == 1235
    assert look_up(inodes, folder, leaf(two, 2)) == 1235
    assert inodes.get(1234) == Place(folder, 1)
    assert inodes.get(1235) == Place(folder, 2)


def test_a_file_and_a_directory_that_want_the_same_number_both_get_one() -> None:
    inodes, root = Inodes(Folder(ROOT_NUMBER)), Folder(ROOT_NUMBER)
    inner = Folder((3 << NUMBER_BITS) | 1234)
    assert look_up(inodes, root, leaf(1234, 1)) == 1234
    assert look_up(inodes, root, ListedName("d", inner.attributes, 2, inner)) == 1235
    assert inodes.get(1235) is inner


@pytest.mark.parametrize("wanted", [0, ROOT_NUMBER])
def test_the_reserved_numbers_are_given_to_nobody(wanted: int) -> None:
    inodes = Inodes(Folder(ROOT_NUMBER))
    assert look_up(inodes, Folder(77), leaf((9 << NUMBER_BITS) | wanted, 0)) > ROOT_NUMBER


def test_forgetting_frees_everything() -> None:
    inodes = Inodes(Folder(ROOT_NUMBER))
    for folder_index in range(10):
        folder = Folder(1000 + folder_index)
        for position in range(100):
            look_up(inodes, folder, leaf(10_000 * (folder_index + 1) + position, position))
    assert len(inodes) == 1001
    for folder_index in range(10):
        for position in range(100):
            inodes.forget(10_000 * (folder_index + 1) + position, 1)
    assert len(inodes) == 1
    assert not inodes._slots
    assert not inodes._slot_of


def test_slots_are_used_again_and_never_by_two() -> None:
    inodes = Inodes(Folder(ROOT_NUMBER))
    folders = [Folder(1000 + index) for index in range(4)]
    numbers = [
        look_up(inodes, folder, leaf(5000 + index, index)) for index, folder in enumerate(folders)
    ]
    inodes.forget(numbers[1], 1)
    inodes.forget(numbers[0], 1)
    again = [look_up(inodes, Folder(2000 + i), leaf(6000 + i, i)) for i in range(3)]
    assert inodes.get(numbers[2]) == Place(folders[2], 2)
    assert inodes.get(numbers[3]) == Place(folders[3], 3)
    places = [inodes.get(number) for number in again]
    assert len({id(place.directory) for place in places if isinstance(place, Place)}) == 3


def test_the_root_is_never_forgotten() -> None:
    root = Folder(ROOT_NUMBER)
    inodes = Inodes(root)
    inodes.forget(ROOT_NUMBER, 100)
    assert inodes.get(ROOT_NUMBER) is root


def test_many_lookups_are_counted() -> None:
    inodes, folder = Inodes(Folder(ROOT_NUMBER)), Folder(77)
    for _ in range(1000):
        number = look_up(inodes, folder, leaf(1234, 5))
    inodes.forget(number, 999)
    assert inodes.get(number) == Place(folder, 5)
    inodes.forget(number, 1)
    with pytest.raises(KeyError):
        inodes.get(number)
