"""How notebooks show artifacts and tables: HTML in which nothing that was stored is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from artfs.system.texts import escaped

_MAX_TEXT = 200
_MAX_BLOCK = 4000
_LEFT = ' style="text-align:left;vertical-align:top"'


def text_html(value: Any, *, limit: int = _MAX_TEXT) -> str:
    """A value as text on one line; what is unprintable is spelled out, and what is long is cut."""
    text = value if isinstance(value, str) else repr(value)
    return html.escape(escaped(_cut(text, limit)))


def block_html(text: str) -> str:
    """Text as it was written, with its lines."""
    lines = _cut(text, _MAX_BLOCK).split("\n")
    shown = "\n".join(html.escape(escaped(line)) for line in lines)
    return f'<pre style="margin:0;white-space:pre-wrap">{shown}</pre>'


def pairs_html(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A title, and what there is to say below it; values are HTML."""
    rows = "".join(
        f"<tr><th{_LEFT}>{html.escape(name)}</th><td{_LEFT}>{value}</td></tr>"
        for name, value in pairs
    )
    return f"<div><strong>{text_html(title)}</strong><table>{rows}</table></div>"


def table_html(headings: Iterable[Any], rows: Iterable[Sequence[Any]], *, note: str = "") -> str:
    """A table of values, and a note below it."""
    head = "".join(f"<th{_LEFT}>{text_html(each)}</th>" for each in headings)
    body = "".join(
        f"<tr>{''.join(f'<td{_LEFT}>{text_html(each)}</td>' for each in row)}</tr>" for row in rows
    )
    below = f"<p>{html.escape(note)}</p>" if note else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div>{table}{below}</div>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
