"""Where the hot store is, and how its certificate is checked, read from HOT_STORE_URL."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
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


@dataclass(frozen=True, slots=True)
class Store:
    """The whole of a store: one server, the first nodes to ask of a cluster, or what its sentinels name.

    `server` has what all its servers share: credentials, TLS, the database's number. `seeds` are the servers
    to ask first (its own address, nodes or sentinels), `service` is the name that the sentinels know.
    """

    server: Address
    seeds: tuple[Address, ...]
    is_cluster: bool = False
    service: str = ""


def parse_store(url: str) -> Store:
    """Read what `parse_url` reads, and the URLs of clusters and of sentinels.

    `redis+cluster://user:password@host:port,host:port` and
    `redis+sentinel://user:password@host:port,host:port/service/0?sentinel_password=…`; with `rediss`,
    `valkey` or `valkeys` in the place of `redis`, and `sentinel://` for short. Raises ValueError.
    """
    kind, _, form = url.partition("://")[0].rpartition("+")
    if form not in {"cluster", "sentinel"}:
        address = parse_url(url)
        return Store(address, (address,))
    login, hosts, rest = _split_hosts(url)
    kind = kind or "redis"
    if form == "cluster":
        server = parse_url(f"{kind}://{login}cluster{rest}")
        if server.database:
            raise ValueError("A cluster has no other databases than 0.")
        return Store(server, tuple(server.at(host, port or PORT) for host, port in hosts), is_cluster=True)
    path, _, query = rest.partition("?")
    service, _, database = path.strip("/").partition("/")
    if not service:
        raise ValueError("The sentinels' URL must name their service: sentinel://host:port/service.")
    server = parse_url(f"{kind}://{login}{service}/{database or 0}?{query}")
    wanted = {name: values[-1] for name, values in parse_qs(query).items()}
    sentinel = replace(
        server,
        database=0,
        username=wanted.get("sentinel_username", ""),
        password=wanted.get("sentinel_password", ""),
    )
    seeds = tuple(sentinel.at(host, port or SENTINEL_PORT) for host, port in hosts)
    return Store(server, seeds, service=service)


def _split_hosts(url: str) -> tuple[str, list[tuple[str, int | None]], str]:
    """The login with its @, each host with its port, and all that follows them."""
    after = url.partition("://")[2]
    end = next((place for place, letter in enumerate(after) if letter in "/?"), len(after))
    login, at, names = after[:end].rpartition("@")
    parts = [urlsplit(f"//{name}") for name in names.split(",")]
    return login + at, [(part.hostname or "127.0.0.1", part.port) for part in parts], after[end:]


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
