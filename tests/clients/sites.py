"""One small API behind each of the client's middlewares, and how it is called."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import httpx2 as httpx
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import Client, override_settings
from django.urls import re_path
from kagiban_client import Guard, Verdict, asgi, wsgi
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class BrokenError(Exception):
    """The API's own mistake."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the API."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        data: dict[str, Any] = json.loads(self.body)
        return data


Site = Callable[[Guard, str, dict[str, str]], Told]


def seen(verdict: Verdict | None) -> dict[str, Any]:
    """What the API says of the verdict that it was given."""
    return {"key": verdict.key if verdict else None, "code": verdict.code if verdict else None}


def _told(response: httpx.Response) -> Told:
    return Told(response.status_code, dict(response.headers), response.content)


# --- WSGI ---


def _plain(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/broken":
        raise BrokenError
    body = json.dumps(seen(environ[wsgi.VERDICT])).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def of_wsgi(guard: Guard, url: str, headers: dict[str, str]) -> Told:
    """Call a plain WSGI application."""
    application = validator(wsgi.Middleware(validator(_plain), guard))
    transport = httpx.WSGITransport(app=application, remote_addr="203.0.113.9")
    with httpx.Client(transport=transport, base_url="http://api", trust_env=False) as client:
        return _told(client.get(url, headers=headers))


# --- ASGI ---


async def _page(request: Request) -> JSONResponse:
    if request.url.path == "/broken":
        raise BrokenError
    return JSONResponse(seen(request.state.kagiban))


def starlette(guard: Guard) -> Starlette:
    """An API made with Starlette."""
    return Starlette(
        routes=[Route("/{path:path}", _page)], middleware=[Middleware(asgi.Middleware, guard=guard)]
    )


def of_starlette(guard: Guard, url: str, headers: dict[str, str]) -> Told:
    """Call it."""
    return asyncio.run(_call(starlette(guard), guard, url, headers))


async def _call(application: Any, guard: Guard, url: str, headers: dict[str, str]) -> Told:
    transport = httpx.ASGITransport(app=application, client=("203.0.113.9", 4711))
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://testserver", trust_env=False
        ) as client:
            return _told(await client.get(url, headers=headers))
    finally:
        # Also where the API breaks: a connection outlives its loop otherwise, and some later test is told so.
        await guard.client.aclose()


# --- Django ---


def _view(request: HttpRequest) -> HttpResponse:
    if request.path.endswith("/broken"):
        raise BrokenError
    return JsonResponse(seen(request.kagiban))  # type: ignore[attr-defined]  # the middleware adds it


def _stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield from (b"a", b"b")

    return StreamingHttpResponse(parts())


async def _aview(request: HttpRequest) -> HttpResponse:
    return _view(request)


urlpatterns = [re_path("^stream$", _stream), re_path("^async/", _aview), re_path("", _view)]
SETTINGS = {
    "ROOT_URLCONF": __name__,
    "MIDDLEWARE": ["kagiban_client.django.middleware"],
    "ALLOWED_HOSTS": ["testserver"],
    "APPEND_SLASH": False,
}


def of_django(guard: Guard, url: str, headers: dict[str, str]) -> Told:
    """Call an API made with Django."""
    with override_settings(KAGIBAN_GUARD=guard, **SETTINGS):
        response = Client().get(url, headers=headers, REMOTE_ADDR="203.0.113.9")
        return Told(response.status_code, dict(response.headers), b"".join(response))


def of_async_django(guard: Guard, url: str, headers: dict[str, str]) -> Told:
    """The same on an event loop."""

    with override_settings(KAGIBAN_GUARD=guard, **SETTINGS):
        return asyncio.run(_call(ASGIHandler(), guard, f"/async{url}", headers))
