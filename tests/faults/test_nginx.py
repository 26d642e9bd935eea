"""V9 for real: Debian's nginx with the configuration of docs/gateways/nginx.md before a real verifier."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from core.actors import SYSTEM
from keys.status.services import revoke_key
from tests.cast import make_staff
from tests.dataplane import LiveKey, make_gateway, make_live_key
from tests.proxies import DOCUMENTS, Api, Proxy, mute, nobody, without_store
from tests.serving import free_port, wait_for

DOCUMENT = DOCUMENTS / "nginx.md"

pytestmark = [pytest.mark.nginx, pytest.mark.django_db(transaction=True)]


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
def running(folder: Path, kagiban: int, api: Api, credential: str, **changes: str) -> Iterator[Proxy]:
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
    nginx = Proxy(folder, subprocess.Popen(command), port, signal.SIGQUIT)
    try:
        wait_for(port, nginx.process)
        yield nginx
    finally:
        nginx.finish()


@pytest.fixture
def nginx(tmp_path: Path, verifier_port: int, api: Api) -> Iterator[Proxy]:
    with running(tmp_path, verifier_port, api, make_gateway(mode="nginx", reports_ends=True)) as server:
        yield server


@pytest.mark.parametrize("path", ["/catalog/../orders", "/catalog/..%2forders", "/catalog/%2e%2e/orders"])
def test_who_may_read_the_catalogue_gets_nowhere_else_by_two_dots(
    nginx: Proxy, api: Api, live: LiveKey, path: str
) -> None:
    assert nginx.with_key(live.text, path).status == 403
    assert api.calls == []


def test_allowed_call_reaches_the_api_with_who_calls_and_without_the_key(
    nginx: Proxy, api: Api, live: LiveKey
) -> None:
    forged = {"X_Key_Id": "KB-9999", "X_Scopes": "everything", "X_Forwarded_For": "198.51.100.1"}
    forged |= {"X_Acting_Workspace": "WS-9999", "X_Kagiban_Lease": "mine"}
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
    assert not {"x-acting-workspace", "x-kagiban-lease"} & headers.keys()
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert live.text not in repr(api.calls)
    logs = nginx.finish()
    assert "POST /catalog/posts 200 " in logs
    assert f"key={live.key.public_id} " in logs
    assert live.text not in logs


def test_answers_of_the_api_itself_arrive_as_they_are(nginx: Proxy, live: LiveKey) -> None:
    reply = nginx.with_key(live.text, "/catalog/own-403")
    assert (reply.status, reply.body) == (403, b"ok")


def test_api_is_told_the_id_to_report_the_calls_end_with(nginx: Proxy, api: Api) -> None:
    held = make_live_key(concurrency=2)
    assert nginx.with_key(held.text, X_Kagiban_Lease="mine").status == 200
    assert len(api.calls[0][2]["x-kagiban-lease"]) > 40


def test_a_dozen_calls_within_a_second_pass_with_the_forms_defaults(
    tmp_path: Path, verifier_port: int, api: Api
) -> None:
    """nginx can't say when a call has ended, so no place is held for it (V7)."""
    usual = make_live_key(rpm=100, rph=1_000, burst=20, concurrency=10)
    with running(tmp_path, verifier_port, api, make_gateway(mode="nginx")) as nginx:
        assert [nginx.with_key(usual.text).status for _ in range(12)] == [200] * 12


def test_no_key_and_a_revoked_key_are_401(nginx: Proxy, api: Api, live: LiveKey) -> None:
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


def test_wrong_scope_is_403_and_a_location_that_names_none_is_closed(nginx: Proxy, api: Api) -> None:
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


def test_address_is_the_one_that_nginx_saw(nginx: Proxy, api: Api) -> None:
    elsewhere = make_live_key(ip_ranges=["203.0.113.0/24"])
    reply = nginx.with_key(elsewhere.text, X_Forwarded_For="203.0.113.9")
    assert (reply.status, reply.code) == (403, "IP_NOT_ALLOWED")
    assert api.calls == []


def test_limit_is_429_again_and_says_when_to_come_back(nginx: Proxy) -> None:
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
    nginx: Proxy, api: Api, live: LiveKey, path: str
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
