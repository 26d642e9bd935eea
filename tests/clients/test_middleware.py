"""The client's middlewares in real applications: Django (threads and event loop), Starlette, plain WSGI."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from kagiban_client import Client, Guard, Needs, asgi
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from keys.secrets import form as secret_format
from tests.clients.sites import Site, of_async_django, of_django, of_starlette, of_wsgi
from tests.dataplane import LiveKey, make_gateway, make_live_key, retire

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime.now(UTC)
SITES = {"wsgi": of_wsgi, "starlette": of_starlette, "django": of_django, "async django": of_async_django}


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest) -> Site:
    return SITES[request.param]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, make_gateway(), timeout=30) as made:
        yield made


@pytest.fixture
def away(nowhere: str) -> Iterator[Client]:
    with Client(nowhere, "kbg_live_x") as made:
        yield made


def bearer(live: LiveKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {live.text}"}


def test_good_key_passes_and_the_api_knows_whose(site: Site, client: Client) -> None:
    live = make_live_key(rpm=10, ip_ranges=["203.0.113.0/24"])
    retire(live.key, timedelta(days=20))
    told = site(Guard(client, needs=Needs(scopes=["catalog:read"])), "/posts", bearer(live))
    assert (told.status, told.json) == (200, {"key": live.key.public_id, "code": "VALID"})
    fields = {name.lower(): value for name, value in told.headers.items()}
    assert fields["ratelimit-policy"] == '"minute";q=10;w=60'
    assert fields["ratelimit"].startswith('"minute";r=9;t=')
    assert fields["deprecation"].startswith("@")
    assert fields["sunset"].endswith("GMT")


def test_key_may_come_in_x_api_key(site: Site, client: Client) -> None:
    live = make_live_key()
    assert site(Guard(client), "/posts", {"X-API-Key": live.text}).status == 200


def test_a_key_counts_whatever_stands_in_the_other_field(site: Site, client: Client) -> None:
    live, other = make_live_key(), make_live_key()
    jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    assert site(Guard(client), "/posts", {"X-API-Key": f" {live.text} ", "Authorization": jwt}).status == 200
    assert site(Guard(client), "/posts", {"X-API-Key": "x", **bearer(live)}).status == 200
    assert site(Guard(client), "/posts", {"X-API-Key": live.text, **bearer(live)}).status == 200
    two = site(Guard(client), "/posts", {"X-API-Key": other.text, **bearer(live)})
    assert (two.status, two.json["code"]) == (401, "MALFORMED")
    neither = site(Guard(client), "/posts", {"Authorization": jwt})
    assert (neither.status, neither.json["code"]) == (401, "MALFORMED")


@pytest.mark.parametrize(
    ("headers", "code", "challenge"),
    [
        ({}, "NO_KEY", 'Bearer realm="api"'),
        ({"Authorization": "Basic eDp5"}, "NO_KEY", 'Bearer realm="api"'),
        ({"Authorization": "Bearer x"}, "MALFORMED", 'Bearer realm="api", error="invalid_token", '),
        ({"X-API-Key": "kb_live_x"}, "MALFORMED", 'Bearer realm="api", error="invalid_token", '),
    ],
)
def test_who_has_no_key_is_told_how_to_send_one(
    site: Site, away: Client, headers: dict[str, str], code: str, challenge: str
) -> None:
    told = site(
        Guard(away), "/posts", {name: value.encode().decode("latin-1") for name, value in headers.items()}
    )
    fields = {name.lower(): value for name, value in told.headers.items()}
    assert (told.status, told.json["code"], told.json["status"]) == (401, code, 401)
    assert fields["content-type"] == "application/problem+json"
    assert fields["cache-control"] == "no-store"
    assert fields["www-authenticate"].startswith(challenge)


@pytest.mark.parametrize(
    ("fields", "needs", "status", "code", "name", "value"),
    [
        (
            {"status": "suspended", "suspended_at": NOW},
            {},
            401,
            "SUSPENDED",
            "www-authenticate",
            'error="invalid_token"',
        ),
        (
            {},
            {"scopes": ["orders:write"]},
            403,
            "INSUFFICIENT_SCOPE",
            "www-authenticate",
            "insufficient_scope",
        ),
        ({"ip_ranges": ["198.51.100.0/24"]}, {}, 403, "IP_NOT_ALLOWED", "content-type", "problem+json"),
        ({"burst": 1, "rpm": 1}, {}, 429, "RATE_LIMITED_MINUTE", "ratelimit", '"minute";r=0;t='),
    ],
)
def test_refusals(
    site: Site, client: Client, fields: dict[str, Any], needs: dict[str, Any], status: int, code: str,
    name: str, value: str,
) -> None:  # fmt: skip
    live = make_live_key(**fields)
    guard = Guard(client, needs=Needs(**needs))
    if status == 429:
        assert client.verify(live.text)
    told = site(guard, "/posts", bearer(live))
    told_fields = {name.lower(): value for name, value in told.headers.items()}
    assert (told.status, told.json["code"]) == (status, code)
    assert value in told_fields[name]
    assert (int(told_fields["retry-after"]) > 0) if status == 429 else "retry-after" not in told_fields


def test_key_in_the_url_is_refused_whatever_else_is_sent(site: Site, client: Client) -> None:
    live = make_live_key()
    encoded = live.text.replace("_", "%5F")
    for place in (f"/posts?key={live.text}", f"/posts/{live.text}", f"/posts?key={encoded}"):
        told = site(Guard(client), place, bearer(live))
        assert (told.status, told.json["code"]) == (403, "KEY_IN_URL")
        assert live.text.encode() not in told.body


def test_nobody_passes_while_nobody_can_say(site: Site, away: Client) -> None:
    told = site(Guard(away), "/posts", {"X-API-Key": secret_format.generate("kb", "live").text})
    assert (told.status, told.json["code"]) == (503, "UNAVAILABLE")
    assert {name.lower(): value for name, value in told.headers.items()}["retry-after"] == "1"


def test_who_wants_it_stays_open_meanwhile(site: Site, nowhere: str) -> None:
    with Client(nowhere, "kbg_live_x", when_unavailable="allow") as client:
        told = site(Guard(client), "/posts", {"X-API-Key": secret_format.generate("kb", "live").text})
        assert (told.status, told.json) == (200, {"key": None, "code": "UNAVAILABLE"})


def test_wrong_credential_shuts_and_is_logged(site: Site, url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Client(url, "kbg_live_nobody", timeout=30, when_unavailable="allow") as client:
        told = site(Guard(client), "/posts", {"X-API-Key": secret_format.generate("kb", "live").text})
    assert told.status == 503
    assert "does not know this gateway's credential" in caplog.text


def path_of(request: Any) -> str:
    """Where a request goes, by any of the frameworks."""
    if isinstance(request, dict):
        return str(request.get("PATH_INFO") or request["path"])
    return str(request.path)


def test_needs_and_address_may_depend_on_the_request(site: Site, client: Client) -> None:
    live = make_live_key(ip_ranges=["198.51.100.0/24"])
    guard = Guard(
        client,
        needs=lambda request: (
            None if path_of(request).endswith("/health") else Needs(scopes=["catalog:read"])
        ),
        address=lambda request: "198.51.100.7" if path_of(request).endswith("/posts") else None,
    )
    assert site(guard, "/health", {}).json == {"key": None, "code": None}
    assert site(guard, "/posts", bearer(live)).status == 200
    assert site(guard, "/other", bearer(live)).json["code"] == "IP_NOT_ALLOWED"


def _always(text: str, _request: object) -> str:
    return text


def test_an_address_from_a_field_may_have_a_port(site: Site, client: Client) -> None:
    live = make_live_key(ip_ranges=["203.0.113.0/24", "2001:db8::/32"])
    for text in ("203.0.113.9:443", " 203.0.113.9", "[2001:db8::9]:443", "[2001:db8::9]"):
        guard = Guard(client, address=partial(_always, text))
        assert site(guard, "/posts", bearer(live)).status == 200


def test_caller_without_an_address_may_use_keys_that_are_bound_to_none(site: Site, client: Client) -> None:
    free, bound = make_live_key(), make_live_key(ip_ranges=["203.0.113.0/24"])
    for text in ("unix", "", "203.0.113", "203.0.113.9:", "[203.0.113.9]:443"):
        guard = Guard(client, address=partial(_always, text))
        assert site(guard, "/posts", bearer(free)).status == 200
        assert site(guard, "/posts", bearer(bound)).json["code"] == "IP_NOT_ALLOWED"


def test_websockets_are_refused_before_they_open(client: Client) -> None:
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.state.kagiban.key)
        await socket.close()

    live = make_live_key()
    app = Starlette(
        routes=[WebSocketRoute("/talk", talk)], middleware=[Middleware(asgi.Middleware, guard=Guard(client))]
    )
    with TestClient(app) as http:
        with pytest.raises(WebSocketDenialResponse) as caught, http.websocket_connect("/talk"):
            pass
        assert (caught.value.status_code, caught.value.json()["code"]) == (401, "NO_KEY")
        with http.websocket_connect("/talk", headers=bearer(live)) as socket:
            assert socket.receive_text() == live.key.public_id
            with pytest.raises(WebSocketDisconnect):
                socket.receive_text()
        assert http.portal
        http.portal.call(client.aclose)


def test_cors_middleware_outside_answers_preflights_and_lets_pages_read_refusals(client: Client) -> None:
    origin = {"Origin": "https://app.example.jp"}
    asks = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key"}
    outside = Middleware(
        CORSMiddleware, allow_origins=[origin["Origin"]], allow_headers=["X-API-Key"],
        expose_headers=["Retry-After"],
    )  # fmt: skip
    inside = Middleware(asgi.Middleware, guard=Guard(client))
    with TestClient(Starlette(middleware=[outside, inside])) as http:
        allowed = http.options("/posts", headers=asks)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (
            200,
            origin["Origin"],
        )
        refused = http.get("/posts", headers=origin)
        assert (refused.status_code, refused.json()["code"]) == (401, "NO_KEY")
        assert refused.headers["access-control-allow-origin"] == origin["Origin"]
        assert refused.headers["access-control-expose-headers"] == "Retry-After"
        assert http.options("/posts").status_code == 401
    with TestClient(Starlette(middleware=[inside])) as http:
        assert http.options("/posts", headers=asks).status_code == 401
