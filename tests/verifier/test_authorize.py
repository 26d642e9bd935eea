"""`/v1/authorize`: what nginx, Traefik, Caddy, Envoy and APISIX get for their subrequests (V1, ANCHORS)."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from keys.secrets import form as secret_format
from keys.secrets import pasted
from tests.dataplane import (
    Answer,
    LiveKey,
    authorize,
    call,
    make_gateway,
    make_live_key,
    report,
    retire,
    verify,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def live() -> LiveKey:
    return make_live_key(rpm=2, rph=100, ip_ranges=["203.0.113.0/24"])


FROM = {"HTTP_X_FORWARDED_FOR": "10.0.0.1, 203.0.113.9"}
# What a gateway says that appends the caller's path, here of a call that needs nothing.
BELOW = {"HTTP_X_KAGIBAN_SCOPE": ""}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/authorize", "/v1/authorize/", "/v1/authorize/posts/7"])
def test_allowed_is_200_without_a_body_by_any_method_and_path(
    gateway: str, live: LiveKey, method: str, path: str
) -> None:
    answer = authorize(gateway, live.text, path, method=method, **BELOW, **FROM)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["X-Key-Id"] == live.key.public_id
    assert answer.headers["X-Partner"] == live.key.partner.public_id
    assert answer.headers["X-Scopes"] == "catalog:read catalog:write"
    assert answer.headers["RateLimit-Policy"] == '"minute";q=2;w=60, "hour";q=100;w=3600'
    assert answer.headers["RateLimit"].startswith('"minute";r=1;t=')


def test_key_may_come_in_x_api_key(gateway: str, live: LiveKey) -> None:
    assert authorize(gateway, HTTP_X_API_KEY=live.text, **FROM).status == 200


@pytest.mark.parametrize("around", [" {}", "{}\t ", "{}\r\n", "\u3000{}\u00a0", "\u2003{}"])
def test_white_space_around_a_key_counts_by_no_way_of_asking(gateway: str, around: str) -> None:
    live = make_live_key()
    text = around.format(live.text)
    field = text.replace("\r\n", " ").encode().decode("latin-1")
    assert verify(gateway, text).code == "VALID"
    assert authorize(gateway, field).status == 200
    assert authorize(gateway, HTTP_X_API_KEY=field).status == 200


@pytest.mark.parametrize(
    ("around", "told"),
    [
        ('"{}"', "quotation marks"),
        ("Bearer {}", "the word Bearer"),
        ("{}\u200b", "an invisible character (U+200B)"),
        ("「{}」", "quotation marks"),
    ],
)
def test_what_was_pasted_with_a_key_is_told_by_every_way_of_asking(
    gateway: str, live: LiveKey, around: str, told: str
) -> None:
    text = around.format(live.text)
    told = f"Found in it: {told}. Send the key alone."
    asked = verify(gateway, text)
    assert (asked.code, asked.json["detail"]) == ("MALFORMED", told)
    for fields in ({"HTTP_AUTHORIZATION": f"Bearer {text}"}, {"HTTP_X_API_KEY": text}):
        answer = authorize(
            gateway, **{name: value.encode().decode("latin-1") for name, value in fields.items()}
        )
        assert (problem(answer), answer.json["detail"]) == ((401, "MALFORMED"), told)
        assert answer.headers["WWW-Authenticate"].endswith(f'error_description="{told}"')
        assert live.text.encode() not in answer.body


def test_a_key_counts_beside_what_is_for_the_api_behind(gateway: str, live: LiveKey) -> None:
    jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    assert authorize(gateway, HTTP_AUTHORIZATION=jwt, HTTP_X_API_KEY=live.text, **FROM).status == 200
    assert authorize(gateway, live.text, HTTP_X_API_KEY="of another service", **FROM).status == 200
    assert problem(authorize(gateway, HTTP_AUTHORIZATION=jwt, **FROM)) == (401, "MALFORMED")


def test_two_different_keys_are_refused(gateway: str, live: LiveKey) -> None:
    for other in (make_live_key().text, secret_format.generate("kb", "live").text):
        answer = authorize(gateway, live.text, HTTP_X_API_KEY=other, **FROM)
        assert (problem(answer), answer.json["detail"]) == ((401, "MALFORMED"), pasted.TWO_KEYS)
    nginx = make_gateway(mode="nginx")
    assert authorize(nginx, live.text, HTTP_X_API_KEY=other, **FROM).status == 401


def test_a_key_in_basic_is_told_where_to_stand(gateway: str, live: LiveKey) -> None:
    basic = base64.b64encode(f"{live.text}:".encode()).decode()
    answer = authorize(gateway, HTTP_AUTHORIZATION=f"Basic {basic}", **FROM)
    assert (problem(answer), answer.json["detail"]) == ((401, "MALFORMED"), pasted.IN_BASIC)


def test_needs_are_told_in_the_query_that_the_gateway_configures(gateway: str, live: LiveKey) -> None:
    assert authorize(gateway, live.text, query="scope=catalog:read&scope=catalog:write", **FROM).status == 200
    refused = authorize(gateway, live.text, query="scope=catalog:admin", **FROM)
    assert problem(refused) == (403, "INSUFFICIENT_SCOPE")
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    typo = authorize(gateway, live.text, query="scopse=catalog:admin", **FROM)
    assert problem(typo) == (400, "BAD_REQUEST")


def test_needs_of_a_sub_path_come_in_fields_and_never_from_the_callers_query(
    gateway: str, live: LiveKey
) -> None:
    query: dict[str, Any] = {"path": "/v1/authorize/posts", "query": "scope=x&page=2"}
    assert authorize(gateway, live.text, **query, **BELOW, **FROM).status == 200
    needs = {"HTTP_X_KAGIBAN_SCOPE": "catalog:admin"}
    assert authorize(gateway, live.text, **query, **needs, **FROM).status == 403


@pytest.mark.parametrize("path", ["/v1/authorize/", "/v1/authorize//", "/v1/authorize/catalog/posts"])
def test_a_slash_too_many_does_not_switch_the_check_of_scopes_off(
    gateway: str, live: LiveKey, path: str
) -> None:
    answer = authorize(gateway, live.text, path, query="scope=catalog:admin", **FROM)
    assert problem(answer) == (400, "BAD_REQUEST")
    assert "slash too many" in answer.json["detail"]


def test_only_the_address_that_the_gateway_saw_counts(gateway: str, live: LiveKey) -> None:
    spoofed = {"HTTP_X_FORWARDED_FOR": "203.0.113.9, 198.51.100.1"}
    assert problem(authorize(gateway, live.text, **spoofed)) == (403, "IP_NOT_ALLOWED")
    assert problem(authorize(gateway, live.text)) == (403, "IP_NOT_ALLOWED")


def test_no_key_is_401_without_an_error_code(gateway: str) -> None:
    answer = authorize(gateway)
    assert problem(answer) == (401, "NO_KEY")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="kagiban"'


def test_wrong_key_is_invalid_token(gateway: str, live: LiveKey) -> None:
    stranger = secret_format.generate("kb", "live").text
    for text, code in ((live.text[:-1], "MALFORMED"), (stranger, "NOT_FOUND")):
        answer = authorize(gateway, text, **FROM)
        assert problem(answer) == (401, code)
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_limit_is_429_and_says_when_to_come_back(gateway: str, live: LiveKey) -> None:
    answers = [authorize(gateway, live.text, **FROM) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    last = answers[2]
    assert problem(last) == (429, "RATE_LIMITED_MINUTE")
    assert last.headers["RateLimit"].startswith('"minute";r=0;t=')
    left = int(last.headers["RateLimit"].split(";t=")[1].split(",")[0])
    assert int(last.headers["Retry-After"]) == left > 0
    # Only the limit that refused: of the hour there is enough left.
    assert "hour" not in last.headers["RateLimit"]


def test_nginx_gets_only_what_it_understands(live: LiveKey) -> None:
    nginx = make_gateway(mode="nginx")
    answers = [authorize(nginx, live.text, **FROM) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 403]
    assert answers[2].headers["X-Authz-Status"] == "429"
    assert answers[2].headers["Retry-After"]
    assert answers[2].json["status"] == 429
    assert authorize(nginx).status == 401


@pytest.mark.parametrize("field", ["HTTP_X_FORWARDED_URI", "HTTP_X_ORIGINAL_URI", "HTTP_X_ORIGINAL_URL"])
def test_key_in_a_url_is_refused_whatever_else_is_true(gateway: str, live: LiveKey, field: str) -> None:
    answer = authorize(gateway, live.text, **{field: f"/posts?api_key={live.text}"}, **FROM)
    assert problem(answer) == (403, "KEY_IN_URL")
    assert live.text.encode() not in answer.body


def test_key_in_a_url_is_seen_behind_percent_signs(gateway: str, live: LiveKey) -> None:
    encoded = live.text.replace("_", "%5F")
    again = encoded.replace("%", "%25")
    for text in (encoded, again, again.replace("%", "%25")):
        for told in ({"HTTP_X_ORIGINAL_URI": f"/p/{text}"}, {"query": f"scope={text}"}):
            assert problem(authorize(gateway, live.text, **told, **FROM)) == (403, "KEY_IN_URL")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path", ["/v1/keys/verify/{}", "/v1/keys/{}", "/v1/usage/{}", "/v1/{}", "/v1/openapi.json/{}"]
)
def test_a_key_in_any_path_is_told_to_whoever_asks(live: LiveKey, method: str, path: str) -> None:
    """Be it without a credential, and by a method that the endpoint does not know."""
    answer = call(path.format(live.text), method)
    assert (answer.status, answer.code) == (400, "KEY_IN_URL")
    assert live.text.encode() not in answer.body
    query = call(path.format(""), method, query=f"key={live.text}")
    assert (query.status, query.code) == (400, "KEY_IN_URL")


@pytest.mark.parametrize("name", ["workspace", "environment"])
def test_what_there_is_one_of_is_not_told_twice(gateway: str, live: LiveKey, name: str) -> None:
    answer = authorize(gateway, live.text, query=f"{name}=live&{name}=test", **FROM)
    assert problem(answer) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("query", ["catalog:admin", "scop=", "&scope=catalog:read&x", "scopes=catalog:read"])
def test_typo_in_the_query_makes_no_check_weaker(gateway: str, live: LiveKey, query: str) -> None:
    assert problem(authorize(gateway, live.text, query=query, **FROM)) == (400, "BAD_REQUEST")
    blank = "scope=&environment=&environment=live"
    assert authorize(gateway, live.text, query=blank, **FROM).status == 200


@pytest.mark.parametrize("is_below", [False, True])
def test_cost_and_lease_are_asked_and_reported_as_elsewhere(reporting: str, is_below: bool) -> None:
    live = make_live_key(monthly_budget_usd="1.00", concurrency=1)

    def ask(cost: str, lease: str) -> Answer:
        if not is_below:
            return authorize(reporting, live.text, query=f"cost_usd={cost}&lease_seconds={lease}", **FROM)
        told = BELOW | {"HTTP_X_KAGIBAN_COST_USD": cost, "HTTP_X_KAGIBAN_LEASE_SECONDS": lease}
        return authorize(reporting, live.text, "/v1/authorize/catalog/posts", **told, **FROM)

    held = ask("0.75", "600").headers["X-Kagiban-Lease"]
    told = ask("", "")
    assert problem(told) == (429, "CONCURRENCY_EXCEEDED")
    assert int(told.headers["Retry-After"]) > 500
    row = report(reporting, {"check": held, "status": 200, "cost_usd": "0.10"}).json["reports"][0]
    assert (row["lease"], row["cost"]) == ("released", "settled")
    assert ask("0.90", "1").status == 200
    for cost, lease in (("-1", ""), ("1 1", ""), ("x", ""), ("", "0"), ("", "3601"), ("", "1.5"), ("", "x")):
        assert problem(ask(cost, lease)) == (400, "BAD_REQUEST")


def test_check_that_names_a_cost_can_be_settled(gateway: str) -> None:
    live = make_live_key(monthly_budget_usd="1.00")
    assert "X-Kagiban-Lease" not in authorize(gateway, live.text, **FROM).headers
    held = authorize(gateway, live.text, query="cost_usd=1", **FROM).headers["X-Kagiban-Lease"]
    assert problem(authorize(gateway, live.text, **FROM)) == (429, "BUDGET_EXCEEDED")
    report(gateway, {"check": held, "status": 200, "cost_usd": "0.25"})
    assert authorize(gateway, live.text, query="cost_usd=0.75", **FROM).status == 200


def test_address_of_a_sub_path_is_the_one_that_the_gateway_names(gateway: str) -> None:
    here = make_live_key(ip_ranges=["203.0.113.0/24"])
    named = BELOW | {"HTTP_X_FORWARDED_FOR": "198.51.100.1", "HTTP_X_KAGIBAN_ADDRESS": "203.0.113.9"}
    assert authorize(gateway, here.text, "/v1/authorize/catalog/posts", **named).status == 200
    # Elsewhere a proxy passes on whatever fields the caller sent.
    assert authorize(gateway, here.text, **named).code == "IP_NOT_ALLOWED"
    unnamed = named | {"HTTP_X_KAGIBAN_ADDRESS": ""}
    assert authorize(gateway, here.text, "/v1/authorize/catalog/posts", **unnamed).code == "IP_NOT_ALLOWED"


def test_key_in_the_sub_path_or_its_query_is_refused(gateway: str, live: LiveKey) -> None:
    path = f"/v1/authorize/posts/{live.text}"
    assert problem(authorize(gateway, live.text, path, **FROM)) == (403, "KEY_IN_URL")
    query = f"api_key={live.text}"
    assert problem(authorize(gateway, live.text, "/v1/authorize/p", query=query, **FROM)) == (
        403,
        "KEY_IN_URL",
    )


def test_nobody_else_may_ask(live: LiveKey) -> None:
    for credential in ("", live.text, "kbg_live_x"):
        assert problem(authorize(credential, live.text, **FROM)) == (403, "UNKNOWN_GATEWAY")
    assert problem(call("/v1/authorized")) == (404, "NO_SUCH_ENDPOINT")


def test_retiring_key_says_when_it_ends(gateway: str, live: LiveKey) -> None:
    retire(live.key, timedelta(days=20))
    assert live.key.retiring_from is not None
    answer = authorize(gateway, live.text, **FROM)
    assert answer.headers["Deprecation"] == f"@{int(live.key.retiring_from.timestamp())}"
    assert answer.headers["Sunset"].endswith(" GMT")


def problem(answer: Answer) -> tuple[int, str]:
    """Status and code of a problem+json answer; the status stands in it, too."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.headers["X-Authz-Code"] == answer.code
    assert answer.json["type"].startswith("urn:kagiban:problem:")
    return answer.status, answer.code


@pytest.mark.parametrize(
    "written",
    ["203.0.113.9", "203.0.113.9:443", " 203.0.113.9:1 ", "::ffff:203.0.113.9", "[::ffff:203.0.113.9]:443"],
)
def test_an_address_counts_however_a_proxy_writes_it(gateway: str, written: str) -> None:
    bound = make_live_key(ip_ranges=["203.0.113.0/24"])
    assert authorize(gateway, bound.text, HTTP_X_FORWARDED_FOR=f"10.0.0.1, {written}").status == 200
    told = BELOW | {"HTTP_X_KAGIBAN_ADDRESS": written}
    assert authorize(gateway, bound.text, path="/v1/authorize/x", **told).status == 200
    assert verify(gateway, bound.text, ip=written).code == "VALID"


def test_what_is_no_address_is_no_address_with_a_port_either(gateway: str) -> None:
    bound = make_live_key()
    for written in ("203.0.113.9:", "203.0.113.9:70000", "[203.0.113.9]:443", "203.0.113.9:80:80"):
        assert verify(gateway, bound.text, ip=written).status == 400


def test_a_range_of_ipv6_lets_nobody_of_ipv4_in(gateway: str) -> None:
    """A row from before such a range was refused where it is written."""
    bound = make_live_key(ip_ranges=["::/64", "::fffe:0:0/95"])
    assert verify(gateway, bound.text, ip="203.0.113.9").code == "IP_NOT_ALLOWED"
    assert verify(gateway, bound.text, ip="::1").code == "VALID"
