"""What stands around a real proxy in a test: the API behind it, a partner, a verifier that is away."""

import http.client
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.serving import ROOT, free_port, verifier

DOCUMENTS = ROOT / "docs" / "gateways"


class Api(ThreadingHTTPServer):
    """The partner's goal: notes every call that reaches it, and answers 200 with `fields`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.fields: dict[str, str] = {}
        super().__init__(("127.0.0.1", 0), _ApiHandler)


class _ApiHandler(BaseHTTPRequestHandler):
    server: Api

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.calls.append((self.command, self.path, headers | {"body": body.decode()}))
        # A 403 of the API's own must arrive as it is.
        self.send_response(403 if self.path.endswith("/own-403") else 200)
        self.send_header("Content-Length", "2")
        for name, value in self.server.fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = do_OPTIONS = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@dataclass
class Reply:
    """What a partner gets."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == ["application/problem+json"]
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        return str(problem["code"])


@contextmanager
def api_behind() -> Iterator[Api]:
    """An API that runs."""
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@dataclass
class Proxy:
    """A running proxy. `folder` holds all that it ever wrote, in `*.log`."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    port: int
    stop_signal: signal.Signals = signal.SIGTERM

    def call(self, path: str = "/catalog/posts", method: str = "GET", **headers: str) -> Reply:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = b"a post" if method == "POST" else None
        try:
            client.request(method, path, body=body, headers=named)
            response = client.getresponse()
            fields: dict[str, list[str]] = {}
            for name, value in response.getheaders():
                fields.setdefault(name.lower(), []).append(value)
            return Reply(response.status, fields, response.read())
        finally:
            client.close()

    def with_key(self, text: str, path: str = "/catalog/posts", method: str = "GET", **headers: str) -> Reply:
        return self.call(path, method, Authorization=f"Bearer {text}", **headers)

    def finish(self) -> str:
        """End it once its calls are done; what it logged, which it writes after it has answered."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        assert self.process.wait(20) == 0
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@contextmanager
def nobody() -> Iterator[int]:
    """A port where nothing listens."""
    yield free_port()


@contextmanager
def mute() -> Iterator[int]:
    """A server that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@contextmanager
def without_store() -> Iterator[int]:
    """A verifier that can't reach its hot store: for a gateway that wants no answer then."""
    with verifier(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0") as port:
        yield port
