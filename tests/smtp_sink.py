"""A mail server on the loopback, which takes mails slowly or refuses them where a test wants it."""

import email
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import cast


@dataclass
class Sink:
    """What arrived. `seconds` is how long each mail takes; `refusals` maps an address to its SMTP answer."""

    port: int = 0
    seconds: float = 0.0
    refusals: dict[str, str] = field(default_factory=dict)
    after_data: str = "250 accepted"
    mails: list[EmailMessage] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    n_sessions: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @contextmanager
    def session(self) -> Iterator[None]:
        """Counts somebody who is being served: what was sent may be taken a moment after its sender died."""
        with self._lock:
            self.n_sessions += 1
        try:
            yield
        finally:
            with self._lock:
                self.n_sessions -= 1

    @property
    def ids(self) -> list[str]:
        """The uid part of each Message-ID, in order of arrival."""
        return [str(mail["Message-ID"]).strip("<>").partition("@")[0] for mail in self.mails]


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        sink = cast("_Server", self.server).sink
        with sink.session():
            self._serve(sink)

    def _serve(self, sink: Sink) -> None:
        self._say("220 sink")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"QUIT":
                self._say("221 bye")
                return
            if verb == b"DATA":
                self._say("354 go on")
                self._take(sink)
            elif verb == b"MAIL":
                sink.senders.append(line.decode().split("<", 1)[1].split(">", 1)[0])
                self._say("250 ok")
            elif verb == b"RCPT":
                address = line.decode().split("<", 1)[1].split(">", 1)[0]
                self._say(sink.refusals.get(address, "250 ok"))
            else:
                self._say("250 ok")

    def _take(self, sink: Sink) -> None:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        if line == b"":
            return  # the client died in the middle: no mail
        time.sleep(sink.seconds)
        if sink.after_data.startswith("250"):
            sink.mails.append(email.message_from_bytes(b"".join(lines), policy=default))
        self._say(sink.after_data)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    sink: Sink

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is what some tests are about."""


@contextmanager
def running() -> Iterator[Sink]:
    """A sink that listens while the block runs."""
    with _Server(("127.0.0.1", 0), _Session) as server:
        server.sink = Sink(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.sink
        finally:
            server.shutdown()
            thread.join()
