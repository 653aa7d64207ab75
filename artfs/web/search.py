"""The page that finds versions."""

from __future__ import annotations

from starlette.responses import Response

from artfs.catalog.queries import Found, Search, Term
from artfs.errors import ArtfsError, DamagedRecord
from artfs.repository.facade import LATEST
from artfs.repository.querylanguage import parse_query
from artfs.web.context import Asked

_LIMIT = 200
_DAMAGE_SHOWN = 5
_LATEST = Term(field="alias", value=LATEST, text=LATEST)


def search_page(asked: Asked) -> Response:
    """What a query finds among the latest versions, or all; without one, how to write one."""
    query = asked.text("q")
    is_everything = bool(asked.text("all"))
    damaged: list[DamagedRecord] = []
    found, problem = Found([], is_cut=False), None
    if query:
        try:
            terms = parse_query(query)
            if not is_everything:
                terms = (*terms, _LATEST)
            wanted = Search(
                terms=terms,
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
        is_everything=is_everything,
        damaged=damaged[:_DAMAGE_SHOWN],
    )
