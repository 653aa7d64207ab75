"""The pages of a store as an ASGI application: addresses, who may, what is told where it fails."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from artfs.errors import ArtfsError, InvalidArgument
from artfs.repository.facade import Repository
from artfs.server.answering import TooLarge, shown_path, status_of
from artfs.server.connections import paced
from artfs.server.downloads import BlockRoom, Found, ranged_response
from artfs.web import names
from artfs.web.addresses import local_path, with_query
from artfs.web.compare import compare_page
from artfs.web.context import Asked
from artfs.web.editing import edit
from artfs.web.files import files_page
from artfs.web.guard import Guard, Visitor, require_proof, require_same_site
from artfs.web.host import host_page
from artfs.web.lineage import lineage_page
from artfs.web.raw import frame_bytes, raw_bytes
from artfs.web.rendering import SAFE_HEADERS, page, static_response
from artfs.web.search import search_page
from artfs.web.space import SpaceView

logger = logging.getLogger(__name__)

_MAX_FORM_BYTES = 256 * 1024
_MAX_FIELDS = 100


class _Lines(Convertor[str]):
    """The rest of a path: names may have newlines in them."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("lines", _Lines())

Handler = Callable[[Asked], Response]
"""Makes a page; it may block."""
Form = dict[str, str]
Endpoint = Callable[[Request], Awaitable[Response]]


class Pages:
    """The pages of one store, for whom a guard lets in."""

    def __init__(
        self, repository: Repository, guard: Guard, *, public_url: str | None = None
    ) -> None:
        self._repository = repository
        self._room = BlockRoom()
        self._guard = guard
        public = urlsplit(public_url) if public_url else None
        self._public_host = public.netloc if public else None
        self._is_https = public is not None and public.scheme == "https"

    def application(self) -> Starlette:
        """The ASGI application."""
        of_version = "/p/{project}/{name}/{selector}"
        return Starlette(
            routes=[
                Route("/", self._page(names.projects_page)),
                Route("/search", self._page(search_page)),
                Route("/login", self._login, methods=["GET", "POST"]),
                Route("/logout", self._logout, methods=["POST"]),
                Route("/-/static/{name}", self._static),
                Route("/p/{project}", self._page(names.artifacts_page)),
                Route("/r/{project}/{run}", self._page(names.run_page)),
                Route("/p/{project}/{name}", self._page(names.artifact_page)),
                Route("/space", self._page(SpaceView().page)),
                Route("/host", self._page(host_page)),
                Route(of_version, self._page(names.version_page)),
                Route(of_version + "/files/{path:lines}", self._page(files_page)),
                Route(of_version + "/lineage", self._page(lineage_page)),
                Route(of_version + "/compare", self._page(compare_page)),
                Route(of_version + "/edit", self._change(edit), methods=["POST"]),
                Route(of_version + "/raw/{path:lines}", self._bytes(raw_bytes)),
                Route(of_version + "/frame/{path:lines}", self._bytes(frame_bytes)),
            ],
            exception_handlers={
                ArtfsError: self._failed,
                HTTPException: self._http_failed,
                Exception: self._broken,
            },
        )

    # --- who ------------------------------------------------------------------------------

    def _page(self, handler: Handler) -> Endpoint:
        """The endpoint that shows a page to whoever may see one."""

        async def endpoint(request: Request) -> Response:
            visitor = await self._visitor(request)
            if visitor is None:
                return self._to_login(request)
            asked = Asked(self._repository, visitor, request)
            return await run_in_threadpool(handler, asked)

        return endpoint

    def _change(self, handler: Callable[[Asked, Form], Response]) -> Endpoint:
        """The endpoint that takes a form from whoever may see pages."""

        async def endpoint(request: Request) -> Response:
            visitor = await self._visitor(request)
            if visitor is None:
                return self._to_login(request)
            form = await self._form(request)
            return await run_in_threadpool(handler, Asked(self._repository, visitor, request), form)

        return endpoint

    def _bytes(self, handler: Callable[[Asked], Found]) -> Endpoint:
        """The endpoint that sends bytes to whoever may see pages."""

        async def endpoint(request: Request) -> Response:
            visitor = await self._visitor(request)
            if visitor is None:
                return PlainTextResponse("log in first\n", 401, SAFE_HEADERS)
            asked = Asked(self._repository, visitor, request)
            return await ranged_response(request, lambda: handler(asked), self._room)

        return endpoint

    async def _visitor(self, request: Request) -> Visitor | None:
        self._guard.check_address(request)
        return await run_in_threadpool(self._guard.visitor, request)

    def _to_login(self, request: Request) -> Response:
        query = dict(request.query_params)
        if "token" in query:
            return self._with_token(request, query)
        is_browser = "text/html" in request.headers.get("accept", "")
        if request.url.path == "/" and not is_browser and self._guard.hello:
            return PlainTextResponse(self._guard.hello, 200, SAFE_HEADERS)
        back = with_query(request.url.path, **query)
        login = with_query("/login", next="" if back == "/" else back)
        return RedirectResponse(login, 303, SAFE_HEADERS)

    def _with_token(self, request: Request, query: dict[str, str]) -> Response:
        """The page itself, and the address without its token, once that is exchanged."""
        session = self._guard.open_session(query.pop("token"), _client(request))
        to = local_path(with_query(request.url.path, **query))
        return self._entered(request, session, to)

    def _entered(self, request: Request, session: str, to: str) -> Response:
        answer = RedirectResponse(to, 303, {**SAFE_HEADERS, "Cache-Control": "no-store"})
        answer.set_cookie(
            self._guard.cookie_name(request),
            session,
            httponly=True,
            samesite="lax",
            secure=self._is_https or request.url.scheme == "https",
        )
        return answer

    async def _login(self, request: Request) -> Response:
        self._guard.check_address(request)
        if request.method == "GET":
            to = local_path(request.query_params.get("next"))
            return page(
                request, "login.html", visitor=None, what=self._guard.what, to=to, refused=None
            )
        form = await self._form(request)
        to = local_path(form.get("next"))
        given = form.get("secret", "").strip()
        try:
            session = await run_in_threadpool(self._guard.open_session, given, _client(request))
        except ArtfsError as error:
            return page(
                request,
                "login.html",
                visitor=None,
                status=status_of(error),
                what=self._guard.what,
                to=to,
                refused=str(error),
            )
        return self._entered(request, session, to)

    async def _logout(self, request: Request) -> Response:
        visitor = await self._visitor(request)
        form = await self._form(request)
        answer = RedirectResponse("/login", 303, SAFE_HEADERS)
        if visitor is not None:
            require_proof(visitor, form.get("proof", ""))
            answer.delete_cookie(self._guard.cookie_name(request), httponly=True, samesite="lax")
        return answer

    async def _form(self, request: Request) -> Form:
        """What a form of this site says. Raises: PermissionDenied, TooLarge, InvalidArgument."""
        require_same_site(request, also=self._public_host)
        body = bytearray()
        async for chunk in paced(request.stream()):
            body += chunk
            if len(body) > _MAX_FORM_BYTES:
                raise TooLarge("this form", f"is larger than {_MAX_FORM_BYTES} bytes")
        try:
            fields = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_FIELDS,
            )
        except ValueError as error:
            raise InvalidArgument("this form", f"cannot be read ({error})") from None
        return dict(fields)

    # --- what -----------------------------------------------------------------------------

    async def _static(self, request: Request) -> Response:
        return static_response(request.path_params["name"])

    async def _failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ArtfsError)
        return await self._told(request, status_of(error), error.subject, error.reason, error.hint)

    async def _http_failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return await self._told(request, error.status_code, shown_path(request.url.path), "", "")

    async def _broken(self, request: Request, error: Exception) -> Response:
        path = shown_path(request.url.path)
        logger.error("%s %s failed", request.method, path, exc_info=error)
        reason = "it failed for a fault of this server, whose log says more"
        return await self._told(request, 500, path, reason, "")

    async def _told(
        self, request: Request, status: int, subject: str, reason: str, hint: str
    ) -> Response:
        visitor = None
        if status not in {401, 403, 500}:
            visitor = await run_in_threadpool(self._guard.visitor, request)
        return page(
            request,
            "error.html",
            visitor=visitor,
            status=status,
            code=status,
            subject=subject,
            reason=reason,
            hint=hint,
        )


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
