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


class StringType(Type, frozen=True):
    """Text."""

    name = "string"


class NumberType(Type, frozen=True):
    """Integers and floating-point numbers; booleans are none."""

    name = "number"


class BooleanType(Type, frozen=True):
    """True and False."""

    name = "boolean"


class TimestampType(Type, frozen=True):
    """Points in time and dates."""

    name = "timestamp"


class ArtifactVersionType(Type, frozen=True):
    """A version of an artifact, or its URI."""

    name = "artifactVersion"


STRING = StringType()
NUMBER = NumberType()
BOOLEAN = BooleanType()
TIMESTAMP = TimestampType()
ARTIFACT_VERSION = ArtifactVersionType()


class PythonObjectType(Type, frozen=True):
    """Objects of a class that nothing is known about."""

    class_name: str = ""

    name = "pythonObject"

    def params(self) -> dict[str, Any]:
        return {"class_name": self.class_name}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        del artifact
        return {"class_name": self.class_name}


class ConstType(Type, frozen=True):
    """One value and no other."""

    val: Any = None

    name = "const"

    def __repr__(self) -> str:
        return str(self.val)

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        del artifact
        is_set = isinstance(self.val, set | frozenset)
        return {"val": listed(self.val) if is_set else self.val, "is_set": is_set}


def listed(members: set[Any] | frozenset[Any]) -> list[Any]:
    """A set as a list, in an order that does not depend on the process.

    The order of integers is that of CPython's sets, as W&B writes it; that of text would change
    with the hash seed, so text is sorted.
    """
    if all(isinstance(member, int) for member in members):
        return list(members)
    return sorted(members, key=repr)


class NDArrayType(Type, frozen=True):
    """Arrays of one shape. `serialization_path` says in which file of the artifact, and under
    which key in it, the column is stored."""

    shape: tuple[int, ...] = ()
    serialization_path: dict[str, str] | None = None

    name = "ndarray"

    def params(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        del artifact
        return {"shape": list(self.shape), "serialization_path": self.serialization_path}

    def assign_type(self, other: Type) -> Type:
        return self if isinstance(other, NDArrayType) and other.shape == self.shape else INVALID


def list_shape(value: Any) -> tuple[int, ...]:
    """The lengths along the first elements of nested lists."""
    lengths = []
    while isinstance(value, list):
        lengths.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(lengths)
