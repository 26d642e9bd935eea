"""Addresses of pages: one form each, and other spellings of it lead there.

A page's address ends with a slash and names things by their public number in capitals (`/keys/KB-0126/`).
"""

import re
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseRedirectBase
from django.middleware.common import CommonMiddleware
from django.urls import register_converter, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import escape_leading_slashes


class NumberConverter:
    """A public number (`KB-0126`) in a path, in any letter case: `<number:number>`."""

    regex = "[A-Za-z]{2}-[0-9]{1,12}"

    def to_python(self, value: str) -> str:
        """The number as it is kept."""
        return value.upper()

    def to_url(self, value: str) -> str:
        """The number as it stands."""
        return value


register_converter(NumberConverter, "number")
_SMALL_NUMBER: Final = re.compile(r"/(?=[A-Za-z]*[a-z])[A-Za-z]{2}-[0-9]{1,12}(?=/|$)").search


class _KeepsMethod(HttpResponseRedirectBase):
    """308: the browser sends the same method and body again, so nothing that was typed is lost."""

    status_code = 308

    def __init__(self, redirect_to: str) -> None:
        super().__init__(redirect_to)
        add_never_cache_headers(self)  # the address may hold a token


class PathMiddleware(CommonMiddleware):
    """Leads other spellings of an address to the one form, by spelling alone: nothing is looked up.

    As Django's, but for the method: a form of a page that was opened at its old address loses nothing.
    """

    response_redirect_class = _KeepsMethod

    def get_full_path_with_slash(self, request: HttpRequest) -> str:
        """The path with a slash, and the query. Two slashes at its start would be another host."""
        return escape_leading_slashes(request.get_full_path(force_append_slash=True))

    def process_view(
        self, request: HttpRequest, view: object, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> HttpResponse | None:
        """Read pages at their number in capitals; what is sent to another spelling is taken as it is."""
        match = request.resolver_match
        if match is None or request.method not in {"GET", "HEAD"} or not _SMALL_NUMBER(request.path):
            return None
        path = reverse(match.view_name, args=args, kwargs=kwargs)
        if path == request.path:
            return None  # it stands in a part that is no number, as a token is none
        query = request.META.get("QUERY_STRING", "")
        return _KeepsMethod(f"{path}?{query}" if query else path)
