"""One REDIS_URL for three readers: cache, broker and hot store write the same address in different ways."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

_PLAIN_NAMES: Final = {"valkey": "redis", "valkeys": "rediss"}
_SOCKETS: Final = {"unix", "socket", "redis+socket"}


def cache_url(url: str) -> str:
    """The URL as redis-py reads it: `redis://`, `rediss://`, `unix://…?db=0`."""
    return _rewritten(url, socket="unix", database="db")


def broker_url(url: str) -> str:
    """The URL as Celery reads it: `redis://`, `rediss://` (checked unless it says otherwise), `redis+socket://`."""
    url = _rewritten(url, socket="redis+socket", database="virtual_host")
    if not url.startswith("rediss:") or "ssl_cert_reqs=" in url:
        return url
    # Without any of these parameters Celery would speak plain text to the TLS port.
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def _rewritten(url: str, *, socket: str, database: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _SOCKETS:
        return _PLAIN_NAMES.get(parts.scheme, parts.scheme) + url[len(parts.scheme) :]
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    number = query.get("db") or query.get("virtual_host") or "0"
    return f"{socket}://{parts.netloc}{parts.path}?{database}={number}"
