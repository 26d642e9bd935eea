"""The threads' way to the hot store: a connection to each server for each thread, one round trip for a call.

Every failure becomes a StoreUnavailableError, soon enough that its caller can still answer by itself (V5). A
connection is dropped after any exception, and its server left alone for a moment.
"""

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

import hiredis

from keys.hotstore.cluster import HotMap, Node, hot_map
from keys.hotstore.connection import LIBRARY, VERSION, Argument, Connection, StoreUnavailableError, encode

__all__ = [
    "VERSION", "Argument", "Patient", "StoreUnavailableError", "all_answer", "ask", "ask_all", "ask_run",
    "call", "drop", "encode", "insisting", "resume", "run_of",
]  # fmt: skip

PATIENCE_SECONDS: Final = 10.0
# How often a call is sent on to another server before it is given up.
_MAX_HOPS: Final = 4


class _Mine(threading.local):
    """What belongs to one thread."""

    def __init__(self) -> None:
        self.connections: dict[Node, Connection] = {}
        self.insists = False


_mine = _Mine()


class _Moved(Exception):  # noqa: N818 - a way to go, not an error
    """Another server holds the key; this once, or from now on."""

    def __init__(self, node: Node, asking: bool) -> None:
        self.node, self.asking = node, asking


def resume() -> None:
    """Try again at once, whatever failed a moment ago."""
    hot_map().forget_failures()


def drop() -> None:
    """Close this thread's connections; the next call makes new ones."""
    while _mine.connections:
        _mine.connections.popitem()[1].close()


# A forked worker must not share its parent's socket: two readers would take each other's replies.
os.register_at_fork(after_in_child=drop)


@contextmanager
def insisting() -> Iterator[None]:
    """Calls of this thread try a server that failed a moment ago: it may be back, and must be told."""
    _mine.insists = True
    try:
        yield
    finally:
        _mine.insists = False


def ask(command: bytes, key: bytes = b"") -> Any:
    """One round trip to the server that holds `key`. Raises StoreUnavailableError for every kind of failure.

    A connection that the server had closed while it was idle is replaced once; a timeout is not tried again.
    A call whose answer was lost may have been counted: limits then err on the safe side.
    """
    return ask_run(lambda _run: command, key)


def ask_run(command_for: Callable[[bytes], bytes], key: bytes = b"") -> Any:
    """As `ask`, for a command that names the server's history (`run_mark`) that it is meant for.

    The second try may reach another server than the first: one that has lost its last second, and must not
    be told that it is the one whose records are to be believed.
    """
    places = hot_map()
    node, asking, was_lost = places.node(places.slot(key)), False, False
    for _ in range(_MAX_HOPS):
        try:
            return _ask(places, node, command_for, asking=asking)
        except ConnectionError as error:
            if was_lost:
                node.rest()
                places.doubt()
                raise StoreUnavailableError(type(error).__name__) from error
            was_lost = True
        except _Moved as moved:
            node, asking = moved.node, moved.asking
    raise StoreUnavailableError("The key is being moved.")


def run_of(key: bytes) -> bytes:
    """The mark of the server that holds `key` (`run_mark`). Raises StoreUnavailableError."""
    asked = b""

    def for_run(run: bytes) -> bytes:
        nonlocal asked
        asked = run
        return b""

    ask_run(for_run, key)
    return asked


def _ask(places: HotMap, node: Node, command_for: Callable[[bytes], bytes], *, asking: bool) -> Any:
    mine = _connection(places, node)
    try:
        command = command_for(mine.run())
        if not command:
            return None
        reply = _exchange(mine, command, asking=asking)
        if isinstance(reply, hiredis.ReplyError):
            reply = _after_error(places, mine, command, reply, asking=asking)
    except _Moved:
        raise
    except BaseException as error:
        failure = _after_failure(places, node, error)
        if failure is error:
            raise
        raise failure from error
    if node.n_timeouts:
        node.n_timeouts = 0
    return reply


def _exchange(mine: Connection, command: bytes, *, asking: bool) -> Any:
    if asking:
        return mine.ask_all([_ASKING, command])[1]
    return mine.ask(command)


_ASKING: Final = encode("ASKING")


def _connection(places: HotMap, node: Node) -> Connection:
    """This thread's connection to a server, made if need be."""
    mine = _mine.connections.get(node)
    if mine is not None:
        return mine
    if time.monotonic() < node.rests_until and not _mine.insists:
        raise StoreUnavailableError("The hot store failed a moment ago.")
    if node.rests_until:
        # Its rest is over: one tries, the others wait for what it finds.
        node.rest()
    try:
        mine = Connection(node.address)
        mine.run()
    except (OSError, hiredis.HiredisError, StoreUnavailableError) as error:
        if mine is not None:
            mine.close()
        node.rest()
        places.doubt()
        raise StoreUnavailableError(str(error) or type(error).__name__) from error
    node.rests_until = 0.0
    _mine.connections[node] = mine
    return mine


def _after_failure(places: HotMap, node: Node, error: BaseException) -> BaseException:
    """Drop the connection, leave the server alone where that helps; the error to raise instead."""
    mine = _mine.connections.pop(node, None)
    if mine is not None:
        mine.close()
    if isinstance(error, ssl.SSLEOFError):
        return ConnectionResetError("The hot store closed the connection.")
    if isinstance(error, ConnectionError):
        return error  # tried again
    places.doubt()
    if isinstance(error, BlockingIOError | TimeoutError):
        node.n_timeouts += 1
        if node.n_timeouts > 1:
            node.rest()
        return StoreUnavailableError("timeout")
    if isinstance(error, OSError | hiredis.HiredisError):
        node.rest()
        return StoreUnavailableError(str(error) or type(error).__name__)
    # Who said no at once made nobody wait: everybody may go on asking.
    return error


def _after_error(
    places: HotMap, mine: Connection, command: bytes, error: hiredis.ReplyError, *, asking: bool
) -> Any:
    text = str(error)
    if text.startswith(("MOVED ", "ASK ")):
        raise _Moved(*places.moved(text))
    if "Function not found" not in text:
        raise StoreUnavailableError(text)
    mine.expect(encode("FUNCTION", "LOAD", "REPLACE", LIBRARY))
    reply = _exchange(mine, command, asking=asking)
    if isinstance(reply, hiredis.ReplyError):
        raise StoreUnavailableError(str(reply))
    return reply


def ask_all(commands: Sequence[tuple[bytes, bytes]]) -> list[Any]:
    """One round trip to each server for commands that only read, each with its key. StoreUnavailableError."""
    places = hot_map()
    by_node: dict[Node, list[int]] = {}
    for number, (key, _command) in enumerate(commands):
        by_node.setdefault(places.node(places.slot(key)), []).append(number)
    replies: list[Any] = [None] * len(commands)
    for node, numbers in by_node.items():
        wanted = [commands[number][1] for number in numbers]
        for number, reply in zip(numbers, _ask_all(places, node, wanted), strict=True):
            # An error: moved, most likely; the way of a single call follows it.
            is_error = isinstance(reply, hiredis.ReplyError)
            replies[number] = ask(commands[number][1], commands[number][0]) if is_error else reply
    return replies


def _ask_all(places: HotMap, node: Node, commands: list[bytes]) -> list[Any]:
    for is_last in (False, True):
        mine = _connection(places, node)
        try:
            return mine.ask_all(commands)
        except BaseException as error:
            failure = _after_failure(places, node, error)
            if isinstance(failure, ConnectionError) and not is_last:
                continue
            if isinstance(failure, ConnectionError):
                raise StoreUnavailableError(type(error).__name__) from error
            raise failure from error
    raise AssertionError


_PING: Final = encode("PING")


def all_answer() -> bool:
    """Whether every slot has a server, and each of them answers now, as a primary."""
    places = hot_map()
    with insisting():
        # Once more by the map of after the failure: another server may have taken over.
        return any(_all_answer(places) for _ in range(2))


def _all_answer(places: HotMap) -> bool:
    try:
        if all(_answers(places, node) for node in places.nodes()) and None not in places.slots:
            return True
    except StoreUnavailableError:
        pass
    places.doubt()
    return False


def _answers(places: HotMap, node: Node) -> bool:
    for _ in range(2):  # a connection that was closed while it was idle is replaced once
        with suppress(ConnectionError):
            return bool(_ask(places, node, lambda _run: _PING, asking=False))
    return False


def call(name: str, keys: Sequence[bytes], *arguments: Argument) -> Any:
    """Call one of the library's functions. Raises StoreUnavailableError."""
    return ask(_function_call(name, keys, arguments), keys[0])


def _function_call(name: str, keys: Sequence[bytes], arguments: Sequence[Argument]) -> bytes:
    return encode("FCALL", f"kagiban_{name}_{VERSION}", len(keys), *keys, *arguments)


class Patient:
    """Connections of its own for background work, which may take seconds. Close it by `with`.

    A server that failed is not asked again; those of a cluster fail each for itself.
    """

    def __init__(self) -> None:
        self._places = hot_map()
        self._connections: dict[Node, Connection | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for mine in self._connections.values():
            if mine is not None:
                mine.close()

    def call(self, name: str, keys: Sequence[bytes], *arguments: Argument) -> Any:
        """As the module's `call`; after a failure the key's server is of no more use."""
        command = _function_call(name, keys, arguments)
        node, asking = self._places.node(self._places.slot(keys[0])), False
        for _ in range(_MAX_HOPS):
            try:
                return self._ask(node, command, asking=asking)
            except _Moved as moved:
                node, asking = moved.node, moved.asking
        raise StoreUnavailableError("The key is being moved.")

    def _ask(self, node: Node, command: bytes, *, asking: bool) -> Any:
        try:
            if node not in self._connections:
                self._connections[node] = None
                self._connections[node] = Connection(node.address, PATIENCE_SECONDS)
            mine = self._connections[node]
            if mine is None:
                raise StoreUnavailableError("It failed before.")
            reply = _exchange(mine, command, asking=asking)
            if isinstance(reply, hiredis.ReplyError):
                reply = _after_error(self._places, mine, command, reply, asking=asking)
        except (OSError, hiredis.HiredisError) as error:
            self._places.doubt()
            mine = self._connections[node]
            if mine is not None:
                mine.close()
            self._connections[node] = None
            raise StoreUnavailableError(type(error).__name__) from error
        return reply
