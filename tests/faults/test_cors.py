"""Pages in a real Chromium call an API through the documented proxies; only preflights need no key."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.dataplane import LiveKey, make_gateway, make_live_key
from tests.faults.test_gateways import caddy, envoy, traefik
from tests.faults.test_nginx import running as nginx
from tests.proxies import DOCUMENTS, Api, Proxy, api_behind, nobody
from tests.serving import verifier

pytestmark = [pytest.mark.nginx, pytest.mark.fault, pytest.mark.django_db(transaction=True)]

DOCUMENTED: Final = "https://app.example.jp"
# Where the configuration says how preflights are answered, and what takes its place to let them pass.
ANSWERS: Final = {
    nginx: r"    location @preflight \{.*?\n    \}\n",
    caddy: r"\troute @preflight \{.*?\n\t\}\n",
    traefik: r"(?<=  routers:\n)",
    envoy: r"(?=              - match: \{ prefix: /catalog/, headers)",
}
FETCH: Final = """async ([url, method, headers]) => {
    try {
        const answer = await fetch(url, {method, headers});
        const body = await answer.text();
        return [answer.status, body, Object.fromEntries(answer.headers)];
    } catch (error) {
        return [0, error.name, {}];
    }
}"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Api, Api]]:
    """Two origins that serve pages: the one that is named, and another."""
    with api_behind() as named, api_behind() as other:
        yield named, other


def origin_of(host: Api) -> str:
    return f"http://127.0.0.1:{host.server_address[1]}"


@pytest.fixture(scope="module")
def kagiban(django_db_setup: None, hosts: tuple[Api, Api]) -> Iterator[int]:
    with verifier(ALLOWED_ORIGINS=origin_of(hosts[0])) as port:
        yield port


@pytest.fixture(scope="module")
def pages(hosts: tuple[Api, Api]) -> Iterator[list[Page]]:
    """A page of each host."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # as in tests/browser
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        found = []
        for host in hosts:
            found.append(browser.new_page())
            found[-1].goto(origin_of(host))
        yield found
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def fetch(page: Page, proxy: Proxy, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    """What the page's script gets: status, body, the fields that it may read; 0 where it may read nothing."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, body, fields = page.evaluate(
        FETCH, [f"http://127.0.0.1:{proxy.port}/catalog/posts", method, named]
    )
    return status, body, fields


def assert_only_preflights_need_no_key(proxy: Proxy, api: Api, origin: str) -> None:
    api.calls.clear()
    asks = {"Access_Control_Request_Method": "GET"}
    both = asks | {"Origin": origin}
    told = {"X_HTTP_Method_Override": "OPTIONS", "X_Forwarded_Method": "OPTIONS"}
    for method, fields in (
        ("OPTIONS", {}), ("OPTIONS", asks), ("OPTIONS", {"Origin": origin}), ("GET", both), ("POST", both),
        ("GET", both | told),
    ):  # fmt: skip
        reply = proxy.call(method=method, **fields)
        assert (reply.status, reply.code) == (401, "NO_KEY"), (method, fields)
    # Nor is there a preflight of what is not served.
    assert proxy.call("/elsewhere", "OPTIONS", Origin=origin).status in {401, 403, 404}
    assert api.calls == []


def assert_named_once(proxy: Proxy, origin: str, **headers: str) -> None:
    reply = proxy.call(Origin=origin, **headers)
    assert reply.headers["access-control-allow-origin"] == [origin], (reply.status, reply.headers)
    assert "access-control-allow-credentials" not in reply.headers


@pytest.fixture(params=ANSWERS, ids=lambda start: "nginx" if start is nginx else start.__name__)
def start(request: pytest.FixtureRequest) -> Callable[..., Any]:
    chosen: Callable[..., Any] = request.param
    return chosen


def gateway_for(start: Callable[..., Any]) -> str:
    return make_gateway(mode="nginx" if start is nginx else "standard")


def test_page_of_a_named_origin_calls_and_others_do_not(
    start: Callable[..., Any],
    tmp_path: Path,
    kagiban: int,
    api: Api,
    hosts: tuple[Api, Api],
    pages: list[Page],
) -> None:
    live, limited = make_live_key(rpm=500), make_live_key(rph=1)
    origin, page, stranger = origin_of(hosts[0]), *pages
    with start(tmp_path, kagiban, api, gateway_for(start), **{DOCUMENTED: origin}) as proxy:
        for key in ({"Authorization": f"Bearer {live.text}"}, {"X_API_Key": live.text}):
            assert fetch(page, proxy, **key)[:2] == (200, "ok")
            status, body, _ = fetch(page, proxy, "POST", Content_Type="application/json", **key)
            assert (status, body) == (200, "ok")
            assert fetch(stranger, proxy, **key)[0] == 0
        assert {method for method, _, _ in api.calls} == {"GET", "POST"}

        status, body, fields = fetch(page, proxy, Authorization="Bearer nobody's")
        assert (status, '"code":"MALFORMED"' in body) == (401, True)
        assert 'error="invalid_token"' in fields["www-authenticate"]
        assert fetch(page, proxy)[0] == 401  # a simple call, which no preflight comes before
        with_limited = {"Authorization": f"Bearer {limited.text}"}
        replies = [fetch(page, proxy, **with_limited) for _ in range(3)]
        status, body, fields = replies[-1]
        assert (status, '"code":"RATE_LIMITED_HOUR"' in body) == (429, True)
        assert 1 <= int(fields["retry-after"]) <= 3600
        assert "ratelimit" in fields
        assert fetch(stranger, proxy, **with_limited)[0] == 0

        assert_only_preflights_need_no_key(proxy, api, origin)
        assert_nothing_is_said_to(proxy, "null", live)
        assert_nothing_is_said_to(proxy, f"{origin}.evil.example", live)
        for name in ("https://api.example.jp", origin, "*"):
            api.fields = {"Access-Control-Allow-Origin": name}
            reply = proxy.with_key(live.text, Origin=origin)
            assert len(reply.headers["access-control-allow-origin"]) == 1
        assert_named_once(proxy, origin)


def test_page_reads_that_no_key_can_be_checked(
    start: Callable[..., Any], tmp_path: Path, api: Api, hosts: tuple[Api, Api], pages: list[Page]
) -> None:
    key = {"Authorization": f"Bearer {make_live_key().text}"}
    named = {DOCUMENTED: origin_of(hosts[0])}
    with nobody() as port, start(tmp_path, port, api, gateway_for(start), **named) as proxy:
        assert fetch(pages[0], proxy, **key)[0] >= 500
        assert fetch(pages[1], proxy, **key)[0] == 0
    assert api.calls == []


def assert_nothing_is_said_to(proxy: Proxy, origin: str, live: LiveKey) -> None:
    asks = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "authorization"}
    for reply in (
        proxy.call(method="OPTIONS", Origin=origin, **asks),
        proxy.call(Origin=origin),
        proxy.with_key(live.text, Origin=origin),
    ):
        assert "access-control-allow-origin" not in reply.headers, (reply.status, reply.headers)


def test_preflights_pass_to_an_api_that_answers_them(
    start: Callable[..., Any],
    tmp_path: Path,
    kagiban: int,
    api: Api,
    hosts: tuple[Api, Api],
    pages: list[Page],
) -> None:
    live, origin, page, stranger = make_live_key(rpm=500), origin_of(hosts[0]), *pages
    api.fields = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, X-API-Key",
    }
    # nginx writes its refusals itself; the others pass on what the verifier says of its own origins.
    named = {DOCUMENTED: origin} if start is nginx else {}
    with start(tmp_path, kagiban, api, gateway_for(start), **passing(start, api), **named) as proxy:
        forged = {"X_Key_Id": "KB-9999", "X_Partner": "PT-9999", "X_Scopes": "all", "X_Workspace": "WS-9999"}
        forged |= {"X_Acting_Workspace": "WS-9999", "X_Kagiban_Lease": "mine", "X_API_Key": live.text}
        asks = {"Origin": origin, "Access_Control_Request_Method": "GET"}
        reply = proxy.call(method="OPTIONS", Authorization=f"Bearer {live.text}", **asks, **forged)
        assert (reply.status, reply.headers["access-control-allow-methods"]) == (200, ["GET, POST"])
        ((method, _, fields),) = api.calls
        assert method == "OPTIONS"
        assert fields["access-control-request-method"] == "GET"
        unwanted = {name.lower().replace("_", "-") for name in forged} | {
            "authorization",
            "x-gateway-credential",
        }
        assert not {name for name in unwanted if fields.get(name)}

        assert fetch(page, proxy, Authorization=f"Bearer {live.text}")[:2] == (200, "ok")
        assert fetch(stranger, proxy, Authorization=f"Bearer {live.text}")[0] == 0
        status, body, _ = fetch(page, proxy, Authorization="Bearer nobody's")
        assert (status, '"code":"MALFORMED"' in body) == (401, True)
        assert_only_preflights_need_no_key(proxy, api, origin)
        assert_named_once(proxy, origin)
        assert_named_once(proxy, origin, Authorization=f"Bearer {live.text}")
        assert_named_once(proxy, origin, method="OPTIONS", Access_Control_Request_Method="GET")


def passing(start: Callable[..., Any], api: Api) -> dict[str, str]:
    """The document's change that lets preflights pass, as changes of its configuration."""
    name = "nginx" if start is nginx else start.__name__
    document = (DOCUMENTS / f"{name}.md").read_text()
    language = {"nginx": "nginx", "caddy": "caddyfile"}.get(name, "yaml")
    (change,) = re.findall(rf"```{language} preflight\n(.*?)```", document, re.DOTALL)
    change = change.replace("127.0.0.1:9000", f"127.0.0.1:{api.server_address[1]}")
    configuration = re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)[0]
    if name == "traefik":
        router, middleware = change.split("\n\n")
        return {
            "  routers:\n": f"  routers:\n{router}\n",
            "  middlewares:\n": f"  middlewares:\n{middleware}",
        }
    found = re.search(ANSWERS[start], configuration, re.DOTALL)
    assert found
    if found[0]:
        return {found[0]: change}
    first = configuration[found.start() :].partition("\n")[0]
    return {first: f"{change}{first}"}
