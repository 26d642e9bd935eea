"""A page of an allowed origin may read why a call was refused; nothing else of `/v1/authorize` changes."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tests.dataplane import Answer, LiveKey, authorize, call, make_gateway, make_live_key, store_away, verify
from verifier.api import cors
from verifier.contract.codes import Code
from verifier.decide.warm import Verdict
from verifier.loop import quick

pytestmark = pytest.mark.django_db

APP = "https://app.example.jp"
NAMES = {"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"}


@pytest.fixture
def allowed(settings: Settings) -> None:
    settings.ALLOWED_ORIGINS = ["HTTPS://App.Example.JP:443/", "https://other.example.jp", "*", "null"]


def cors_of(answer: Answer) -> dict[str, str]:
    names = {name for name in answer.headers if name.startswith("Access-Control-") or name == "Vary"}
    return {name: answer.headers[name] for name in names}


def refusals(gateway: str, **fields: str) -> list[tuple[Answer, int]]:
    """One refusal of each kind."""
    reader, limited = make_live_key(scopes=["catalog:read"]), make_live_key(rph=1)
    authorize(gateway, limited.text)
    return [
        (authorize(gateway, **fields), 401),
        (authorize(gateway, "kb_live_x", **fields), 401),
        (authorize(gateway, reader.text, query="scope=catalog:write", **fields), 403),
        (authorize(gateway, reader.text, HTTP_X_ORIGINAL_URI=f"/?k={reader.text}", **fields), 403),
        (authorize(gateway, limited.text, **fields), 429),
    ]


@pytest.mark.usefixtures("allowed")
def test_refusals_may_be_read_by_pages_of_an_allowed_origin(gateway: str) -> None:
    for origin in (APP, "https://other.example.jp"):
        for answer, status in refusals(gateway, HTTP_ORIGIN=origin):
            assert answer.status == status
            assert cors_of(answer) == {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Expose-Headers": cors.EXPOSED,
                "Vary": "Origin",
            }


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "*", "HTTPS://APP.EXAMPLE.JP", f"{APP}:443", f"{APP}.evil.example",
     f"{APP},https://evil.example", f"{APP}/", ""],
)  # fmt: skip
def test_pages_of_other_origins_read_nothing(gateway: str, origin: str) -> None:
    for answer, status in refusals(gateway, HTTP_ORIGIN=origin):
        assert (answer.status, cors_of(answer)) == (status, {})


def test_without_allowed_origins_an_origin_changes_nothing(gateway: str) -> None:
    plain, told = refusals(gateway), refusals(gateway, HTTP_ORIGIN=APP)
    for (before, _), (after, _) in list(zip(plain, told, strict=True))[:-1]:
        assert before == after
    assert cors_of(told[-1][0]) == {}


@pytest.mark.usefixtures("allowed")
def test_where_the_api_answers_its_own_fields_count(gateway: str, live: LiveKey) -> None:
    answer = authorize(gateway, live.text, HTTP_ORIGIN=APP)
    assert (answer.status, cors_of(answer)) == (200, {})


@pytest.mark.usefixtures("allowed")
def test_no_preflight_is_answered_here(gateway: str) -> None:
    """Which method the page calls with only the proxy sees: a field would be a way around the key."""
    told = {"HTTP_ORIGIN": APP, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
    told |= {"HTTP_X_FORWARDED_METHOD": "OPTIONS", "HTTP_X_ORIGINAL_METHOD": "OPTIONS"}
    assert authorize(gateway, method="OPTIONS", **told).status == 401


@pytest.mark.usefixtures("allowed")
def test_other_paths_are_for_gateways_and_not_for_pages(gateway: str) -> None:
    assert cors_of(verify(gateway, "kb_live_x")) == {}
    assert cors_of(call("/v1/keys/verify", "POST", HTTP_ORIGIN=APP)) == {}


@pytest.mark.usefixtures("allowed")
def test_a_verifier_without_its_store_says_so_to_pages_too(settings: Any) -> None:
    closed = make_gateway(fail_policy="closed", mode="nginx")
    with store_away(settings):
        answer = authorize(closed, make_live_key().text, HTTP_ORIGIN=APP)
    assert (answer.status, answer.headers["X-Authz-Status"]) == (403, "503")
    assert cors_of(answer)["Access-Control-Allow-Origin"] == APP


@pytest.fixture
def live() -> LiveKey:
    return make_live_key()


class Way:
    """Knows no store: what it is asked for is only looked at."""

    def pipe(self, _key_id: bytes) -> Any:
        class Pipe:
            run = b"run"

        return Pipe()


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("mode", ["standard", "nginx"])
def test_the_event_loop_says_the_same(live: LiveKey, mode: str) -> None:
    credential = make_gateway(mode=mode)
    authorize(credential, live.text)  # the gateway is known from here on
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/v1/authorize", "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_GATEWAY_CREDENTIAL": credential, "HTTP_AUTHORIZATION": f"Bearer {live.text}",
        "HTTP_ORIGIN": APP,
    }  # fmt: skip
    way: Any = Way()
    check = quick.begin(environ, way)
    assert isinstance(check, tuple)
    fields = cors.fields_for(environ)
    for response in (check[4](Verdict(Code.RATE_LIMITED_MINUTE, retry=3)), quick.too_many(check)):
        assert response.fields.count(fields) == 1
        assert (b"X-Authz-Status" in response.fields) is (mode == "nginx")
    malformed = quick.begin({**environ, "HTTP_AUTHORIZATION": "Bearer x"}, way)
    assert not isinstance(malformed, tuple)
    assert malformed is not None
    assert fields in malformed.fields
    plain = quick.begin({name: text for name, text in environ.items() if name != "HTTP_ORIGIN"}, way)
    assert isinstance(plain, tuple)
    assert b"Access-Control" not in quick.too_many(plain).fields
