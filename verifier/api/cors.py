"""What lets a page in a browser read a refusal: ALLOWED_ORIGINS as CORS fields (decision 12)."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from django.conf import settings

from core.origins import parse_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EXPOSED: Final = "Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, Deprecation, Sunset"


def fields_for(environ: "WSGIEnvironment") -> bytes:
    """The fields for the page that a question's `Origin` names, as they go over the wire; mostly none."""
    origin = environ.get("HTTP_ORIGIN")
    return _by_origin(tuple(settings.ALLOWED_ORIGINS)).get(origin, b"") if origin else b""


@lru_cache(maxsize=1)
def _by_origin(texts: tuple[str, ...]) -> dict[str, bytes]:
    return {
        origin: f"Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n"
        f"Access-Control-Expose-Headers: {EXPOSED}\r\n".encode()
        for origin in filter(None, map(_origin, texts))
    }


def _origin(text: str) -> str:
    """Empty for what `check --deploy` complains about."""
    try:
        return parse_origin(text)
    except ValueError:
        return ""
