"""The questions that views ask about htmx: does it want a piece of a page, and of which page?"""

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails


def wants_piece(request: HttpRequest) -> bool:
    """Whether htmx asks for a piece: not for a boosted page, nor to restore one from the history."""
    htmx = HtmxDetails(request)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def page_of(request: HttpRequest) -> str:
    """Path and query of the page where the person is, which GET shows; empty if that is not known.

    The address of a piece shows no page, and that of a form's POST often answers no GET.
    """
    if wants_piece(request):
        address = request.headers.get("HX-Current-URL", "")
    elif request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    else:
        address = request.headers.get("Referer", "")
    try:
        page = urlsplit(address)
    except ValueError:
        return ""
    if page.netloc != request.get_host() or not page.path.startswith("/") or page.path.startswith("//"):
        return ""
    return f"{page.path}?{page.query}" if page.query else page.path


def vary_on_htmx(response: HttpResponse) -> HttpResponse:
    """Mark an answer that differs for htmx, so that the browser's cache keeps piece and page apart."""
    patch_vary_headers(response, ["HX-Request"])
    return response
