"""Descriptions as pages show them: Markdown, of which nothing runs and nothing is fetched."""

from __future__ import annotations

from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

_MAX_CHARS = 20_000
"""What is written to be slow takes half a second."""
_TAGS = frozenset(
    (
        *("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr"),
        *("li", "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
    )
)
_SCHEMES = frozenset(("http", "https", "mailto"))


@lru_cache(256)
def markdown(text: str) -> Markup:
    """A text as HTML of harmless elements; pictures become nothing, links open as strangers."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    shown = text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}…"
    rendered = parser.render(shown)
    cleaned = nh3.clean(
        rendered,
        tags=set(_TAGS),
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes=set(_SCHEMES),
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(cleaned)  # noqa: S704 - nh3 has just cleaned it
