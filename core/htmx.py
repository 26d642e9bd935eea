"""The one question that views ask about htmx: does the browser want a piece of the page, or all of it?"""

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails


def wants_piece(request: HttpRequest) -> bool:
    """Whether htmx asks for a piece: not for a boosted page, nor to restore one from the history."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def vary_on_htmx(response: HttpResponse) -> HttpResponse:
    """Mark an answer that differs for htmx, so that the browser's cache keeps piece and page apart."""
    patch_vary_headers(response, ["HX-Request"])
    return response
