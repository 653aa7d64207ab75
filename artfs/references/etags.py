"""ETags in one form, however a server spells them.

The standard wants `"abc"`, or `W/"abc"` for a weak one. In the field listings leave the quotes out
where HEAD has them, gateways make ETags weak, and some servers quote none at all. What is the same
between the quotes is the same ETag.
"""

from __future__ import annotations

_WEAK = "W/"


def opaque(etag: str) -> str:
    """What stands between the quotes, all of it; without quotes everything but a `W/`."""
    text = etag.strip().removeprefix(_WEAK)
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def is_weak(etag: str) -> bool:
    """Whether it does not promise equal bytes; it never matches in an `If-Match`."""
    return etag.strip().startswith(_WEAK)


def normal(etag: str | None) -> str | None:
    """The form of the standard, which pins and requests have; None where there is no ETag."""
    if etag is None or not opaque(etag):
        return None
    return f'{_WEAK if is_weak(etag) else ""}"{opaque(etag)}"'


def agree(one: str | None, other: str | None) -> bool:
    """Whether two answers tell the same ETag."""
    return None not in {one, other} and opaque(one or "") == opaque(other or "")
