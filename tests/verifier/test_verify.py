"""`POST /v1/keys/verify`: V1's contract, V2's order and codes."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.logs import JsonFormatter
from keys.hotstore import client as hotwire
from keys.hotstore import publish as hotstore
from keys.models import Key, Secret
from keys.secrets import form as secret_format
from tests.dataplane import LiveKey, add_secret, authorize, call, change, make_live_key, retire, verify
from verifier.contract import question
from verifier.contract.codes import Code

pytestmark = pytest.mark.django_db


@pytest.fixture
def live() -> LiveKey:
    return make_live_key(
        ip_ranges=["203.0.113.0/24", "2001:db8::/32"],
        model_names=["small"],
        feature_names=["search"],
        rpm=100,
        rph=1_000,
    )


INSIDE = {"ip": "203.0.113.9"}


def test_valid_key_is_told_who_it_is_and_what_is_left(gateway: str, live: LiveKey) -> None:
    answer = verify(gateway, live.text, ip="203.0.113.9", scope="catalog:read", environment="live")
    assert answer.status == 200
    data = answer.json
    assert data["valid"] is True
    assert data["code"] == "VALID"
    assert data["key"] == live.key.public_id
    assert data["partner"] == live.key.partner.public_id
    assert data["workspace"] == live.key.workspace.public_id
    assert data["scopes"] == ["catalog:read", "catalog:write"]
    assert data["remaining"] == {"minute": 99, "hour": 999, "budget_usd": None}
    assert data["limits"]["minute"] == 100
    assert data["expires_at"].startswith(live.key.expires_at.date().isoformat())
    assert answer.headers["RateLimit-Policy"] == '"minute";q=100;w=60, "hour";q=1000;w=3600'
    assert answer.headers["RateLimit"].startswith('"minute";r=99;t=')
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert live.text.encode() not in answer.body
    assert live.text.split("_")[3].encode() not in answer.body


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (INSIDE | {"environment": "test"}, Code.WRONG_ENVIRONMENT),
        (INSIDE | {"environment": "production"}, Code.WRONG_ENVIRONMENT),
        (INSIDE | {"workspace": "WS-9999"}, Code.WRONG_WORKSPACE),
        ({"ip": "203.0.114.1"}, Code.IP_NOT_ALLOWED),
        ({"ip": "2001:db9::1"}, Code.IP_NOT_ALLOWED),
        ({}, Code.IP_NOT_ALLOWED),
        (INSIDE | {"scope": "catalog:admin"}, Code.INSUFFICIENT_SCOPE),
        (INSIDE | {"scope": "catalog:rea"}, Code.INSUFFICIENT_SCOPE),
        (INSIDE | {"scopes": ["catalog:read", "orders:read"]}, Code.INSUFFICIENT_SCOPE),
        (INSIDE | {"model": "large"}, Code.MODEL_NOT_ALLOWED),
        (INSIDE | {"feature": "export"}, Code.FEATURE_NOT_ALLOWED),
        (INSIDE | {"features": ["search", "export"]}, Code.FEATURE_NOT_ALLOWED),
        (INSIDE | {"scopes": ["catalog:read", "catalog:write"], "model": "small"}, Code.VALID),
        ({"ip": "2001:db8::7", "feature": "search"}, Code.VALID),
        ({"ip": "::ffff:203.0.113.7", "workspace": ""}, Code.VALID),
    ],
)
def test_context_is_checked(gateway: str, live: LiveKey, question: dict[str, Any], code: Code) -> None:
    for _ in ("cold", "warm"):
        assert verify(gateway, live.text, **question).code == code


@pytest.mark.parametrize("name", ["public_id", "code"])
def test_workspace_may_be_named_by_number_or_code(gateway: str, live: LiveKey, name: str) -> None:
    workspace = getattr(live.key.workspace, name)
    assert verify(gateway, live.text, **INSIDE, workspace=workspace).code == "VALID"


def suspended(live: LiveKey) -> None:
    change(live.key, status="suspended", suspended_at=timezone.now())


def revoked(live: LiveKey) -> None:
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=timezone.now())


def expired_by_sweep(live: LiveKey) -> None:
    change(live.key, status="expired", ended_at=timezone.now())


def expired_by_date(live: LiveKey) -> None:
    now = timezone.now()
    change(live.key, issued_at=now - timedelta(days=9), expires_at=now - timedelta(seconds=1))


def secret_revoked(live: LiveKey) -> None:
    Secret.objects.update(status="revoked")
    change(live.key)


def secret_retired(live: LiveKey) -> None:
    Secret.objects.update(status="retired")
    change(live.key)


def overlap_over(live: LiveKey) -> None:
    Secret.objects.update(status="overlap", ends_at=timezone.now() - timedelta(seconds=1))
    change(live.key)


def pending(live: LiveKey) -> None:
    change(live.key, status="pending")


def workspace_closed(live: LiveKey) -> None:
    live.key.workspace.is_active = False
    live.key.workspace.save(update_fields=["is_active"])
    change(live.key)


@pytest.mark.parametrize(
    ("happen", "code"),
    [
        (pending, Code.PENDING),
        (suspended, Code.SUSPENDED),
        (workspace_closed, Code.SUSPENDED),
        (revoked, Code.REVOKED),
        (secret_revoked, Code.REVOKED),
        (expired_by_sweep, Code.EXPIRED),
        (expired_by_date, Code.EXPIRED),
        (secret_retired, Code.EXPIRED),
        (overlap_over, Code.EXPIRED),
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_status_comes_before_everything_but_form(
    gateway: str, live: LiveKey, happen: Callable[[LiveKey], None], code: Code, warm: bool
) -> None:
    if warm:
        assert verify(gateway, live.text, **INSIDE).code == "VALID"
    happen(live)
    if warm:
        assert hotstore.publish_key(live.key.public_id)
    for _ in range(2):
        answer = verify(gateway, live.text, ip="198.51.100.1", environment="dev", scope="no:such")
        assert answer.status == 200
        assert answer.json["valid"] is False
        assert answer.code == code


def test_order_within_the_context(gateway: str, live: LiveKey) -> None:
    wrong: dict[str, Any] = {
        "environment": "dev",
        "workspace": "WS-9999",
        "ip": "198.51.100.1",
        "scope": "no:such",
        "model": "large",
        "feature": "export",
    }
    right: dict[str, Any] = {
        "environment": "live",
        "workspace": live.key.workspace.code,
        "ip": "203.0.113.1",
        "scope": "catalog:read",
        "model": "small",
        "feature": "search",
    }
    seen = [verify(gateway, live.text, **wrong).code]
    for name, value in right.items():
        wrong[name] = value
        seen.append(verify(gateway, live.text, **wrong).code)
    assert seen == [
        "WRONG_ENVIRONMENT",
        "WRONG_WORKSPACE",
        "IP_NOT_ALLOWED",
        "INSUFFICIENT_SCOPE",
        "MODEL_NOT_ALLOWED",
        "FEATURE_NOT_ALLOWED",
        "VALID",
    ]


def test_malformed_and_unknown_keys(gateway: str, live: LiveKey) -> None:
    typo = live.text[:-1] + ("a" if live.text[-1] != "a" else "b")
    assert verify(gateway, typo).code == "MALFORMED"
    for text in ("", "x" * 5_000):
        for _ in range(2):
            assert verify(gateway, text).code == "MALFORMED"
    stranger = _stranger()
    for _ in range(2):
        answer = verify(gateway, stranger, **INSIDE)
        assert answer.code == "NOT_FOUND"
        assert answer.json["key"] is None


def test_false_secret_of_a_true_key_id_says_nothing(gateway: str, live: LiveKey) -> None:
    assert verify(gateway, live.text, **INSIDE).code == "VALID"
    false = _stranger(live.key.family)
    answer = verify(gateway, false, **INSIDE)
    assert answer.code == "NOT_FOUND"
    assert live.key.public_id.encode() not in answer.body


def test_two_secrets_of_one_key_share_its_limits(gateway: str) -> None:
    live = make_live_key(rpm=3)
    Secret.objects.update(status="overlap", ends_at=timezone.now() + timedelta(days=7))
    other, _secret = add_secret(live.key)
    codes = [verify(gateway, text).code for text in (live.text, other, live.text, other, live.text)]
    assert codes == ["VALID", "VALID", "VALID", "RATE_LIMITED_MINUTE", "RATE_LIMITED_MINUTE"]


def test_limits_have_a_code_each_and_say_when_to_come_back(gateway: str) -> None:
    cases: list[tuple[dict[str, Any], Code]] = [
        ({"rpm": 2}, Code.RATE_LIMITED_MINUTE),
        ({"rph": 2}, Code.RATE_LIMITED_HOUR),
        ({"rpm": 6, "burst": 2}, Code.BURST_EXCEEDED),  # one more in ten seconds
        ({"concurrency": 2}, Code.CONCURRENCY_EXCEEDED),
        ({"monthly_budget_usd": "0.02"}, Code.BUDGET_EXCEEDED),
    ]
    for fields, code in cases:
        live = make_live_key(**fields)
        answers = [verify(gateway, live.text, cost_usd="0.01", lease_seconds=60) for _ in range(3)]
        assert [answer.code for answer in answers] == ["VALID", "VALID", code]
        assert answers[2].status == 200
        assert answers[2].json["retry_after"] == int(answers[2].headers["Retry-After"]) > 0


@pytest.mark.parametrize(("budget", "cost"), [("0", "0"), ("1", "1.000001")])
def test_cost_that_no_whole_budget_covers_is_worth_no_other_try(gateway: str, budget: str, cost: str) -> None:
    live = make_live_key(monthly_budget_usd=budget)
    answer = verify(gateway, live.text, cost_usd=cost)
    assert answer.code == "BUDGET_EXCEEDED"
    assert answer.json["retry_after"] is None
    assert "Retry-After" not in answer.headers


def test_budget_left_and_lease_are_told(reporting: str) -> None:
    live = make_live_key(monthly_budget_usd="10.00", concurrency=1)
    data = verify(reporting, live.text, cost_usd=0.25).json
    assert data["remaining"]["budget_usd"] == "9.750000"
    assert data["lease"]


def test_limits_survive_a_change_of_policy(gateway: str) -> None:
    live = make_live_key(rph=5)
    for _ in range(4):
        assert verify(gateway, live.text).code == "VALID"
    change(live.key, scopes=["orders:read"])
    assert hotstore.publish_key(live.key.public_id)
    assert verify(gateway, live.text, scope="orders:read").code == "VALID"
    assert verify(gateway, live.text, scope="orders:read").code == "RATE_LIMITED_HOUR"


def test_retiring_key_works_and_says_so(gateway: str, live: LiveKey) -> None:
    retire(live.key, timedelta(days=20))
    answer = verify(gateway, live.text, **INSIDE)
    assert answer.code == "VALID"
    assert answer.headers["Deprecation"].startswith("@")
    assert answer.headers["Sunset"].endswith("GMT")
    assert answer.json["retiring_since"] < answer.json["ends_at"] < answer.json["expires_at"]


@pytest.mark.parametrize(
    ("days", "minute", "hour", "burst"),
    [(20, 9, 90, 8), (7.1, 9, 90, 8), (6.9, 4, 45, 4), (3, 2, 22, 2), (1, 1, 9, 1)],
)
def test_limits_of_a_retiring_key_fall(gateway: str, days: float, minute: int, hour: int, burst: int) -> None:
    live = make_live_key(rpm=9, rph=90, burst=8, concurrency=50, monthly_budget_usd="10.00")
    retire(live.key, timedelta(days=days))
    answer = verify(gateway, live.text)
    assert answer.json["limits"] == {
        "minute": minute, "hour": hour, "burst": burst, "concurrency": 50, "budget_usd": "10.00",
    }  # fmt: skip
    assert answer.json["remaining"]["minute"] == minute - 1
    assert answer.headers["RateLimit-Policy"] == f'"minute";q={minute};w=60, "hour";q={hour};w=3600'
    for _ in range(minute - 1):
        verify(gateway, live.text, lease_seconds=1)
    refused = verify(gateway, live.text)
    assert refused.code in {"RATE_LIMITED_MINUTE", "BURST_EXCEEDED"}
    # Who is refused most should hear first that it ends.
    assert refused.headers["Sunset"] == answer.headers["Sunset"]


def test_a_planned_end_is_kept_to_by_the_verifier_alone(gateway: str) -> None:
    live = make_live_key()
    retire(live.key, timedelta(seconds=-1))
    assert verify(gateway, live.text).code == "EXPIRED"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_0, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"key":1}', "`key` is not text"),
        (b'{"key":"x","scopse":"a"}', "scopse"),
        (b'{"key":"x","ip":"1.2.3"}', "`ip`"),
        (b'{"key":"x","ip":7}', "`ip`"),
        (b'{"key":"x","ip":null}', "`ip`"),
        (b'{"key":"x","scopes":"a"}', "`scopes`"),
        (b'{"key":"x","scopes":""}', "`scopes`"),
        (b'{"key":"x","scope":false}', "`scope`"),
        (b'{"key":"x","features":["' + b'","' * 100 + b'"]}', "`features`"),
        (b'{"key":"x","cost_usd":-1}', "`cost_usd`"),
        (b'{"key":"x","cost_usd":NaN}', "`cost_usd`"),
        (b'{"key":"x","cost_usd":true}', "`cost_usd`"),
        (b'{"key":"x","cost_usd":"1e3"}', "`cost_usd`"),
        (b'{"key":"x","lease_seconds":0}', "`lease_seconds`"),
        (b'{"key":"x","lease_seconds":1.5}', "`lease_seconds`"),
        (b'{"key":"\xff"}', "not JSON"),
        (b'{"key":"x","scope":"a","scope":""}', "twice"),
        (b'{"key":"y","scope":"a","key":"x"}', "twice"),
        (b'{"key":"x","scope":"\\ud800"}', "`scope`"),
        (b'{"key":"x","scopes":["\\ud800"]}', "`scopes`"),
        (b'{"key":"x","workspace":"\\udfff"}', "`workspace`"),
        (b'{"key":"x","workspace":"WS-0001 own"}', "`workspace`"),
        (b'{"key":"x","environment":"dev "}', "`environment`"),
    ],
)
def test_wrong_question_is_400_with_the_reason(gateway: str, body: bytes, word: str) -> None:
    answer = call("/v1/keys/verify", "POST", body, HTTP_AUTHORIZATION=f"Bearer {gateway}")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert word in answer.json["detail"]


def test_key_in_the_place_of_a_fields_name_is_not_quoted(gateway: str, live: LiveKey) -> None:
    answer = call(
        "/v1/keys/verify", "POST", json.dumps({live.text: 1}).encode(), HTTP_AUTHORIZATION=f"Bearer {gateway}"
    )
    assert (answer.status, answer.json["detail"]) == (400, "Unknown fields: ….")


def test_long_questions_are_answered_and_not_kept(gateway: str, live: LiveKey) -> None:
    before = len(question._contexts), len(question._asked)
    for number in range(3):
        model = f"{number}{'x' * 1_500}"
        assert verify(gateway, live.text, **INSIDE, model=model).code == "MODEL_NOT_ALLOWED"
        answer = authorize(gateway, live.text, query=f"model={model}", HTTP_X_FORWARDED_FOR="203.0.113.9")
        assert answer.code == "MODEL_NOT_ALLOWED"
    assert (len(question._contexts), len(question._asked)) == before


@pytest.mark.parametrize("space", ["\t", "\u3000", "\xa0", "  "])
def test_words_are_the_same_with_the_store_and_without(
    gateway: str, live: LiveKey, space: str, settings: Any
) -> None:
    both, one = f"catalog:read{space}catalog:write", f"catalog:read{space}catalog:admin"
    for _ in ("with", "without"):
        assert verify(gateway, live.text, **INSIDE, scope=both).code == "VALID"
        assert verify(gateway, live.text, **INSIDE, scope=one).code == "INSUFFICIENT_SCOPE"
        settings.HOT_STORE_URL = "redis://127.0.0.1:1/0"
        hotwire.drop()


def test_edges_of_http(gateway: str, live: LiveKey) -> None:
    allowed: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {gateway}"}
    assert call("/v1/keys/verify", "GET", **allowed).status == 405
    assert call("/v1/keys/verify", "POST", b"x" * 16_385, **allowed).status == 413
    assert call("/v1/nowhere").status == 404
    body = json.dumps({"key": live.text}).encode()
    in_url = call("/v1/keys/verify", "POST", body, query=f"key={live.text}", **allowed)
    assert (in_url.status, in_url.code) == (400, "KEY_IN_URL")


def test_nobody_else_may_ask(gateway: str, live: LiveKey) -> None:
    body = json.dumps({"key": live.text}).encode()
    for credential in ("", "Bearer ", f"Bearer {live.text}", "Bearer kbg_live_x", f"Basic {gateway}"):
        answer = call("/v1/keys/verify", "POST", body, HTTP_AUTHORIZATION=credential)
        assert answer.status == 401
        assert answer.code == "UNKNOWN_GATEWAY"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


def test_key_written_under_an_old_pepper_is_renewed(gateway: str) -> None:
    live = make_live_key()
    Secret.objects.update(status="retired")
    text, secret = add_secret(live.key, version=1)
    old = secret.argon2_hash
    assert verify(gateway, text).code == "VALID"
    secret.refresh_from_db()
    assert secret.pepper_version == 2
    assert secret.argon2_hash != old
    assert verify(gateway, text).code == "VALID"
    assert Key.objects.get().revision == live.key.revision


def _stranger(family: str | None = None) -> str:
    return secret_format.generate("kb", "live", family).text


class HungUp(io.BytesIO):
    """A body whose sender goes away, with an error that quotes what had come."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise ConnectionResetError(self.getvalue().decode())


def test_what_goes_wrong_here_is_logged_without_its_message(
    gateway: str, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {
        "HTTP_AUTHORIZATION": f"Bearer {gateway}",
        "wsgi.input": HungUp(b"kb_live_abcdefgh"),
    }
    answer = call("/v1/keys/verify", "POST", **given)
    assert answer.status == 500
    assert answer.json["code"] == "INTERNAL_ERROR"
    [line] = [record for record in caplog.records if record.name == "verifier.api.app"]
    written = JsonFormatter().format(line)
    assert "ConnectionResetError" in written
    assert "in body_of" in written
    assert "kb_live" not in written
    assert "kb_live" not in caplog.text
