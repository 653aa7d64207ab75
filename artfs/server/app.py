"""The ASGI application: addresses, who may, what is answered where something fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from artfs.catalog.records import VersionRecord
from artfs.catalog.serving_records import ContentRecord
from artfs.decoding import analysed
from artfs.errors import (
    ArtfsError,
    NotFound,
    PermissionDenied,
)
from artfs.model import VersionState
from artfs.repository.facade import Repository
from artfs.server import answering, graphql, ids, tokens
from artfs.server.auth import Access, Gate
from artfs.server.bodies import Bodies
from artfs.server.changing import ChangeMutations
from artfs.server.collections import CollectionMutations
from artfs.server.connections import paced
from artfs.server.contents import VersionContents
from artfs.server.context import Context, RunHolds
from artfs.server.counting import Counting, Counts
from artfs.server.downloads import BlockRoom, content_response, manifest_response
from artfs.server.graphql import BadQuery, GraphQLRequest, answer
from artfs.server.project_nodes import StoreNodes
from artfs.server.queries import Queries
from artfs.server.runs import RunMutations, take_stream
from artfs.server.uploads import Target, Uploads
from artfs.server.writing import WriteMutations
from artfs.system.prometheus import CONTENT_TYPE, exposition
from artfs.upkeep.metrics import store_metrics

logger = logging.getLogger(__name__)


_THREADS = 24
_ARTIFACT_GID_CHARS = 24
_HOLDS_LOOKED_AFTER_EACH_S = 60.0
_request_decoder = msgspec.json.Decoder(analysed(GraphQLRequest))


class Root(Queries, RunMutations, WriteMutations, ChangeMutations, CollectionMutations):
    """All that clients can ask for."""


class Server:
    """Serves one store; what it knows beyond that, it can find anew."""

    def __init__(
        self,
        repository: Repository,
        *,
        public_url: str | None = None,
        read_only: bool = False,
        access_log: bool = False,
    ) -> None:
        """Blocks: on the catalog. `public_url` is where clients find it; None: as they call it."""
        self._repository = repository
        self._public_url = public_url.rstrip("/") if public_url else None
        catalog = repository.catalog
        self.gate = Gate(catalog.serving, read_only=read_only, now_ns=catalog.now_ns)
        self._clock = tokens.StoreClock(catalog.now_ns)
        self.tokens = tokens.Tokens(catalog.serving, self._clock)
        self._contents = VersionContents(repository, read_only=read_only)
        self._holds = RunHolds(catalog)
        self._read_only = read_only
        self._access_log = access_log
        self._uploads: Uploads | None = None
        self._bodies = Bodies()
        self._room = BlockRoom()
        self._counts = Counts()
        # Before the first request, which would wait for it.
        graphql.schema()

    def application(self, pages: Starlette) -> Starlette:
        """The ASGI application; `pages` answer what is none of its own addresses."""
        served = Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
                Route("/graphql", self._graphql, methods=["POST"]),
                Route(
                    "/files/{entity}/{project}/{run}/file_stream", self._stream, methods=["POST"]
                ),
                Route("/uploads/{token}", self._upload, methods=["PUT"]),
                Route("/contents/{token}/{name:path}", self._content, methods=["GET"]),
                Route("/manifests/{token}/{name}", self._manifest, methods=["GET"]),
                Route("/artifactsV2/{path:path}", self._by_md5, methods=["GET"]),
            ],
            exception_handlers={
                ArtfsError: answering.failed,
                BadQuery: answering.bad_query,
                HTTPException: answering.http_failed,
                ClientDisconnect: answering.gone,
                Exception: answering.broken,
            },
            lifespan=self._lifespan,
            middleware=[
                Middleware(Counting, self._counts),
                *([Middleware(answering.AccessLog)] if self._access_log else []),
            ],
        )
        # Not a Mount, whose paths have no newlines.
        served.router.default = pages
        return served

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        self._uploads = Uploads(self._repository)
        looking = asyncio.create_task(self._look_after_runs())
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            await run_in_threadpool(self._uploads.close)

    async def _look_after_runs(self) -> None:
        while True:
            await asyncio.sleep(_HOLDS_LOOKED_AFTER_EACH_S)
            await run_in_threadpool(self._holds.leave_silent)
            with suppress(ArtfsError):
                await run_in_threadpool(self._clock.ask)

    # --- who ------------------------------------------------------------------------------

    def _entered(self, request: Request) -> Context:
        """What a request may do. Blocks: on the catalog. Raises: as Gate.enter."""
        return self._context(request, self.gate.enter(*_who(request)))

    def _context(self, request: Request, access: Access) -> Context:
        base = self._public_url or str(request.base_url).rstrip("/")
        return Context(
            self._repository,
            access,
            self.tokens,
            self._contents,
            self._holds,
            StoreNodes(),
            base,
        )

    # --- what -----------------------------------------------------------------------------

    async def _health(self, _request: Request) -> Response:
        await run_in_threadpool(self._repository.catalog.now_ns)
        return PlainTextResponse("ok\n")

    async def _metrics(self, request: Request) -> Response:
        # How much there is, is nobody's business who may see a part of it.
        context = await run_in_threadpool(self._entered, request)
        if context.access.key.projects:
            raise PermissionDenied(
                f"the key {context.access.key.name!r}", "is for some projects, metrics are of all"
            )
        totals = await run_in_threadpool(self._repository.catalog.totals)
        found = store_metrics(totals, store=self._repository.info.location)
        return PlainTextResponse(
            exposition([*self._counts.metrics(), *found]), media_type=CONTENT_TYPE
        )

    async def _graphql(self, request: Request) -> Response:
        context = await run_in_threadpool(self._entered, request)
        async with self._bodies.whole(request) as body:
            return JSONResponse(await run_in_threadpool(_answered, body, context))

    async def _stream(self, request: Request) -> Response:
        context = await run_in_threadpool(self._entered, request)
        context.require_entity(request.path_params["entity"])
        project, run = request.path_params["project"], request.path_params["run"]
        async with self._bodies.whole(request) as body:
            return JSONResponse(await run_in_threadpool(take_stream, context, project, run, body))

    async def _upload(self, request: Request) -> Response:
        token = request.path_params["token"]
        if self._read_only:
            raise PermissionDenied("this server", "is read-only: it was started so")
        target = self._target(token)
        if target is None:
            async for _ in paced(request.stream()):
                pass
            return PlainTextResponse("")
        assert self._uploads is not None
        length = request.headers.get("content-length")
        size = int(length) if length is not None and length.isdecimal() else None
        content = await self._uploads.receive(paced(request.stream()), size, target)
        return PlainTextResponse("", headers={"ETag": f'"{content.md5.hex()}"'})

    def _target(self, token: str) -> Target | None:
        """What an upload is for; None for files of runs, which are thrown away.

        Raises: PermissionDenied.
        """
        right = self.tokens.read_any(token)
        if isinstance(right, tokens.ContentUpload):
            return Target(right.draft_id, right.md5)
        if isinstance(right, tokens.ManifestUpload):
            return Target(right.draft_id, right.md5, right.manifest_id)
        self.tokens.read(token, tokens.RunFileUpload)
        return None

    async def _content(self, request: Request) -> Response:
        right = self.tokens.read(request.path_params["token"], tokens.ContentDownload)
        record = ContentRecord(b"", right.sha256, right.size_bytes, right.blocks)
        return await content_response(request, self._repository, lambda: record, self._room)

    async def _manifest(self, request: Request) -> Response:
        right = self.tokens.read(request.path_params["token"], tokens.ManifestDownload)
        version = await run_in_threadpool(self._committed, right.version_id)
        return manifest_response(self._repository, version)

    def _committed(self, version_id: str) -> VersionRecord:
        version = self._repository.catalog.version_by_id(version_id)
        if version.state is not VersionState.COMMITTED:
            raise _NotThere(version.path, "it was deleted")
        return version

    async def _by_md5(self, request: Request) -> Response:
        path = request.path_params["path"]

        def find() -> ContentRecord:
            access = self.gate.entered_lately(*_who(request))
            return _found_by_md5(self._context(request, access), path)

        return await content_response(request, self._repository, find, self._room)


def _who(request: Request) -> tuple[str | None, str]:
    return request.headers.get("authorization"), request.client.host if request.client else ""


class _NotThere(NotFound):
    """A version that was deleted."""


def _answered(body: bytes, context: Context) -> dict[str, object]:
    try:
        request = _request_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadQuery(f"not a GraphQL request in JSON ({error})") from None
    return answer(request, Root(context))


def _found_by_md5(context: Context, path: str) -> ContentRecord:
    """What `REGION/ENTITY[/PROJECT/COLLECTION]/BIRTH/MD5[/NAME]` names. Raises: NotFound."""
    parts = path.split("/")
    for position, md5 in enumerate(parts):
        # Base64 has slashes of its own, which clients do not quote.
        birth = "/".join(parts[:position])[-_ARTIFACT_GID_CHARS:]
        if len(md5) == 32 and len(birth) == _ARTIFACT_GID_CHARS:
            with suppress(ValueError):
                version = context.reached(ids.artifact_id(birth))
                return context.content(version, bytes.fromhex(md5))
    raise _NotThere(path[:100], "names no content")
