"""The page that finds versions."""

from __future__ import annotations

from starlette.responses import Response

from artfs.catalog.queries import Found, Search
from artfs.errors import ArtfsError, DamagedRecord
from artfs.repository.querylanguage import parse_query
from artfs.web.context import Asked

_LIMIT = 200
_DAMAGE_SHOWN = 5


def search_page(asked: Asked) -> Response:
    """What a query finds; without one, how to write one."""
    query = asked.text("q")
    damaged: list[DamagedRecord] = []
    found, problem = Found([], is_cut=False), None
    if query:
        try:
            wanted = Search(
                terms=parse_query(query),
                projects=asked.visitor.access.key.projects or None,
                limit=_LIMIT,
            )
            found = asked.repository.catalog.search(wanted, on_damage=damaged.append)
        except ArtfsError as error:
            problem = error
    return asked.page(
        "search.html",
        versions=found.versions,
        is_cut=found.is_cut,
        problem=problem,
        damaged=damaged[:_DAMAGE_SHOWN],
    )
