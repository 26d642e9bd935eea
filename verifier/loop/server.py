"""The verifier's own server: an event loop that answers warm checks itself (docs/verifier.md, "Speed").

A check waits for the hot store most of its time. With a thread for each, the threads' changes cost several
times what the check does; here one thread has all of them under way, and shares one connection to the store.
What may have to wait for the database goes to a few threads, and can't hold up a warm check.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

import uvloop

from core import patience
from keys.hotstore.pipeline import Way
from verifier.api import answers
from verifier.api.app import log_failure
from verifier.callers import gateways
from verifier.loop.connection import Client
from verifier.loop.lanes import Lane
from verifier.registry.reading import N_INSIDE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger(__name__)

THREADS: Final = 16
# The registry tells of some 200 strange keys a second: the gateway of whoever came later would have given up.
MOST_STRANGERS: Final = 256
BACKLOG: Final = 1_024
# Whoever stops a process mostly kills it after ten seconds (`docker stop`). What is under way ends in time to
# write the use that only this process has counted, which has until LAST_SECONDS.
FINISH_SECONDS: Final = 4
LAST_SECONDS: Final = 6.0
END_SECONDS: Final = 7.5
SWITCH_SECONDS: Final = 0.0005


class Loop:
    """Everything that the connections of one process share."""

    def __init__(self, wsgi: "WSGIApplication", listener: socket.socket) -> None:
        self.way = Way(asyncio.get_running_loop())
        self.clients: set[Client] = set()
        self.checks = Lane("check", THREADS)
        # Apart: whatever keeps the threads busy, warm checks need gateways that are known.
        self.reader = ThreadPoolExecutor(1, "gateways")
        # As many as find a place at the registry. A flood of keys that nobody has holds up only its own kind.
        self.strangers = Lane("strangers", N_INSIDE, n_waiting=MOST_STRANGERS)
        self.wsgi = wsgi
        self.environ: dict[str, Any] = _environ(listener)
        self.date = b""
        self._outgoing: list[tuple[asyncio.Transport, bytes, bool]] = []
        self._call_soon = asyncio.get_running_loop().call_soon
        self.tick = 0
        self.is_stopping = False

    def post(self, transport: asyncio.Transport, data: bytes, keeps: bool) -> None:
        """Write to a connection, and close it where that was its last word; with the others of this turn.

        A write wakes whoever waits for it. Written one after the other, the answers of a turn find their
        reader awake but for the first; with our work between them each would have to wake it again.
        """
        if not self._outgoing:
            self._call_soon(self._write)
        self._outgoing.append((transport, data, keeps))

    def _write(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        for transport, data, keeps in outgoing:
            if not transport.is_closing():
                transport.write(data)
                if not keeps:
                    transport.close()

    async def run(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; then finish what is under way."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        clock = loop.create_task(self._keep_time())
        await self.way.open()
        # uvloop would not tell that somebody else has begun to listen there meanwhile.
        listener.listen(BACKLOG)
        server = await loop.create_server(lambda: Client(self), sock=listener, backlog=BACKLOG)
        on_ready()
        await stop.wait()
        patience.end_within(LAST_SECONDS)
        _end_after(END_SECONDS)
        server.close()
        self.is_stopping = True
        await self._finish()
        clock.cancel()
        await self.way.close()
        for threads in (self.checks.threads, self.reader, self.strangers.threads):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _keep_time(self) -> None:
        """Every second: the Date field, fresh gateways, an end to connections that only hold a place."""
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self.reader, gateways.keep_fresh)
        while True:
            self.tick += 1
            self.date = answers.wire([("Date", format_datetime(datetime.now(UTC), usegmt=True))])
            for client in [one for one in self.clients if one.is_overdue(self.tick)]:
                client.close_if_idle()
            if reading.done():
                reading = loop.run_in_executor(self.reader, gateways.keep_fresh)
            await asyncio.sleep(1)

    async def _finish(self) -> None:
        for client in list(self.clients):
            client.close_if_idle()
        for _ in range(FINISH_SECONDS * 20):
            if not self.clients:
                return
            await asyncio.sleep(0.05)


def _end_after(seconds: float) -> None:
    """End the process at last, whatever else hangs that should not."""

    def end() -> None:
        logger.error("the process was told to end, and something kept it")
        os._exit(1)

    fuse = threading.Timer(seconds, end)
    fuse.daemon = True
    fuse.start()


def serve(wsgi: "WSGIApplication", listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Answer on a socket until told to stop; `on_ready` is called when it listens."""

    # A thread that looks into the database must not keep the interpreter from the checks for 5 ms at a time.
    sys.setswitchinterval(SWITCH_SECONDS)
    # What was loaded stays: a collection that looked through all of it would hold up the checks meanwhile.
    gc.collect()
    gc.freeze()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(_tell)
        await Loop(wsgi, listener).run(listener, on_ready)

    uvloop.run(main())


def _tell(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Never the error's message: it may quote a key.
    error = context.get("exception")
    if isinstance(error, Exception):
        log_failure(error)


def _environ(listener: socket.socket) -> dict[str, Any]:
    """What every request's environ has (PEP 3333)."""
    name = listener.getsockname()
    return {
        "SERVER_NAME": name[0],
        "SERVER_PORT": str(name[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
