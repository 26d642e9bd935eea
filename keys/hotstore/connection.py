"""One connection to one server of the hot store: a round trip, and no reply ever out of step.

A raw socket with hiredis' parser is twice as fast under load as a full client (PERFORMANCE.md). The price is
that these modules own what a client would: timeouts and the end of a connection after *any* exception (a
reply that is still under way would answer the next question), the functions' loading, and the way to the
right server (`keys.hotstore.cluster`).
"""

import hashlib
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import hiredis
from django.conf import settings

from keys.hotstore.address import Address, tls_context

# How long a call may take; read once, for every connection goes by it.
TIMEOUT_SECONDS: Final[float] = settings.HOT_STORE_SECONDS
# A mark older than this is asked for again before it is used.
MARK_SECONDS: Final = 1.0
_CHUNK: Final = 8_192

_SOURCE = (Path(__file__).with_name("functions.lua")).read_text()
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


def login(address: Address) -> list[bytes]:
    """The commands that a connection begins with."""
    commands = []
    if address.password:
        user = [address.username] if address.username else []
        commands.append(encode("AUTH", *user, address.password))
    if address.database:
        commands.append(encode("SELECT", address.database))
    return commands


# Its reply is for `run_mark`.
WHO_ARE_YOU: Final = encode("INFO", "server", "replication")


class Connection:
    """A socket, its parser, and the mark of the server at its other end. Not safe for two threads."""

    __slots__ = ("_known_until", "_parser", "_run", "_socket")

    def __init__(self, address: Address, timeout: float = TIMEOUT_SECONDS) -> None:
        self._known_until = 0.0
        self._socket = _open(address, timeout)
        self._parser = hiredis.Reader()
        try:
            for command in login(address):
                self.expect(command)
        except BaseException:
            self.close()
            raise

    def run(self) -> bytes:
        """The mark of the history that the server now has (`run_mark`).

        Asked for anew every second: a server can be demoted, take over another one's data, and be made
        primary again, all under an open connection.
        """
        now = time.monotonic()
        if now >= self._known_until:
            self._run = run_mark(self.expect(WHO_ARE_YOU))
            self._known_until = now + MARK_SECONDS
        return self._run

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

    def expect(self, command: bytes) -> Any:
        """As `ask`, where an error reply means that this server is of no use to us."""
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
    """The mark of a server process and of its history, from its INFO. Raises StoreUnavailableError.

    The process alone is not enough: a primary that was replaced lives on as a replica, and loses what its
    successor did not have. When it is made primary once more, it begins a new history (`master_replid`).
    """
    told = dict(line.split(b":", 1) for line in information.splitlines() if b":" in line)
    if b"run_id" not in told:
        raise StoreUnavailableError("The hot store does not tell its run id.")
    if told.get(b"role", b"master") != b"master":
        raise StoreUnavailableError("This server of the hot store is no primary.")
    # The library's version too: another version may pack its records in another way.
    history = told[b"run_id"] + told.get(b"master_replid", b"") + VERSION.encode()
    return hashlib.sha256(history).hexdigest()[:8].encode()
