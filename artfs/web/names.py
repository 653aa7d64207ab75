"""Pages of projects, artifacts and versions."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec
from starlette.responses import Response

from artfs.catalog.queries import Search, Term
from artfs.catalog.records import ArtifactRecord, RunRecord, VersionRecord
from artfs.errors import ArtifactNotFound, DamagedRecord, NotFound
from artfs.model import check_run_id
from artfs.web.addresses import with_query
from artfs.web.context import Asked
from artfs.web.editing import shown_days
from artfs.web.metadata import tree_steps

ARTIFACTS_PER_PAGE = 100
VERSIONS_PER_PAGE = 50
_USERS_SHOWN = 20
_DAMAGE_SHOWN = 5
_LABELLED = 10_000


class Pager(msgspec.Struct, frozen=True):
    """Where in a list a page is, for its foot."""

    first: int
    last: int
    total: int
    before: str | None
    after: str | None


def pager(asked: Asked, *, start: int, count: int, total: int, per_page: int) -> Pager:
    """The foot of a page that shows `count` of `total` from `start` on."""
    path = asked.request.url.path
    given = {name: value for name, value in asked.request.query_params.items() if name != "from"}
    before = with_query(path, **given, **{"from": max(0, start - per_page)}) if start else None
    following = start + count
    after = with_query(path, **given, **{"from": following}) if following < total else None
    return Pager(start + 1 if count else 0, following, total, before, after)


def projects_page(asked: Asked) -> Response:
    """All projects."""
    damaged: list[DamagedRecord] = []
    found = asked.repository.catalog.projects(on_damage=damaged.append)
    shown = [each for each in found if asked.visitor.access.reads(each.name)]
    return asked.page(
        "projects.html",
        projects=shown,
        store=asked.repository.info.location if asked.visitor.sees_host else None,
        entity=asked.repository.info.entity,
        damaged=damaged[:_DAMAGE_SHOWN],
    )


def artifacts_page(asked: Asked) -> Response:
    """A project's artifacts, as filters say."""
    project = asked.project()
    damaged: list[DamagedRecord] = []
    catalog = asked.repository.catalog
    everything = catalog.artifacts(project=project, on_damage=damaged.append, finds_lost=False)
    if not everything and not damaged:
        asked.repository.require_project(project)
    filters = {name: asked.text(name) for name in ("type", "tag", "alias", "text")}
    named = _labelled(asked, project, filters)
    found = [each for each in everything if _passes(each, filters, named)]
    start = asked.number("from", 0)
    shown = found[start : start + ARTIFACTS_PER_PAGE]
    return asked.page(
        "artifacts.html",
        project=project,
        artifacts=shown,
        types=sorted({each.type for each in everything}),
        filters=filters,
        is_filtered=any(filters.values()),
        pager=pager(
            asked, start=start, count=len(shown), total=len(found), per_page=ARTIFACTS_PER_PAGE
        ),
        damaged=damaged[:_DAMAGE_SHOWN],
    )


def _passes(artifact: ArtifactRecord, filters: dict[str, str], named: set[str] | None) -> bool:
    if filters["type"] and artifact.type != filters["type"]:
        return False
    if named is not None and artifact.name not in named:
        return False
    text = filters["text"].lower()
    described = (artifact.latest and artifact.latest.description) or ""
    return text in artifact.name.lower() or text in described.lower()


def _labelled(asked: Asked, project: str, filters: dict[str, str]) -> set[str] | None:
    """Artifacts of which a version has the tag and alias that are asked for; None: for none."""
    wanted = {field: filters[field] for field in ("tag", "alias") if filters[field]}
    if not wanted:
        return None
    terms = tuple(Term(field=field, value=value, text=value) for field, value in wanted.items())
    search = Search(terms=terms, projects=(project,), limit=_LABELLED)
    found = asked.repository.catalog.search(search, on_damage=ignored_damage)
    return {version.name for version in found.versions}


def ignored_damage(_error: DamagedRecord) -> None:
    """Do nothing: the list that stands beside it tells."""


def artifact_page(asked: Asked) -> Response:
    """An artifact's versions, newest first."""
    artifact = asked.artifact()
    damaged: list[DamagedRecord] = []
    before = asked.number("before", -1)
    found = asked.repository.catalog.versions(
        artifact.id,
        before_index=None if before < 0 else before,
        limit=VERSIONS_PER_PAGE + 1,
        on_damage=damaged.append,
    )
    shown = found[:VERSIONS_PER_PAGE]
    older = None
    if len(found) > len(shown):
        older = with_query(asked.request.url.path, before=shown[-1].index)
    return asked.page(
        "artifact.html",
        artifact=artifact,
        versions=shown,
        older=older,
        is_first=before < 0,
        damaged=damaged[:_DAMAGE_SHOWN],
    )


class MadeOf(msgspec.Struct, frozen=True):
    """A run with the versions at its other side."""

    run: RunRecord
    versions: list[VersionRecord]
    more: int


def version_page(asked: Asked) -> Response:
    """What there is to know about a version."""
    version = asked.version()
    catalog, access = asked.repository.catalog, asked.visitor.access
    maker = catalog.maker_of(version.id)
    if maker is not None and not access.reads(maker.project):
        maker = None
    users = [each for each in catalog.users_of(version.id) if access.reads(each.project)]
    memberships = [
        each
        for each in catalog.memberships(version.id)
        if access.reads(each.project) and each.path != version.path
    ]
    return asked.page(
        "version.html",
        version=version,
        memberships=memberships,
        maker=None if maker is None else _made_of(asked, maker, outputs=False),
        users=[_made_of(asked, each, outputs=True) for each in islice(users, _USERS_SHOWN)],
        user_count=len(users),
        metadata=tree_steps(version.metadata),
        may_write=asked.may_write(version),
        uses=_uses(version),
        days=shown_days(version.ttl_s),
    )


def _made_of(asked: Asked, run: RunRecord, *, outputs: bool) -> MadeOf:
    catalog = asked.repository.catalog
    found = catalog.outputs_of(run.id) if outputs else catalog.inputs_of(run.id)
    seen = [each for each in found if asked.visitor.access.reads(each.project)]
    return MadeOf(run, seen[:_USERS_SHOWN], max(0, len(seen) - _USERS_SHOWN))


def _uses(version: VersionRecord) -> list[dict[str, Any]]:
    """How a version is used, ready to be copied."""
    path, name = version.path, version.name
    return [
        {"what": "Download it", "text": f"artfs get {path} {name}"},
        {"what": "Mount it", "text": f"mkdir -p mnt && artfs mount {path} mnt"},
        {"what": "Verify it", "text": f"artfs verify {path}"},
        {
            "what": "In Python",
            "text": f'import artfs\n\npath = artfs.Api().artifact("{path}").download()',
        },
        {
            "what": "In a run, which is recorded",
            "text": f'run = artfs.init(project="{version.project}")\n'
            f'artifact = run.use_artifact("{path}")',
        },
    ]


def run_page(asked: Asked) -> Response:
    """A run: what it is, what it used and made."""
    project = asked.project()
    catalog = asked.repository.catalog
    run = catalog.run(check_run_id(asked.part("run")))
    if run.project != project:
        raise ArtifactNotFound(project, "it has no such run")
    reads = asked.visitor.access.reads
    try:
        details = catalog.run_details([run.id]).get(run.id, {})
    except NotFound:
        details = {}
    return asked.page(
        "run.html",
        run=run,
        inputs=[each for each in catalog.inputs_of(run.id) if reads(each.project)],
        outputs=[each for each in catalog.outputs_of(run.id) if reads(each.project)],
        config=tree_steps(run.config),
        details=tree_steps(details),
    )
