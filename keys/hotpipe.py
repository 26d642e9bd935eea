"""The wire to the hot store for an event loop: one connection, on which many calls are under way at once.

Calls that begin in one turn of the loop leave in one write, and their replies come in one read: under load
that halves what a call costs the store, and takes the thread of its own away that `keys.hotwire` needs for
each call. Here nothing is tried again and nobody is asked twice: a call that got no answer is told so, and
its caller goes the way of threads, which knows what to do then (V5).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis
from django.conf import settings

from keys.hotaddress import parse_url, tls_context
from keys.hotwire import PAUSE_SECONDS, TIMEOUT_SECONDS, StoreUnavailableError, greeting, run_mark

# A call is given up by the third tick after it began: 250 to 375 ms.
_TICKS: Final = 2
_TICK_SECONDS: Final = TIMEOUT_SECONDS / _TICKS

# So many calls leave together; the store works on them while the loop reads on. With all of a turn's calls in
# one write, loop and store would wait for each other in turns.
_TOGETHER: Final = 2

OnReply = Callable[[Any], None]


class Pipe(asyncio.Protocol):
    """One connection. `run` marks the server process at its other end (see keys.hotwire).

    After any failure the connection is dropped, and every call under way gets None: no reply ever answers
    another question.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.run = b""
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
                # A function that is not loaded yet is loaded by the caller's other way; with any other error
                # the server says that it is not the one to ask (loading, no primary, full).
                if "Function not found" not in str(reply):
                    self.drop()
                reply = None
            on_reply(reply)

    def _send(self) -> None:
        if self._leaving and self.is_open:
            self._transport.write(b"".join(self._leaving))
        self._leaving.clear()

    def _tick(self) -> None:
        if self._under_way and self._n_ticks - self._under_way[0][1] >= _TICKS:
            self.drop()
            return
        self._n_ticks += 1
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)


class Way:
    """The loop's way to the store, opened again by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pipe: Pipe | None = None
        self._opening: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def pipe(self) -> Pipe | None:
        """The open connection; None where there is none now, and then one is being tried for."""
        pipe = self._pipe
        if pipe is not None and pipe.is_open:
            return pipe
        if self._loop.time() >= self._not_before:
            self._begin_opening()
        return None

    async def open(self) -> None:
        """Try to connect, once."""
        await self._begin_opening()

    async def close(self) -> None:
        """Give up the connection."""
        if self._opening is not None:
            await self._opening
        if self._pipe is not None and self._pipe.is_open:
            self._pipe.drop()
            await asyncio.sleep(0)

    def _begin_opening(self) -> asyncio.Task[None]:
        if self._opening is None:
            self._opening = self._loop.create_task(self._open())
        return self._opening

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self._pipe = await _connected(self._loop)
        except (OSError, StoreUnavailableError):
            self._not_before = self._loop.time() + PAUSE_SECONDS
        finally:
            self._opening = None


async def _reply(pipe: Pipe, command: bytes) -> Any:
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    # Who waits may have given up.
    pipe.ask(command, lambda reply: None if answered.done() else answered.set_result(reply))
    reply = await answered
    if reply is None:
        raise StoreUnavailableError("The hot store refused us.")
    return reply


async def _connected(loop: asyncio.AbstractEventLoop) -> Pipe:
    address = parse_url(settings.HOT_STORE_URL)
    if address.path:
        _, pipe = await loop.create_unix_connection(lambda: Pipe(loop), address.path)
    else:
        context = tls_context(address.tls) if address.tls else None
        _, pipe = await loop.create_connection(lambda: Pipe(loop), address.host, address.port, ssl=context)
    try:
        told: Any = None
        for command in greeting(address):
            told = await _reply(pipe, command)
        pipe.run = run_mark(told)
    except BaseException:
        pipe.drop()
        raise
    return pipe
