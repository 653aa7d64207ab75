"""What all column types have in common, and the three that stand for any, no or a wrong value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact


class Type(msgspec.Struct, frozen=True):
    """A column type: a value, never changed.

    A type is learned from cells: `assign_type` (and, from a Python value, `inference.assign`)
    gives the type that also takes another one, or INVALID. Where that changes nothing it is the
    same object, so that callers can see it by identity.
    """

    name: ClassVar[str] = ""
    """`wb_type` in JSON."""

    def assign_type(self, other: Type) -> Type:
        """The type that takes all that this one takes, and `other`; INVALID if there is none."""
        return self if self == other else INVALID

    def params(self) -> dict[str, Any]:
        """What distinguishes it from others of its kind, as it is shown to people."""
        return {}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        """Its parameters as JSON; files that they need are added to the draft `artifact`."""
        del artifact
        return {}

    def to_json(self, artifact: Artifact | None = None) -> dict[str, Any]:
        """Its JSON, after adding what that refers to, such as other tables, to `artifact`."""
        params = self.json_params(artifact)
        return {"wb_type": self.name, "params": params} if params else {"wb_type": self.name}

    def __repr__(self) -> str:
        params = ", ".join(f"{key}:{value}" for key, value in self.params().items())
        return self.name.capitalize() + (f"({params})" if params else "")

    def __str__(self) -> str:
        return repr(self)


class InvalidType(Type, frozen=True):
    """What comes of cells that do not go together."""

    name = "invalid"


INVALID = InvalidType()


class NoneType(Type, frozen=True):
    """Of None, and of NaN."""

    name = "none"


NONE = NoneType()


class AnyType(Type, frozen=True):
    """Takes everything but None."""

    name = "any"

    def assign_type(self, other: Type) -> Type:
        return INVALID if isinstance(other, NoneType | InvalidType) else self


class UnknownType(Type, frozen=True):
    """Becomes the type of the first cell that is not None."""

    name = "unknown"

    def assign_type(self, other: Type) -> Type:
        if isinstance(other, NoneType):
            return INVALID
        return self if isinstance(other, UnknownType) else other


UNKNOWN = UnknownType()


class Typed:
    """Base of the classes whose objects say themselves which type they have as cells."""

    def column_type(self) -> Type:
        """The type of a cell that holds this object."""
        return UNKNOWN
