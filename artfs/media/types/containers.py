"""The types of lists and dictionaries, and unions of types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from artfs.media.types.base import INVALID, NONE, UNKNOWN, InvalidType, Type, UnknownType

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact


class UnionType(Type, frozen=True):
    """Any of several types; make it with `union`."""

    allowed: tuple[Type, ...] = ()

    name = "union"

    def __repr__(self) -> str:
        return " or ".join(map(repr, self.allowed))

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"allowed_types": [each.to_json(artifact) for each in self.allowed]}

    def assign_type(self, other: Type) -> Type:
        current = self
        for each in other.allowed if isinstance(other, UnionType) else (other,):
            for number, member in enumerate(current.tries()):
                assigned = member.assign_type(each)
                if not isinstance(assigned, InvalidType):
                    current = current.with_member(number, assigned)
                    break
            else:
                return INVALID
        return current

    def tries(self) -> tuple[Type, ...]:
        """The members in the order in which a cell is offered to them: unknown ones come last."""
        if UNKNOWN not in self.allowed:
            return self.allowed
        known = [each for each in self.allowed if not isinstance(each, UnknownType)]
        return (*known, *[UNKNOWN] * (len(self.allowed) - len(known)))

    def with_member(self, number: int, member: Type) -> UnionType:
        """The union in which one of `tries()` became `member`."""
        tries = self.tries()
        if tries[number] is member:
            return self
        return union((*tries[:number], member, *tries[number + 1 :]))


def union(members: Iterable[Type]) -> UnionType:
    """The union of types: nested unions are laid open, the order is that of their names."""
    flat: list[Type] = []
    for each in members:
        flat.extend(each.allowed if isinstance(each, UnionType) else (each,))
    return UnionType(tuple(sorted(flat, key=repr)))


def optional(member: Type) -> UnionType:
    """A type, or None."""
    return union((member, NONE))


class ListType(Type, frozen=True):
    """Lists, tuples and sets: the type of the elements, and how many there were last."""

    element: Type = UNKNOWN
    length: int | None = None

    name = "list"

    def __repr__(self) -> str:
        return f"{self.element}[]"

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"element_type": self.element.to_json(artifact), "length": self.length}

    def assign_type(self, other: Type) -> Type:
        if not isinstance(other, ListType):
            return INVALID
        element = self.element.assign_type(other.element)
        if isinstance(element, InvalidType):
            return INVALID
        return self.replaced(element, self.length if self.length == other.length else None)

    def replaced(self, element: Type, length: int | None) -> ListType:
        """The type of lists of other elements; itself where that is the same."""
        if element is self.element and length == self.length:
            return self
        return ListType(element, length)


class TypedDictType(Type, frozen=True):
    """Dictionaries of these keys."""

    type_map: dict[Any, Type] = msgspec.field(default_factory=dict)

    name = "typedDict"

    def __repr__(self) -> str:
        return repr(self.type_map)

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"type_map": {key: each.to_json(artifact) for key, each in self.type_map.items()}}

    def assign_type(self, other: Type) -> Type:
        if not isinstance(other, TypedDictType) or other.type_map.keys() - self.type_map.keys():
            return INVALID
        return self.replaced(
            {
                key: each.assign_type(other.type_map.get(key, UNKNOWN))
                for key, each in self.type_map.items()
            }
        )

    def replaced(self, type_map: dict[Any, Type]) -> Type:
        """The type with these types for its keys; INVALID if one is."""
        changed = False
        for key, each in type_map.items():
            if isinstance(each, InvalidType):
                return INVALID
            changed = changed or each is not self.type_map[key]
        return TypedDictType(type_map) if changed else self
