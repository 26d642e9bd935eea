"""Where the hot store is, and how its certificate is checked, read from HOT_STORE_URL."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

PORT: Final = 6379
_SOCKETS: Final = {"unix", "redis+socket", "socket"}
_OVER_TLS: Final = {"rediss", "valkeys"}
_OVER_TCP: Final = {"redis", "valkey"} | _OVER_TLS


@dataclass(frozen=True, slots=True)
class Tls:
    """How the server's certificate is checked, and which one of ours it gets to see."""

    ca_file: str | None = None
    checks_certificate: bool = True
    checks_host: bool = True
    certificate: str | None = None
    private_key: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """One server: a host and its port, or the path of its socket."""

    host: str = ""
    port: int = PORT
    path: str = ""
    username: str = ""
    password: str = ""
    database: int = 0
    tls: Tls | None = None

    def __repr__(self) -> str:
        return f"Address({self.path or f'{self.host}:{self.port}'}/{self.database})"

    def at(self, host: str, port: int) -> "Address":
        """Another server of the same kind, which is asked with the same credentials."""
        return replace(self, host=host, port=port)


@cache
def tls_context(tls: Tls) -> ssl.SSLContext:
    """The context for these settings; made once, for reading the authorities takes milliseconds.

    Raises OSError where a file can't be read.
    """
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.check_hostname = tls.checks_certificate and tls.checks_host
    if not tls.checks_certificate:
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.private_key)
    return context


def parse_url(url: str) -> Address:
    """Read `redis://`, `rediss://`, `valkey://`, `valkeys://`, `unix://` or `redis+socket://`.

    The database is the path of a TCP URL, or `?db=` / `?virtual_host=` of a socket's. TLS is set up by the
    parameters that redis-py knows: `ssl_ca_certs`, `ssl_cert_reqs`, `ssl_check_hostname`, `ssl_certfile`,
    `ssl_keyfile`. Raises ValueError for another scheme; the message does not quote the URL, which holds a
    password.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme in _SOCKETS:
        number = query.get("db") or query.get("virtual_host") or "0"
        return Address(path=unquote(parts.path), database=int(number), username=username, password=password)
    if parts.scheme not in _OVER_TCP:
        raise ValueError("The store's URL must begin with redis://, rediss://, unix:// or redis+socket://.")
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or PORT,
        database=int(parts.path.strip("/") or query.get("db", "0")),
        tls=_tls(query) if parts.scheme in _OVER_TLS else None,
        username=username,
        password=password,
    )


def _tls(query: Mapping[str, str]) -> Tls:
    return Tls(
        ca_file=query.get("ssl_ca_certs"),
        checks_certificate=query.get("ssl_cert_reqs", "required").lower() not in {"none", "cert_none"},
        checks_host=query.get("ssl_check_hostname", "true").lower() not in {"false", "0", "no"},
        certificate=query.get("ssl_certfile"),
        private_key=query.get("ssl_keyfile"),
    )
