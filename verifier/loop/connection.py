"""A gateway's connection: HTTP/1.1 over asyncio, parsed by httptools (the parser of Node).

One request is answered at a time; what a gateway sends ahead waits. A check that only needs the hot store is
answered in the event loop (`loop.quick`), anything else by the WSGI entry in a thread. A request whose
head was read before is not parsed again (`verifier.loop.heads`).
"""

import asyncio
import io
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import unquote_to_bytes

import httptools
from django.conf import settings

from core.actors import address_behind_proxies
from verifier.api import answers
from verifier.api.answers import Response
from verifier.api.app import BODY, MAX_BODY, UNTIL, log_failure
from verifier.loop import heads, quick
from verifier.loop.heads import Head
from verifier.loop.quick import Check
from verifier.usage import reporting as usage

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from keys.hotstore.pipeline import Way
    from verifier.loop.lanes import Lane

# Longer than proxies keep an idle connection to us: the one who closes first must be the one who asks.
IDLE_SECONDS: Final = 120
REQUEST_SECONDS: Final = 30
MAX_HEAD: Final = 64 * 1024
# The one path whose bodies may be larger than a question.
USAGE: Final = b"/v1/usage"
_MAX_NAMES: Final = 1_000
# A larger body than a question may have is told so by the verifier; a much larger one is not read to its end.
_MAX_READ: Final = 1024 * 1024
_REFUSALS: Final = {
    400: "400 Bad Request",
    413: "413 Content Too Large",
    431: "431 Request Header Fields Too Large",
}

_STATUS_LINES: Final = {
    status: f"HTTP/1.1 {reason}\r\n".encode() for status, reason in answers.REASONS.items()
}
# A gateway whose heads are never the same again (one with a trace's number) teaches us nothing.
_MAX_LESSONS: Final = 16

# Names of fields as the environ has them; gateways send the same few again and again. Empty: not to be read.
_names: dict[bytes, str] = {}


class Server(Protocol):
    """What a connection needs of the server that it belongs to."""

    way: "Way"
    clients: "set[Client]"
    checks: "Lane"
    strangers: "Lane"
    wsgi: "WSGIApplication"
    environ: dict[str, Any]
    date: bytes
    tick: int
    is_stopping: bool

    def post(self, transport: asyncio.Transport, data: bytes, keeps: bool) -> None:
        """Write to a connection at the end of this turn, and close it where that was its last word."""


class Client(asyncio.Protocol):
    """One connection. `since` is the tick at which it began to wait for the gateway; `is_busy` is for us."""

    __slots__ = (
        "_address", "_body", "_check", "_chunk", "_environ", "_environ_served", "_in_head", "_is_last",
        "_is_within", "_keeps", "_known", "_n_body", "_n_head", "_n_lessons", "_n_owed", "_n_unread",
        "_parser", "_peer", "_template", "_transport", "_url", "_waiting", "is_busy", "server", "since",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self.since = server.tick
        self.is_busy = False
        self._waiting: deque[tuple[WSGIEnvironment, bool]] = deque()
        self._parser = httptools.HttpRequestParser(self)
        self._n_head = self._n_unread = 0
        self._in_head = False
        self._is_within = False
        self._is_last = False
        self._n_owed = 0
        self._chunk = b""
        self._n_lessons = 0
        self._environ_served: WSGIEnvironment | None = None

    # --- the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember who calls."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        self._template = {**self.server.environ, "REMOTE_ADDR": self._peer}
        self._address = address_behind_proxies(self._peer, "")
        self.server.clients.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection; an answer that is under way then has no reader."""
        self.server.clients.discard(self)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Parse; each whole request calls `on_message_complete`."""
        if self._is_last:
            self._read_owed(data)
            return
        if self._is_within or self.is_busy or self._waiting:
            self._chunk = b""
        else:
            known = heads.known(data)
            if known is not None:
                self._serve_known(known)
                return
            self._chunk = data
        self._n_unread += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Nothing is spoken here but HTTP/1.1: this request is answered, what follows it is not read.
            self._is_last = True
            self._read_owed(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400)
        # Of a field that goes on and on the parser tells nothing before its end.
        if not self._in_head:
            self._n_unread = 0
        elif self._n_unread > MAX_HEAD and not self._is_last:
            self._refuse(431)

    def pause_writing(self) -> None:
        """The gateway does not read its answers: nothing more is read from it."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has read them."""
        if not self._waiting:
            self._transport.resume_reading()

    def is_overdue(self, tick: int) -> bool:
        """Whether the gateway keeps us waiting too long: for a request's end, or for a next one (seconds)."""
        return not self.is_busy and tick - self.since > (REQUEST_SECONDS if self._is_within else IDLE_SECONDS)

    def close_if_idle(self) -> None:
        """Close the connection between two requests; one that is being answered is closed after it."""
        if not self.is_busy:
            self.server.post(self._transport, b"", keeps=False)

    # --- the parser's calls ---

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.since = self.server.tick
        self._in_head = self._is_within = True
        self._url = b""
        self._n_head = 0
        self._environ: WSGIEnvironment = self._template.copy()
        self._body: list[bytes] = []
        self._n_body = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._url += url
        self._n_head += len(url)
        self._n_unread -= len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field. One sent twice is joined by a comma; one behind the body (a trailer) is no field."""
        length = len(name) + len(value) + len(b": \r\n")
        self._n_unread -= length
        if not self._in_head:
            return
        self._n_head += length
        field = _names.get(name)
        if field is None:
            field = _field(name)
        if not field:
            return
        # The parser leaves the white space behind a value, which is none of it (RFC 9110, 5.5).
        text = value.decode("latin-1").rstrip(" \t")
        environ = self._environ
        environ[field] = f"{environ[field]},{text}" if field in environ else text

    def on_headers_complete(self) -> None:
        """Look at the head as a whole; ask for the body where the gateway waits for that."""
        self._in_head = False
        if self._is_last:
            return
        hosts = self._environ.get("HTTP_HOST", "").split(",")
        if self._n_head > MAX_HEAD:
            self._refuse(431)
        elif self._parser.get_http_version() == "1.1" and (len(hosts) > 1 or not hosts[0]):
            self._refuse(400)  # RFC 9112, 3.2
        elif self.is_busy or self._waiting:
            pass  # nothing may stand before the answers that are due
        elif self._environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            self.server.post(self._transport, b"HTTP/1.1 100 Continue\r\n\r\n", keeps=True)

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body, as far as the verifier would read it."""
        if self._n_body <= MAX_BODY or (self._n_body <= usage.MAX_BODY and self._url == USAGE):
            self._body.append(piece)
        self._n_body += len(piece)
        self._n_unread -= len(piece)
        if self._n_body > _MAX_READ:
            self._refuse(413)

    def on_message_complete(self) -> None:
        """Answer the request; where it asks for another protocol the parser has left us its body to read."""
        if self._is_last:
            return
        if self._parser.should_upgrade():
            self._n_owed = int(self._environ.get("CONTENT_LENGTH", 0))
        if not self._n_owed:
            self._complete()

    def _read_owed(self, data: bytes) -> None:
        if not self._n_owed:
            return
        piece = data[: self._n_owed]
        self._n_owed -= len(piece)
        self.on_body(piece)
        if not self._n_owed and not self._transport.is_closing():
            self._complete()

    def _complete(self) -> None:
        self._is_within = False
        parser, environ = self._parser, self._environ
        environ["REQUEST_METHOD"] = parser.get_method().decode("ascii")
        path, _, query = self._url.partition(b"?")
        if not path.startswith(b"/"):
            path = httptools.parse_url(self._url).path or b"/"
        environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
        environ["QUERY_STRING"] = query.decode("latin-1")
        environ[BODY] = b"".join(self._body)
        is_plain = parser.get_http_version() == "1.1" and not parser.should_upgrade()
        keeps = is_plain and parser.should_keep_alive()
        if self._chunk and keeps and self._n_lessons < _MAX_LESSONS:
            self._n_lessons += 1
            heads.learn(self._chunk, environ, environ[BODY])
        if self.is_busy:
            self._transport.pause_reading()
            self._waiting.append((environ, keeps))
        else:
            self._serve(environ, keeps)

    # --- answering ---

    def _serve(self, environ: "WSGIEnvironment", keeps: bool) -> None:
        self.is_busy = True
        self._environ_served, self._keeps = environ, keeps
        begun: Response | Check | None = None
        try:
            begun = quick.begin(environ, self.server.way)
        except Exception as error:  # noqa: BLE001 - the other way answers, and says what is wrong
            log_failure(error)
        self._go_on(begun)

    def _serve_known(self, known: tuple[Head, bytes]) -> None:
        self.is_busy = self._keeps = True
        self._environ_served = None
        self._known = known
        head, piece = known
        begun: Response | Check | None = None
        try:
            if head.context is None:
                begun = quick.verify(head.credential, self._address, piece, self.server.way)
            else:
                address = address_behind_proxies(self._peer, head.environ.get("HTTP_X_FORWARDED_FOR", ""))
                begun = quick.authorize(head.credential, address, piece, head.context, self.server.way)
        except Exception as error:  # noqa: BLE001 - the same
            log_failure(error)
        self._go_on(begun)

    def _go_on(self, begun: Response | Check | None) -> None:
        if isinstance(begun, Response):
            self._send(begun)
        elif begun is not None:
            self._check = begun
            pipe, command, *_ = begun
            pipe.ask(command, self._store_replied)
        else:
            self._serve_in_thread(self.server.checks)

    def _store_replied(self, reply: Any) -> None:
        response: Response | None = None
        try:
            response = quick.answer(self._check, reply)
        except Exception as error:  # noqa: BLE001 - the same
            log_failure(error)
        if response is not None:
            self._send(response)
        elif not quick.is_of_stranger(reply):
            self._serve_in_thread(self.server.checks)
        elif self.server.strangers.is_full:
            self._send(quick.too_many(self._check))
        else:
            self._serve_in_thread(self.server.strangers)

    def _serve_in_thread(self, lane: "Lane") -> None:
        if self._transport.is_closing():
            return
        environ = self._environ_served
        if environ is None:
            head, piece = self._known
            environ = head.environ_with(piece, self._peer)
        environ["wsgi.input"] = io.BytesIO(environ[BODY])
        environ[UNTIL] = time.monotonic() + settings.VERIFIER_DATABASE_SECONDS
        lane.begin(_call, self.server.wsgi, environ).add_done_callback(self._thread_answered)

    def _thread_answered(self, done: "asyncio.Future[Response]") -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._transport.abort()
            return
        self._send(done.result())

    def _send(self, response: Response) -> None:
        """Write the answer and go on with the next request."""
        server = self.server
        keeps = self._keeps and not server.is_stopping
        line = _STATUS_LINES.get(response.status) or b"HTTP/1.1 %d \r\n" % response.status
        end = b"\r\n" if keeps else b"Connection: close\r\n\r\n"
        environ = self._environ_served
        # A head that was read before is none of HEAD (verifier.loop.heads).
        is_head = environ is not None and environ["REQUEST_METHOD"] == "HEAD"
        whole = b"".join((line, server.date, response.fields, end, b"" if is_head else response.body))
        server.post(self._transport, whole, keeps)
        if not keeps:
            return
        self.is_busy = False
        self.since = server.tick
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._serve_next)

    def _serve_next(self) -> None:
        if self._transport.is_closing() or not self._waiting or self.is_busy:
            return
        environ, keeps = self._waiting.popleft()
        if not self._waiting:
            self._transport.resume_reading()
        self._serve(environ, keeps)

    def _refuse(self, status: int) -> None:
        """Answer what is not HTTP, or too much of it, and close; after the answer that is under way."""
        self._is_last = True
        self._n_owed = 0
        self._waiting.clear()
        if self.is_busy:
            self._keeps = False
        elif not self._transport.is_closing():
            line = f"HTTP/1.1 {_REFUSALS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.server.post(self._transport, line.encode(), keeps=False)


def _field(name: bytes) -> str:
    """A field's name in the environ. One with an underscore is not read: it would pass for another there."""
    text = "" if b"_" in name else name.decode("latin-1").upper().replace("-", "_")
    if text and text not in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
        text = f"HTTP_{text}"
    if len(_names) < _MAX_NAMES:
        _names[name] = text
    return text


def _call(wsgi: "WSGIApplication", environ: "WSGIEnvironment") -> Response:
    """Call a WSGI application and keep its answer. Raises ValueError where a field has more than one line."""
    status, headers = "", []

    def start_response(line: str, fields: list[tuple[str, str]], _error: Any = None) -> Any:
        nonlocal status, headers
        status, headers = line, list(fields)
        return None

    parts = wsgi(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        getattr(parts, "close", bool)()
    if not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(body))))
    return Response(int(status[:3]), answers.wire(headers), body)
