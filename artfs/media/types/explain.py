"""Why a column does not take a value, in words."""

from __future__ import annotations

from typing import Any

from artfs.media.types.base import InvalidType, Type
from artfs.media.types.containers import ListType, TypedDictType, UnionType
from artfs.media.types.inference import LISTS, assign, type_of


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
