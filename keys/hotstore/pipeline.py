"""The wire to the hot store for an event loop: one connection to each server, with many calls under way.

Calls that begin in one turn of the loop leave in one write, and their replies come in one read: under load
that halves what a call costs the store, and takes the thread of its own away that `hotstore.client` needs for
each call. Here nothing is tried again and nobody is asked twice: a call that got no answer is told so, and
its caller goes the way of threads, which knows what to do then (V5).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from keys.hotstore.address import tls_context
from keys.hotstore.cluster import PAUSE_SECONDS, HotMap, Node, hot_map, slot_of_bucket
from keys.hotstore.connection import (
    MARK_SECONDS,
    TIMEOUT_SECONDS,
    WHO_ARE_YOU,
    StoreUnavailableError,
    login,
    run_mark,
)
from keys.secrets.form import BUCKET_LENGTH

# A call is given up by the third tick after it began: once to one and a half times TIMEOUT_SECONDS.
_TICKS: Final = 2
_TICK_SECONDS: Final = TIMEOUT_SECONDS / _TICKS
_MARK_TICKS: Final = round(MARK_SECONDS / _TICK_SECONDS)

# So many calls leave together; the store works on them while the loop reads on. With all of a turn's calls in
# one write, loop and store would wait for each other in turns.
_TOGETHER: Final = 2

# What a node of a cluster says of one key, or until the others have agreed on a new primary.
_OF_ONE_KEY: Final = ("ASK ", "TRYAGAIN", "CLUSTERDOWN")

OnReply = Callable[[Any], None]


class Pipe(asyncio.Protocol):
    """One connection. `run` marks the history of the server at its other end (hotstore.connection.run_mark).

    After any failure the connection is dropped, and every call under way gets None: no reply ever answers
    another question.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, places: HotMap) -> None:
        self.run = b""
        self._places = places
        self.is_open = False
        self._loop = loop
        self._parser = hiredis.Reader()
        self._leaving: list[bytes] = []
        self._under_way: deque[tuple[OnReply, int]] = deque()
        self._n_ticks = 0

    def ask(self, command: bytes, on_reply: OnReply) -> None:
        """Send an encoded command; `on_reply` gets its reply, or None where there is none to be had."""
        if not self._leaving:
            self._loop.call_soon(self._send)
        self._leaving.append(command)
        self._under_way.append((on_reply, self._n_ticks))
        if len(self._leaving) >= _TOGETHER:
            self._send()

    def drop(self) -> None:
        """Give up the connection, with all that is under way."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch the time."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell all who wait."""
        self.is_open = False
        self._timer.cancel()
        self._leaving.clear()
        while self._under_way:
            self._under_way.popleft()[0](None)

    def data_received(self, data: bytes) -> None:
        """Hand out the replies, in the order of the calls. An exception here makes the loop drop us."""
        parser, under_way = self._parser, self._under_way
        parser.feed(data)
        while (reply := parser.gets()) is not False:
            on_reply, _ = under_way.popleft()
            if isinstance(reply, hiredis.ReplyError):
                self._refused(str(reply))
                reply = None
            on_reply(reply)

    def learn_run(self, information: Any) -> None:
        """Take over what INFO told about the server; one that is no primary is of no use."""
        try:
            self.run = run_mark(information or b"")
        except StoreUnavailableError:
            self._places.doubt()
            self.drop()

    def _refused(self, error: str) -> None:
        """The caller's other way does what the error asks for: loads the functions, follows a key."""
        if error.startswith("MOVED "):
            self._places.moved(error)
        elif not error.startswith(_OF_ONE_KEY) and "Function not found" not in error:
            # The server says that it is not the one to ask (loading, no primary, full).
            self._places.doubt()
            self.drop()

    def _send(self) -> None:
        if self._leaving and self.is_open:
            self._transport.write(b"".join(self._leaving))
        self._leaving.clear()

    def _tick(self) -> None:
        if self._under_way and self._n_ticks - self._under_way[0][1] >= _TICKS:
            self.drop()
            return
        self._n_ticks += 1
        if self._n_ticks % _MARK_TICKS == 0 and self.run:
            # It can be demoted, take over another one's data, and be made primary again.
            self.ask(WHO_ARE_YOU, self.learn_run)
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)


class Way:
    """The loop's way to the store: a connection to each of its servers, opened again by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._places = hot_map()
        self._pipes: dict[Node, Pipe] = {}
        self._opening: dict[Node, asyncio.Task[None]] = {}
        self._not_before: dict[Node, float] = {}

    def pipe(self, key_id: bytes = b"") -> Pipe | None:
        """The open connection to the server of a key; None where there is none now: then one is tried for.

        Never waits: where the map is doubted, the caller's other way asks for it.
        """
        places = self._places
        node = places.slots[slot_of_bucket(key_id[:BUCKET_LENGTH]) if places.is_cluster else 0]
        if node is None:
            return None
        pipe = self._pipes.get(node)
        if pipe is not None and pipe.is_open:
            return pipe
        if self._loop.time() >= self._not_before.get(node, 0.0):
            self._begin_opening(node)
        return None

    async def open(self) -> None:
        """Try to connect, once, to every server to which there is no open connection."""
        try:
            nodes = await self._loop.run_in_executor(None, self._places.nodes)
        except StoreUnavailableError:
            return
        is_open = {node for node, pipe in self._pipes.items() if pipe.is_open}
        await asyncio.gather(*[self._begin_opening(node) for node in nodes if node not in is_open])

    async def close(self) -> None:
        """Give up the connections."""
        await asyncio.gather(*self._opening.values())
        for pipe in self._pipes.values():
            if pipe.is_open:
                pipe.drop()
        await asyncio.sleep(0)

    def _begin_opening(self, node: Node) -> asyncio.Task[None]:
        if node not in self._opening:
            self._opening[node] = self._loop.create_task(self._open(node))
        return self._opening[node]

    async def _open(self, node: Node) -> None:
        self._leave_strangers()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self._pipes[node] = await _connected(self._loop, self._places, node)
        except (OSError, StoreUnavailableError):
            self._not_before[node] = self._loop.time() + PAUSE_SECONDS
            self._places.doubt()
        finally:
            del self._opening[node]

    def _leave_strangers(self) -> None:
        """Hang up on servers that hold nothing any more."""
        held = set(self._places.slots)
        for node in [node for node in self._pipes if node not in held]:
            pipe = self._pipes.pop(node)
            if pipe.is_open:
                pipe.drop()
        self._not_before = {node: moment for node, moment in self._not_before.items() if node in held}


async def _reply(pipe: Pipe, command: bytes) -> Any:
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    # Who waits may have given up.
    pipe.ask(command, lambda reply: None if answered.done() else answered.set_result(reply))
    reply = await answered
    if reply is None:
        raise StoreUnavailableError("The hot store refused us.")
    return reply


async def _connected(loop: asyncio.AbstractEventLoop, places: HotMap, node: Node) -> Pipe:
    address = node.address

    def new() -> Pipe:
        return Pipe(loop, places)

    if address.path:
        _, pipe = await loop.create_unix_connection(new, address.path)
    else:
        context = tls_context(address.tls) if address.tls else None
        _, pipe = await loop.create_connection(new, address.host, address.port, ssl=context)
    try:
        for command in login(address):
            await _reply(pipe, command)
        pipe.run = run_mark(await _reply(pipe, WHO_ARE_YOU))
    except BaseException:
        pipe.drop()
        raise
    return pipe
