"""The type of numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artfs.media.types.base import INVALID, Type

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact


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
