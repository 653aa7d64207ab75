"""The types of cells that have no parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artfs.media.types.base import Type

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact


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
