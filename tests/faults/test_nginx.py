"""V9 for real: Debian's nginx with the configuration of docs/gateways/nginx.md before a real verifier."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from core.actors import SYSTEM
from keys.services.status import revoke_key
from tests.cast import make_staff
from tests.dataplane import LiveKey, make_gateway, make_live_key

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "gateways" / "nginx.md"
STARTS_WITHIN_S = 60

pytestmark = [pytest.mark.nginx, pytest.mark.django_db(transaction=True)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < end:
        assert process.poll() is None, "it ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
            continue
        return
    raise AssertionError("It did not start.")


@contextmanager
def verifier(**variables: str) -> Iterator[int]:
    """A verifier on this worker's database; its port."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    environment = {**os.environ, "DATABASE_URL": database.geturl(), "PYTHONWARNINGS": "ignore", **variables}
    port = free_port()
    command = [sys.executable, "-m", "config.verifier", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture(scope="module")
def verifier_port(django_db_setup: None) -> Iterator[int]:
    with verifier() as port:
        yield port


class Api(ThreadingHTTPServer):
    """The partner's goal: notes every call that reaches it, and answers 200."""

    daemon_threads = True

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, str]]] = []
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
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


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


@dataclass
class Nginx:
    """A running nginx, and all that it ever wrote."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    port: int

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
            self.process.send_signal(signal.SIGQUIT)
        assert self.process.wait(20) == 0
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


def configuration(changes: dict[str, str]) -> str:
    """The document's configuration with this test's addresses in place of the document's."""
    blocks = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 1
    text: str = blocks[0]
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextmanager
def running(folder: Path, kagiban: int, api: Api, credential: str, **changes: str) -> Iterator[Nginx]:
    """nginx with the document's configuration, between these servers."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert program, "There is no nginx here. Install it (Debian: nginx-light): this test needs the real one."
    port = free_port()
    secret = folder / "credential.conf"
    secret.write_text(f'proxy_set_header X-Gateway-Credential "{credential}";\n')
    secret.chmod(0o600)
    site = {
        "server 127.0.0.1:8001;": f"server 127.0.0.1:{kagiban};",
        "server 127.0.0.1:9000;": f"server 127.0.0.1:{api.server_address[1]};",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "/var/log/nginx/api.log": str(folder / "access.log"),
        "/etc/nginx/kagiban_credential.conf": str(secret),
        **changes,
    }
    temporary = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    # As root, nginx would give its workers to somebody who can't enter this folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder / 'nginx.pid'};\n"
        f"error_log {folder / 'error.log'} info;\nevents {{ }}\n"
        f"http {{\n{temporary}{configuration(site)}}}\n"
    )
    command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    nginx = Nginx(folder, subprocess.Popen(command), port)
    try:
        wait_for(port, nginx.process)
        yield nginx
    finally:
        nginx.finish()


@pytest.fixture
def nginx(tmp_path: Path, verifier_port: int, api: Api) -> Iterator[Nginx]:
    with running(tmp_path, verifier_port, api, make_gateway(mode="nginx")) as server:
        yield server


@pytest.fixture
def live() -> LiveKey:
    return make_live_key(ip_ranges=["127.0.0.1/32"], rpm=50)


def test_allowed_call_reaches_the_api_with_who_calls_and_without_the_key(
    nginx: Nginx, api: Api, live: LiveKey
) -> None:
    forged = {"X_Key_Id": "KB-9999", "X_Scopes": "everything", "X_Forwarded_For": "198.51.100.1"}
    reply = nginx.with_key(live.text, "/catalog/posts?page=2", "POST", **forged)
    assert (reply.status, reply.body) == (200, b"ok")
    assert reply.headers["ratelimit"][0].startswith('"minute";r=49;t=')
    assert "www-authenticate" not in reply.headers
    assert nginx.call(X_API_Key=live.text).status == 200

    (method, path, headers), (_, _, second) = api.calls
    assert (method, path, headers["body"]) == ("POST", "/catalog/posts?page=2", "a post")
    assert headers["x-key-id"] == second["x-key-id"] == live.key.public_id
    assert headers["x-partner"] == live.key.partner.public_id
    assert headers["x-workspace"] == live.key.workspace.public_id
    assert headers["x-scopes"] == "catalog:read catalog:write"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert live.text not in repr(api.calls)
    logs = nginx.finish()
    assert "POST /catalog/posts 200 " in logs
    assert f"key={live.key.public_id} " in logs
    assert live.text not in logs


def test_answers_of_the_api_itself_arrive_as_they_are(nginx: Nginx, live: LiveKey) -> None:
    reply = nginx.with_key(live.text, "/catalog/own-403")
    assert (reply.status, reply.body) == (403, b"ok")


def test_no_key_and_a_revoked_key_are_401(nginx: Nginx, api: Api, live: LiveKey) -> None:
    reply = nginx.call()
    assert (reply.status, reply.code) == (401, "NO_KEY")
    assert reply.headers["www-authenticate"] == ['Bearer realm="kagiban"']

    assert nginx.with_key(live.text).status == 200
    by = make_staff("Officer", "coo")
    revoke_key(
        actor=SYSTEM("test"), by=by, key=live.key, reason="leaked", note="",
        typed_number=live.key.public_id, now=timezone.now(),
    )  # fmt: skip
    reply = nginx.with_key(live.text)
    assert (reply.status, reply.code) == (401, "REVOKED")
    assert len(reply.headers["www-authenticate"]) == 1
    assert 'error="invalid_token"' in reply.headers["www-authenticate"][0]
    assert len(api.calls) == 1


def test_wrong_scope_is_403_and_a_location_that_names_none_is_closed(nginx: Nginx, api: Api) -> None:
    reader = make_live_key(scopes=["catalog:read"])
    assert nginx.with_key(reader.text).status == 200
    reply = nginx.with_key(reader.text, method="POST")
    assert (reply.status, reply.code) == (403, "INSUFFICIENT_SCOPE")
    assert reply.headers["www-authenticate"] == ['Bearer realm="kagiban", error="insufficient_scope"']
    reply = nginx.with_key(reader.text, "/elsewhere.html")
    assert (reply.status, reply.code) == (403, "INSUFFICIENT_SCOPE")
    assert len(api.calls) == 1
    # Nobody asks the verifier through the gateway itself.
    assert nginx.call("/_kagiban").status in {401, 404}


def test_address_is_the_one_that_nginx_saw(nginx: Nginx, api: Api) -> None:
    elsewhere = make_live_key(ip_ranges=["203.0.113.0/24"])
    reply = nginx.with_key(elsewhere.text, X_Forwarded_For="203.0.113.9")
    assert (reply.status, reply.code) == (403, "IP_NOT_ALLOWED")
    assert api.calls == []


def test_limit_is_429_again_and_says_when_to_come_back(nginx: Nginx) -> None:
    limited = make_live_key(rpm=2)
    # A new minute may begin in between, once.
    replies = [nginx.with_key(limited.text) for _ in range(5)]
    assert [reply.status for reply in replies[:2]] == [200, 200]
    refused = [reply for reply in replies if reply.status != 200]
    assert refused
    for reply in refused:
        assert (reply.status, reply.code) == (429, "RATE_LIMITED_MINUTE")
        assert 1 <= int(reply.headers["retry-after"][0]) <= 60
        assert reply.headers["ratelimit"][0].startswith('"minute";r=0;t=')
        assert reply.headers["ratelimit-policy"] == ['"minute";q=2;w=60']


@pytest.mark.parametrize(
    "path",
    [
        "/catalog/posts?api_key={}",
        "/catalog/{}/posts",
        pytest.param("/catalog/posts?api_key={escaped}", id="escaped"),
    ],
)
def test_key_in_the_url_is_refused_and_written_nowhere(
    nginx: Nginx, api: Api, live: LiveKey, path: str
) -> None:
    reply = nginx.with_key(live.text, path.format(live.text, escaped=live.text.replace("_", "%5F")))
    assert (reply.status, reply.code) == (403, "KEY_IN_URL")
    assert api.calls == []
    logs = nginx.finish()
    assert "GET (hidden) 403 " in logs
    assert "code=KEY_IN_URL" in logs
    assert live.text.rpartition("_")[2] not in logs


def test_verifier_refuses_a_key_in_the_url_where_nginx_did_not_look(
    tmp_path: Path, verifier_port: int, api: Api, live: LiveKey
) -> None:
    blind = {"if ($kagiban_key_in_url) {": 'if ($kagiban_key_in_url = "no longer looked at") {'}
    with running(tmp_path, verifier_port, api, make_gateway(mode="nginx"), **blind) as nginx:
        reply = nginx.with_key(live.text, f"/catalog/posts?api_key={live.text}")
        assert (reply.status, reply.code) == (403, "KEY_IN_URL")
    assert api.calls == []


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


@pytest.mark.parametrize("away", [nobody, mute, without_store])
def test_nothing_passes_while_no_key_can_be_checked(
    tmp_path: Path, api: Api, live: LiveKey, away: Callable[[], Any]
) -> None:
    credential = make_gateway(mode="nginx", fail_policy="closed")
    with away() as port, running(tmp_path, port, api, credential) as nginx:
        reply = nginx.with_key(live.text)
        assert (reply.status, reply.code) == (503, "UNAVAILABLE")
        assert reply.headers["retry-after"] == ["1"]
        assert nginx.with_key(live.text, f"/catalog/posts?api_key={live.text}").status == 403
        logs = nginx.finish()
    assert live.text not in logs
    # Only a verifier that is there can say so itself, as a 403 that becomes a 503 again.
    assert ("code=UNAVAILABLE" in logs) is (away is without_store)
    assert api.calls == []


def test_gateways_own_mistakes_are_503_and_never_the_partners_fault(
    tmp_path: Path, verifier_port: int, api: Api, live: LiveKey
) -> None:
    typo = {"&environment=live": "&enviroment=live"}
    mistakes: list[tuple[str, dict[str, str], str]] = [
        (make_gateway(mode="nginx"), typo, "BAD_REQUEST"),
        (make_gateway(mode="nginx", is_active=False), {}, "UNAVAILABLE"),
    ]
    for number, (credential, changes, code) in enumerate(mistakes):
        folder = tmp_path / str(number)
        folder.mkdir()
        with running(folder, verifier_port, api, credential, **changes) as nginx:
            reply = nginx.with_key(live.text)
            assert (reply.status, reply.code) == (503, code)
    assert api.calls == []


def test_limit_of_a_gateway_in_the_wrong_mode_lets_nothing_through(
    tmp_path: Path, verifier_port: int, api: Api
) -> None:
    limited = make_live_key(rph=1)
    with running(tmp_path, verifier_port, api, make_gateway()) as nginx:
        assert nginx.with_key(limited.text).status == 200
        assert nginx.with_key(limited.text).status == 503
    assert len(api.calls) == 1
