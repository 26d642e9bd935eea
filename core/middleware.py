"""Request ids, one log line a request, and the only place where domain errors become pages."""

import logging
import re
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import render

from core import patience
from core.errors import DomainError
from core.htmx import vary_on_htmx, wants_piece

logger = logging.getLogger("kagiban.request")
# What Django itself turns into a 404, a 403 or a 400.
FORESEEN = (Http404, PermissionDenied, SuspiciousOperation, DomainError)
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Gives each request an id (taken over from a proxy if well formed) and logs its route, never its path.

    A mail link carries its token in the path, so a logged path would be a logged secret (A3).
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request, then log its route, status and duration."""
        given = request.headers.get("X-Request-Id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]  # read by core.actors.actor_of
        started = time.perf_counter()
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        match = request.resolver_match
        logger.info(
            "request",
            extra={
                "data": {
                    "request_id": request_id,
                    "method": request.method,
                    "route": match.view_name if match else None,
                    "status": response.status_code,
                    "ms": round((time.perf_counter() - started) * 1000, 1),
                }
            },
        )
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Log where an unforeseen error came from: its kind and its frames, never its message.

        A message may quote what somebody typed, or a row; Django's own request logger is off for its paths.
        """
        if isinstance(exception, FORESEEN):
            return
        data = {
            "request_id": getattr(request, "request_id", ""),
            "error": type(exception).__qualname__,
            "frames": "".join(traceback.format_tb(exception.__traceback__)),
        }
        logger.error("unforeseen error", extra={"data": data})


class PieceMiddleware:
    """What is meant for the whole page never lands in a piece of it (htmx).

    The browser would follow a redirect unseen, and htmx would swap the page at its end into the panel: the
    whole page is told to go there. Refusals are drawn as a notice (`templates/errors/`).
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on what htmx asks for; a moved address (301, 308) is the browser's own business."""
        if not wants_piece(request):
            return self.get_response(request)
        request.error_layout = "errors/piece.html"  # type: ignore[attr-defined]  # read by templates/errors
        response = self.get_response(request)
        if response.status_code in {302, 303, 307}:
            response["HX-Redirect"] = response["Location"]
            del response["Location"]
            response.status_code = 200
        return vary_on_htmx(response)


class PatienceMiddleware:
    """A page waits PORTAL_DATABASE_SECONDS for each answer of the database, and once in vain; then it is 503.

    A page that asks much takes as long as it takes, and so does a body that is sent bit by bit.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request; what it asks of the database is looked at for `may_have_written`."""
        with patience.waiting(each=settings.PORTAL_DATABASE_SECONDS) as mine:

            def execute(go_on: Callable[..., Any], sql: Any, *others: Any) -> Any:
                if not connection.in_atomic_block and not str(sql).startswith("SELECT"):
                    mine.may_have_written = True
                return go_on(sql, *others)

            with connection.execute_wrapper(execute):
                return self.get_response(request)


class NulMiddleware:
    """Refuses addresses with a NUL (400): PostgreSQL has no such text, so a look-up by it would be a 500."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look at path and query; forms clean their own fields."""
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest
        return self.get_response(request)


class CompressionMiddleware(GZipMiddleware):
    """Compresses pages, except those whose view forbids to keep them: they show a secret, or carry a token.

    Beside what an attacker may send along, the length of a compressed page tells what else stands in it
    (BREACH). Django's padding of random length, and its CSRF token that is masked anew each time, make that
    slow; what must not leak at all is not compressed at all.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer, compressed where the browser takes it and its view did not say `no-store`."""
        if "no-store" in response.get("Cache-Control", ""):
            return response
        return super().process_response(request, response)


class DomainErrorMiddleware:
    """Turns a DomainError into its page (403, 404, 409, 422), with nothing half-done behind it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; Django calls process_exception when a view raises."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page for a refusal; None leaves any other exception to Django."""
        if not isinstance(exception, DomainError):
            return None
        return render(
            request,
            f"errors/{exception.status}.html",
            {"message": exception.message},
            status=exception.status,
        )
