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
from pathlib import Path
from typing import Any, Final, Self

import hiredis
from django.conf import settings

from keys.hotaddress import Address, parse_url, tls_context

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


def greeting(address: Address) -> list[bytes]:
    """The commands that every connection begins with; the last one's reply is for `run_mark`."""
    commands = []
    if address.password:
        login = [address.username] if address.username else []
        commands.append(encode("AUTH", *login, address.password))
    if address.database:
        commands.append(encode("SELECT", address.database))
    return [*commands, encode("INFO", "server")]


class Connection:
    """A socket, its parser, and the mark of the server process at its other end.

    `run` changes when the server restarts or another one takes its place. Not safe for two threads.
    """

    __slots__ = ("_parser", "_socket", "run")

    def __init__(self, address: Address, timeout: float = TIMEOUT_SECONDS) -> None:
        self._socket = _open(address, timeout)
        self._parser = hiredis.Reader()
        try:
            for command in greeting(address):
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

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """Send several commands in one write; their replies, in order."""
        self._socket.sendall(b"".join(commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("The hot store closed the connection.")
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not False:
                replies.append(reply)
        return replies

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
    if not address.path:
        wire = socket.create_connection((address.host, address.port), timeout)
    else:
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if address.path:
            wire.settimeout(timeout)
            wire.connect(address.path)
        else:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls:
            return tls_context(address.tls).wrap_socket(wire, server_hostname=address.host)
    except BaseException:
        wire.close()
        raise
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
        mine = Connection(parse_url(settings.HOT_STORE_URL))
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
    except BaseException as error:
        failure = _after_failure(error)
        if failure is error:
            raise
        raise failure from error
    if _Pause.n_timeouts:
        _Pause.n_timeouts = 0
    return reply


def _after_failure(error: BaseException) -> BaseException:
    """Drop the connection, leave the server alone where that helps; the error to raise instead."""
    drop()
    if isinstance(error, ssl.SSLEOFError):
        return ConnectionResetError("The hot store closed the connection.")
    if isinstance(error, BlockingIOError | TimeoutError):
        _Pause.n_timeouts += 1
        if _Pause.n_timeouts > 1:
            _pause()
        return StoreUnavailableError("timeout")
    if isinstance(error, OSError | hiredis.HiredisError) and not isinstance(error, ConnectionError):
        _pause()
        return StoreUnavailableError(str(error) or type(error).__name__)
    # A lost connection is tried again. Who said no at once made nobody wait: everybody may go on asking.
    return error


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


def ask_all(commands: Sequence[bytes]) -> list[Any]:
    """One round trip for several commands that only read. Raises StoreUnavailableError, also for an error."""
    if not commands:
        return []
    try:
        replies = _ask_all(commands)
    except ConnectionError:
        replies = _ask_all(commands)
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise StoreUnavailableError(str(reply))
    return replies


def _ask_all(commands: Sequence[bytes]) -> list[Any]:
    try:
        return connection().ask_all(commands)
    except BaseException as error:
        failure = _after_failure(error)
        if failure is error:
            raise
        raise failure from error


def call(name: str, keys: Sequence[bytes], *arguments: Argument) -> Any:
    """Call one of the library's functions. Raises StoreUnavailableError."""
    return ask(_function_call(name, keys, arguments))


def _function_call(name: str, keys: Sequence[bytes], arguments: Sequence[Argument]) -> bytes:
    return encode("FCALL", f"kagiban_{name}_{VERSION}", len(keys), *keys, *arguments)


class Patient:
    """A connection of its own for background work, which may take seconds. Close it by `with`."""

    def __init__(self) -> None:
        try:
            self._connection = Connection(parse_url(settings.HOT_STORE_URL), PATIENCE_SECONDS)
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
