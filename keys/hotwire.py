"""The wire to the hot store: one connection per thread, one round trip per call, no reply ever out of step.

A raw socket with hiredis' parser is twice as fast under load as a full client (PERFORMANCE.md). The price is
that this module owns what a client would: timeouts, dropping a connection after *any* exception (a reply that
is still under way would answer the next question), loading the functions, and leaving a dead server alone for
a moment so that threads don't queue up behind its timeout (V5).
"""

import hashlib
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis
from django.conf import settings

# A healthy server answers in 0.1 ms; one that starts a background save, or whose machine is busy, may stall.
TIMEOUT_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 10.0
# How long a server that failed is left alone before one caller tries again.
PAUSE_SECONDS: Final = 0.5
_CHUNK: Final = 8_192

_SOURCE = (Path(__file__).parent / "lua" / "hotstore.lua").read_text()
VERSION: Final = hashlib.sha256(_SOURCE.encode()).hexdigest()[:8]
LIBRARY: Final = _SOURCE.replace("@VERSION@", VERSION).encode()

Argument = bytes | str | int


class StoreUnavailableError(Exception):
    """The hot store can't be asked now: unreachable, too slow, loading, full, or no longer a primary."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is, read from REDIS_URL."""

    host: str = ""
    port: int = 6379
    path: str = ""
    username: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False
    check_certificate: bool = True

    def __repr__(self) -> str:
        return f"Address({self.path or f'{self.host}:{self.port}'}/{self.database})"

    def greeting(self) -> list[bytes]:
        """The commands that every connection begins with; the last one's reply is for `run_mark`."""
        commands = []
        if self.password:
            login = [self.username] if self.username else []
            commands.append(encode("AUTH", *login, self.password))
        if self.database:
            commands.append(encode("SELECT", self.database))
        return [*commands, encode("INFO", "server")]

    def tls_context(self) -> ssl.SSLContext:
        """How the server's certificate is checked, where `tls` is on."""
        context = ssl.create_default_context()
        if not self.check_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_url(url: str) -> Address:
    """Read `redis://`, `rediss://`, `valkey://`, `valkeys://`, `unix://` or `redis+socket://`.

    The database is the path of a TCP URL, or `?db=` / `?virtual_host=` of a socket's. Raises ValueError for
    another scheme; the message does not quote the URL, which holds a password.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme in {"unix", "redis+socket", "socket"}:
        number = query.get("db") or query.get("virtual_host") or "0"
        return Address(path=unquote(parts.path), database=int(number), username=username, password=password)
    if parts.scheme not in {"redis", "rediss", "valkey", "valkeys"}:
        raise ValueError("REDIS_URL must begin with redis://, rediss://, unix:// or redis+socket://.")
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        database=int(parts.path.strip("/") or query.get("db", "0")),
        tls=parts.scheme in {"rediss", "valkeys"},
        check_certificate=query.get("ssl_cert_reqs", "required").lower() not in {"none", "cert_none"},
        username=username,
        password=password,
    )


def encode(*arguments: Argument) -> bytes:
    """A command in RESP."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        if isinstance(argument, int):
            value = b"%d" % argument
        else:
            value = argument if isinstance(argument, bytes) else argument.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


class Connection:
    """A socket, its parser, and the mark of the server process at its other end.

    `run` changes when the server restarts or another one takes its place. Not safe for two threads.
    """

    __slots__ = ("_parser", "_socket", "run")

    def __init__(self, address: Address, timeout: float = TIMEOUT_SECONDS) -> None:
        self._socket = _open(address, timeout)
        self._parser = hiredis.Reader()
        try:
            for command in address.greeting():
                told = self._expect(command)
            self.run = run_mark(told)
        except BaseException:
            self.close()
            raise

    def ask(self, command: bytes) -> Any:
        """Send one encoded command and return its reply; an error reply is returned, not raised."""
        self._socket.sendall(command)
        parser = self._parser
        while True:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("The hot store closed the connection.")
            parser.feed(data)
            reply = parser.gets()
            if reply is not False:
                return reply

    def close(self) -> None:
        """Close the socket; what was under way is lost."""
        self._socket.close()

    def __del__(self) -> None:
        # A thread that ends takes its connection along.
        if hasattr(self, "_socket"):
            self._socket.close()

    def _expect(self, command: bytes) -> Any:
        reply = self.ask(command)
        if isinstance(reply, hiredis.ReplyError):
            raise StoreUnavailableError(str(reply))
        return reply


def _open(address: Address, timeout: float) -> socket.socket:
    if address.path:
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wire.settimeout(timeout)
        wire.connect(address.path)
    else:
        wire = socket.create_connection((address.host, address.port), timeout)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address.tls:
        return address.tls_context().wrap_socket(wire, server_hostname=address.host)
    # The kernel keeps the time: Python's own timeout would poll before each send and each receive.
    wire.settimeout(None)  # a timeout then is a BlockingIOError
    limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    return wire


def run_mark(information: bytes) -> bytes:
    """The mark of a server process, from its INFO. Raises StoreUnavailableError."""
    for line in information.splitlines():
        if line.startswith(b"run_id:"):
            # The library's version too: another version may pack its records in another way.
            return hashlib.sha256(line + VERSION.encode()).hexdigest()[:8].encode()
    raise StoreUnavailableError("The hot store does not tell its run id.")


class _Pause:
    """Until when (monotonic seconds) a server that failed is left alone; shared by all threads.

    One slow answer is no outage: only the second timeout without a success between them makes everybody wait.
    """

    until = 0.0
    n_timeouts = 0


_local = threading.local()


def connection() -> Connection:
    """This thread's connection, made if need be. Raises StoreUnavailableError."""
    try:
        mine: Connection = _local.connection
    except AttributeError:
        return _connect()
    return mine


def _connect() -> Connection:
    if time.monotonic() < _Pause.until:
        raise StoreUnavailableError("The hot store failed a moment ago.")
    try:
        mine = Connection(parse_url(settings.REDIS_URL))
    except (OSError, hiredis.HiredisError) as error:
        _pause()
        raise StoreUnavailableError(type(error).__name__) from error
    except StoreUnavailableError:
        _pause()
        raise
    _local.connection = mine
    return mine


def _pause() -> None:
    _Pause.until = time.monotonic() + PAUSE_SECONDS


def resume() -> None:
    """Try again at once, whatever failed a moment ago."""
    _Pause.until = 0.0
    _Pause.n_timeouts = 0


def drop() -> None:
    """Close this thread's connection; the next call makes a new one."""
    mine = _local.__dict__.pop("connection", None)
    if mine is not None:
        mine.close()


# A forked worker must not share its parent's socket: two readers would take each other's replies.
os.register_at_fork(after_in_child=drop)


def ask(command: bytes) -> Any:
    """One round trip on this thread's connection. Raises StoreUnavailableError for every kind of failure.

    A connection that the server had closed while it was idle is replaced once; a timeout is not tried again.
    A call whose answer was lost may have been counted: limits then err on the safe side.
    """
    return ask_run(lambda _run: command)


def ask_run(command_for: Callable[[bytes], bytes]) -> Any:
    """As `ask`, for a command that names the server process (`run`) that it is meant for.

    The second try may reach another process than the first: one that has lost its last second, and must not
    be told that it is the one whose records are to be believed.
    """
    try:
        mine = connection()
        return _ask(mine, command_for(mine.run))
    except ConnectionError:
        pass
    try:
        mine = connection()
        return _ask(mine, command_for(mine.run))
    except ConnectionError as error:
        _pause()
        raise StoreUnavailableError(type(error).__name__) from error


def _ask(mine: Connection, command: bytes) -> Any:
    try:
        reply = mine.ask(command)
        if isinstance(reply, hiredis.ReplyError):
            reply = _after_error(mine, command, reply)
    except ConnectionError:
        drop()
        raise
    except (BlockingIOError, TimeoutError) as error:
        drop()
        _Pause.n_timeouts += 1
        if _Pause.n_timeouts > 1:
            _pause()
        raise StoreUnavailableError("timeout") from error
    except StoreUnavailableError:
        # It said no at once: nobody has to wait for it, so everybody may go on asking.
        drop()
        raise
    except (OSError, hiredis.HiredisError) as error:
        drop()
        _pause()
        raise StoreUnavailableError(str(error) or type(error).__name__) from error
    except BaseException:
        drop()
        raise
    if _Pause.n_timeouts:
        _Pause.n_timeouts = 0
    return reply


def _after_error(mine: Connection, command: bytes, error: hiredis.ReplyError) -> Any:
    if "Function not found" not in str(error):
        raise StoreUnavailableError(str(error))
    loaded = mine.ask(encode("FUNCTION", "LOAD", "REPLACE", LIBRARY))
    if isinstance(loaded, hiredis.ReplyError):
        raise StoreUnavailableError(str(loaded))
    reply = mine.ask(command)
    if isinstance(reply, hiredis.ReplyError):
        raise StoreUnavailableError(str(reply))
    return reply


def call(name: str, keys: Sequence[bytes], *arguments: Argument) -> Any:
    """Call one of the library's functions. Raises StoreUnavailableError."""
    return ask(_function_call(name, keys, arguments))


def _function_call(name: str, keys: Sequence[bytes], arguments: Sequence[Argument]) -> bytes:
    return encode("FCALL", f"kagiban_{name}_{VERSION}", len(keys), *keys, *arguments)


class Patient:
    """A connection of its own for background work, which may take seconds. Close it by `with`."""

    def __init__(self) -> None:
        try:
            self._connection = Connection(parse_url(settings.REDIS_URL), PATIENCE_SECONDS)
        except (OSError, hiredis.HiredisError) as error:
            raise StoreUnavailableError(type(error).__name__) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def call(self, name: str, keys: Sequence[bytes], *arguments: Argument) -> Any:
        """As the module's `call`; after a failure this connection is of no more use."""
        command = _function_call(name, keys, arguments)
        try:
            reply = self._connection.ask(command)
            if isinstance(reply, hiredis.ReplyError):
                reply = _after_error(self._connection, command, reply)
        except (OSError, hiredis.HiredisError) as error:
            self._connection.close()
            raise StoreUnavailableError(type(error).__name__) from error
        return reply
