"""From Python values to column types: what type a value has, and whether a column takes it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable
from typing import Any

from artfs.media.types.base import (
    ARTIFACT_VERSION,
    BOOLEAN,
    INVALID,
    NONE,
    NUMBER,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    ConstType,
    InvalidType,
    NDArrayType,
    PythonObjectType,
    Type,
    Typed,
    list_shape,
)
from artfs.media.types.containers import ListType, TypedDictType, UnionType, optional, union
from artfs.media.types.media import ClassesIdType

ARTIFACT_PREFIX = "wandb-artifact://"
"""Text that begins like this is taken for an artifact."""
_ARTIFACT_JSON_TYPE = "artifactVersion"
PLAIN: dict[type, Type] = {
    type(None): NONE,
    int: NUMBER,
    bool: BOOLEAN,
    dt.datetime: TIMESTAMP,
    dt.date: TIMESTAMP,
}
"""The classes whose values all have one type, whatever they are."""
LISTS = (list, tuple, set, frozenset)
_DECLARED: dict[type, Type] = {
    **PLAIN,
    float: NUMBER,
    str: STRING,
    dict: TypedDictType(),
    **dict.fromkeys(LISTS, ListType()),
}
"""The types that classes stand for where a column is declared."""


def explain(target: Type, value: Any, depth: int = 0) -> str:
    """The lines that say why; `depth` is how far they are indented, with tabs."""
    gap = "\t" * depth
    kind = type_of(value)
    lines = [
        f"{gap}{kind} not assignable to {target}"
        if depth
        else f"{value} of type {kind} is not assignable to {target}"
    ]
    if isinstance(target, UnionType):
        parts = [explain(member, value, depth + 1) for member in target.allowed]
        lines.append(f"\n{gap}and\n".join(parts))
    elif isinstance(target, TypedDictType) and isinstance(value, dict):
        lines += _unfit_keys(target, value, depth)
    elif isinstance(target, ListType) and isinstance(value, LISTS):
        lines += _unfit_elements(target, value, depth)
    return "\n".join(line for line in lines if line)


def _unfit_keys(target: TypedDictType, value: dict[Any, Any], depth: int) -> list[str]:
    gap = "\t" * depth
    lines = []
    extra = [str(key) for key in value if key not in target.type_map]
    if extra:
        lines.append(f"{gap}Found extra keys: {','.join(extra)}")
    for key, each in target.type_map.items():
        item = value.get(key)
        if isinstance(assign(each, item), InvalidType):
            lines += [f"{gap}Key '{key}':", explain(each, item, depth + 1)]
    return lines


def _unfit_elements(target: ListType, values: Any, depth: int) -> list[str]:
    element = target.element
    for number, value in enumerate(values):
        assigned = assign(element, value)
        if isinstance(assigned, InvalidType):
            return ["\t" * depth + f"Index {number}:", explain(element, value, depth + 1)]
        element = assigned
    return []


def type_of(value: Any) -> Type:
    """The type of a value; what goes together in no way, such as `[1, "a"]`, has INVALID in it."""
    kind = type(value)
    plain = PLAIN.get(kind)
    if plain is not None:
        return plain
    return _INFERRED.get(kind, _object_type)(value)


def _object_type(value: Any) -> Type:
    if isinstance(value, Typed):
        return value.column_type()
    kind = type(value)
    if kind.__module__ == "numpy":
        return _numpy_type(value)
    return ARTIFACT_VERSION if _is_artifact(kind) else PythonObjectType(kind.__name__)


def _float_type(value: float) -> Type:
    return NONE if math.isnan(value) else NUMBER


def _text_type(value: str) -> Type:
    return ARTIFACT_VERSION if value.startswith(ARTIFACT_PREFIX) else STRING


def _dict_type(value: dict[Any, Any]) -> Type:
    if value.get("_type") == _ARTIFACT_JSON_TYPE:
        return ARTIFACT_VERSION
    return TypedDictType({key: type_of(item) for key, item in value.items()})


def _list_type(values: Any) -> ListType:
    element: Type = optional(UNKNOWN) if None in values else UNKNOWN
    # What does not go together makes the element type INVALID and raises nothing here.
    for value in values:
        element = assign(element, value)
    return ListType(element, len(values))


_INFERRED: dict[type, Callable[[Any], Type]] = {
    float: _float_type,
    str: _text_type,
    dict: _dict_type,
    **dict.fromkeys(LISTS, _list_type),
}


def _numpy_type(value: Any) -> Type:
    kind = type(value)
    if kind.__name__ == "ndarray":
        return NDArrayType(tuple(value.shape))
    return _numpy_scalar_type(kind) or PythonObjectType(kind.__name__)


def _numpy_scalar_type(kind: type) -> Type | None:
    # By name: numpy is not imported for it, and its classes have other names in other versions.
    if kind.__name__ in {"bool", "bool_"}:
        return BOOLEAN
    if kind.__name__ == "datetime64":
        return TIMESTAMP
    if kind.__name__ != "timedelta64" and any(base.__name__ == "number" for base in kind.__mro__):
        return NUMBER
    return None


def _is_numpy_scalar(kind: type) -> bool:
    return kind.__module__ == "numpy" and _numpy_scalar_type(kind) is not None


def _is_artifact(kind: type) -> bool:
    return kind.__module__ == "artfs.sdk.run" and kind.__name__ == "Artifact"


def type_from_dtype(dtype: Any) -> Type:
    """The type that a user's notation stands for.

    A type itself; a class; `[]` for lists, `[x]` for lists of x, `[x, y]` for a union; a dict
    for dicts of these keys; any other object for itself alone.
    Raises: TypeError for a type class that needs arguments.
    """
    if isinstance(dtype, Type):
        return dtype
    if isinstance(dtype, type):
        return _type_from_class(dtype)
    if isinstance(dtype, list):
        if len(dtype) > 1:
            return union(type_from_dtype(each) for each in dtype)
        return ListType(type_from_dtype(dtype[0])) if dtype else ListType()
    if isinstance(dtype, dict):
        return TypedDictType({key: type_from_dtype(each) for key, each in dtype.items()})
    return NONE if dtype is None else ConstType(dtype)


def _type_from_class(kind: type) -> Type:
    if issubclass(kind, Type):
        return kind()
    declared = _DECLARED.get(kind) or getattr(kind, "declared_type", None)
    if isinstance(declared, Type):
        return declared
    if kind.__module__ == "numpy":
        if kind.__name__ == "ndarray":
            raise TypeError("numpy.ndarray as a column type needs a shape; let it be inferred")
        scalar = _numpy_scalar_type(kind)
        if scalar is not None:
            return scalar
    return ARTIFACT_VERSION if _is_artifact(kind) else PythonObjectType("type")


def assign(target: Type, value: Any) -> Type:
    """The type that takes all that `target` takes, and `value`; INVALID if there is none."""
    by_value = _BY_VALUE.get(type(target))
    return target.assign_type(type_of(value)) if by_value is None else by_value(target, value)


def assign_all(target: Type, values: Iterable[Any]) -> Type:
    """`assign` of each value in turn."""
    return Settling(target).assign_all(values)


class Settling:
    """A type that takes one value after the other, and knows which classes no longer change it."""

    __slots__ = ("settled", "target")

    def __init__(self, target: Type) -> None:
        self.target = target
        self.settled: set[type] = set()
        """All values of these classes leave the target as it is; of text, all that
        `type_of` calls text."""

    def leaves_unchanged(self, value: Any) -> bool:
        """Whether it is known without a look at the types that `value` changes nothing."""
        kind = type(value)
        return kind in self.settled and not (kind is str and value.startswith(ARTIFACT_PREFIX))

    def become(self, target: Type, kind: type) -> None:
        """Take over the type that a value of this class led to."""
        if target is not self.target:
            self.target = target
            self.settled = set()
        elif _settles(target, kind):
            self.settled.add(kind)

    def assign_all(self, values: Iterable[Any]) -> Type:
        """The type after all values, INVALID if one does not fit; the target becomes it."""
        values = values if isinstance(values, list | tuple) else list(values)
        kinds = set(map(type, values))
        # Text is looked at one by one; of the other classes one value each may be enough.
        has_text = str in kinds
        for value in values:
            if not has_text and kinds <= self.settled:
                break
            if self.leaves_unchanged(value):
                continue
            assigned = assign(self.target, value)
            if isinstance(assigned, InvalidType):
                return INVALID
            self.become(assigned, type(value))
        return self.target


def _settles(target: Type, kind: type) -> bool:
    """Whether no value of a class changes a type that one of them left as it was."""
    members = target.allowed if isinstance(target, UnionType) else (target,)
    if any(type(member) in _BY_VALUE for member in members):
        return False
    if kind is float:
        # Some floats are NaN, and so None.
        return target.assign_type(NONE) is target and target.assign_type(NUMBER) is target
    if kind is str:
        # The one that was looked at may have been the URI of an artifact.
        return target.assign_type(STRING) is target
    return kind in PLAIN or _is_numpy_scalar(kind)


def _assign_to_union(target: UnionType, value: Any) -> Type:
    for number, member in enumerate(target.tries()):
        assigned = assign(member, value)
        if not isinstance(assigned, InvalidType):
            return target.with_member(number, assigned)
    return INVALID


def _assign_to_list(target: ListType, value: Any) -> Type:
    # As W&B has it, everything that can be iterated over is a list here, even text.
    if not hasattr(value, "__iter__"):
        return INVALID
    try:
        values = list(value)
    except TypeError:  # an array without dimensions
        return INVALID
    element = assign_all(target.element, values)
    if isinstance(element, InvalidType) and values:
        return INVALID
    return target.replaced(element, len(values))


def _assign_to_dict(target: TypedDictType, value: Any) -> Type:
    if not isinstance(value, dict) or value.keys() - target.type_map.keys():
        return INVALID
    return target.replaced(
        {key: assign(each, value.get(key)) for key, each in target.type_map.items()}
    )


def _assign_to_array(target: NDArrayType, value: Any) -> Type:
    if type(value) is list and list_shape(value) == target.shape:
        return target
    return target.assign_type(type_of(value))


def _assign_to_const(target: ConstType, value: Any) -> Type:
    return target if ConstType(value) == target else INVALID


def _assign_to_class_id(target: ClassesIdType, value: Any) -> Type:
    if isinstance(_assign_to_union(target.valid_ids, value), InvalidType):
        return target.assign_type(type_of(value))
    return target


_BY_VALUE: dict[type, Callable[[Any, Any], Type]] = {
    UnionType: _assign_to_union,
    ListType: _assign_to_list,
    TypedDictType: _assign_to_dict,
    NDArrayType: _assign_to_array,
    ConstType: _assign_to_const,
    ClassesIdType: _assign_to_class_id,
}
"""The types for which the value decides, and not its type alone."""
