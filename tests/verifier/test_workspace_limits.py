"""Limits and budgets that the keys of a workspace hold together (V2, V3)."""

from typing import Any

import pytest
import redis
from django.utils import timezone

from keys.hotstore import publish as hotstore
from keys.hotstore.record import shared_key
from partners.models import Workspace
from tests.dataplane import Answer, LiveKey, authorize, change, early_in_a_minute, make_live_key, verify

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair() -> tuple[LiveKey, LiveKey]:
    """Two keys of one workspace."""
    first = make_live_key()
    second = make_live_key(partner=first.key.partner, owner=first.key.owner)
    assert first.key.workspace == second.key.workspace
    early_in_a_minute()
    return first, second


def limit(live: LiveKey, **fields: Any) -> None:
    """Give the key's workspace limits, in the registry and in the hot store."""
    workspace = Workspace.objects.get(pk=live.key.workspace_id)
    Workspace.objects.filter(pk=workspace.pk).update(revision=workspace.revision + 1, **fields)
    assert hotstore.publish_workspace(workspace.public_id)


def codes(gateway: str, pair: tuple[LiveKey, LiveKey], n: int, **question: Any) -> list[str]:
    return [verify(gateway, pair[number % 2].text, **question).code for number in range(n)]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"rpm": 3}, "WORKSPACE_RATE_LIMITED_MINUTE"),
        ({"rph": 3}, "WORKSPACE_RATE_LIMITED_HOUR"),
        ({"monthly_budget_usd": "0.03"}, "WORKSPACE_BUDGET_EXCEEDED"),
    ],
)
def test_keys_of_a_workspace_share_its_limits(
    gateway: str, pair: tuple[LiveKey, LiveKey], fields: dict[str, Any], code: str
) -> None:
    limit(pair[0], **fields)
    assert codes(gateway, pair, 5, cost_usd="0.01") == ["VALID"] * 3 + [code] * 2
    refused = verify(gateway, pair[0].text, cost_usd="0.01")
    assert refused.json["retry_after"] == int(refused.headers["Retry-After"]) > 0
    assert refused.json["key"] == pair[0].key.public_id
    through_proxy = authorize(gateway, pair[1].text)
    assert (through_proxy.status, through_proxy.code) == (429, code)


def test_another_workspace_is_not_touched(gateway: str, pair: tuple[LiveKey, LiveKey]) -> None:
    limit(pair[0], rph=1)
    stranger = make_live_key(owner=pair[0].key.owner)
    assert codes(gateway, pair, 2) == ["VALID", "WORKSPACE_RATE_LIMITED_HOUR"]
    assert verify(gateway, stranger.text).code == "VALID"


def test_a_refused_check_takes_nothing_from_any_limit(gateway: str) -> None:
    first = make_live_key(rph=2)
    second = make_live_key(partner=first.key.partner, owner=first.key.owner, rph=9, concurrency=1)
    limit(first, rph=4)
    assert codes(gateway, (first, first), 3) == ["VALID", "VALID", "RATE_LIMITED_HOUR"]
    assert codes(gateway, (second, second), 2, lease_seconds=60) == ["VALID", "CONCURRENCY_EXCEEDED"]
    change(second.key, concurrency=0)
    hotstore.publish_key(second.key.public_id)
    answer = verify(gateway, second.text)
    assert answer.json["remaining"]["hour"] == 7
    assert answer.json["workspace_remaining"]["hour"] == 0
    assert verify(gateway, second.text).code == "WORKSPACE_RATE_LIMITED_HOUR"
    limit(first, rph=5)
    assert verify(gateway, second.text).json["remaining"]["hour"] == 6


def test_the_key_s_own_limit_is_named_before_the_workspace_s(gateway: str) -> None:
    live = make_live_key(rph=1, monthly_budget_usd="0.01")
    limit(live, rph=1, monthly_budget_usd="0.01")
    assert codes(gateway, (live, live), 2, cost_usd="0.01") == ["VALID", "RATE_LIMITED_HOUR"]
    change(live.key, rph=0)
    hotstore.publish_key(live.key.public_id)
    assert verify(gateway, live.text, cost_usd="0.01").code == "WORKSPACE_RATE_LIMITED_HOUR"
    limit(live, rph=0)
    assert verify(gateway, live.text, cost_usd="0.01").code == "BUDGET_EXCEEDED"
    change(live.key, monthly_budget_usd=None)
    hotstore.publish_key(live.key.public_id)
    assert verify(gateway, live.text, cost_usd="0.01").code == "WORKSPACE_BUDGET_EXCEEDED"


def told(answer: Answer) -> tuple[str, list[str]]:
    """The policy field, and the names and numbers left of RateLimit."""
    left = [item.rpartition(";t=")[0] for item in answer.headers["RateLimit"].split(", ")]
    return answer.headers["RateLimit-Policy"], left


def test_fields_tell_the_tighter_limit_of_each_window(gateway: str) -> None:
    first = make_live_key(rpm=3, rph=100)
    second = make_live_key(partner=first.key.partner, owner=first.key.owner)
    limit(first, rpm=50, rph=50, monthly_budget_usd="2")
    shared = '"workspace-minute";q=50;w=60, "workspace-hour";q=50;w=3600'
    both = f'"minute";q=3;w=60, "hour";q=100;w=3600, {shared}'
    answer = verify(gateway, first.text, cost_usd="0.5")
    assert told(answer) == (both, ['"minute";r=2', '"workspace-hour";r=49'])
    assert answer.json["workspace_limits"] == {"minute": 50, "hour": 50, "budget_usd": "2.00"}
    assert answer.json["workspace_remaining"] == {"minute": 49, "hour": 49, "budget_usd": "1.500000"}
    assert answer.json["remaining"] == {"minute": 2, "hour": 99, "budget_usd": None}
    answer = authorize(gateway, second.text)
    assert told(answer) == (shared, ['"workspace-minute";r=48', '"workspace-hour";r=48'])
    limit(first, rpm=0, rph=0)
    answer = verify(gateway, second.text)
    assert "RateLimit" not in answer.headers
    assert answer.json["workspace_remaining"] == {"minute": None, "hour": None, "budget_usd": "1.500000"}


def test_without_limits_nothing_is_counted_nor_told(
    gateway: str, pair: tuple[LiveKey, LiveKey], valkey: "redis.Redis"
) -> None:
    answer = verify(gateway, pair[0].text)
    assert not {"workspace_limits", "workspace_remaining"} & answer.json.keys()
    assert not valkey.keys("kb:*:w:*")


def test_a_change_is_in_force_on_the_next_check_and_keeps_what_was_counted(
    gateway: str, pair: tuple[LiveKey, LiveKey], valkey: "redis.Redis"
) -> None:
    assert codes(gateway, pair, 2) == ["VALID"] * 2
    limit(pair[0], rph=2)
    # What was used before there was a limit was not counted together.
    assert codes(gateway, pair, 3) == ["VALID", "VALID", "WORKSPACE_RATE_LIMITED_HOUR"]
    limit(pair[0], rph=3)
    assert codes(gateway, pair, 2) == ["VALID", "WORKSPACE_RATE_LIMITED_HOUR"]
    limit(pair[0], rph=0)
    assert codes(gateway, pair, 2) == ["VALID"] * 2
    [name] = valkey.keys("kb:*:w:*")
    assert name == shared_key(pair[0].key.family, pair[0].key.workspace.public_id)
    assert valkey.ttl(name) > 31 * 86_400


def test_a_slow_reader_brings_no_old_limit_back(gateway: str, pair: tuple[LiveKey, LiveKey]) -> None:
    first = pair[0]
    limit(first, rph=9)
    token, slow = hotstore.begin(first.key.family), hotstore.read(first.key.family, now=timezone.now())
    assert slow
    limit(first, rph=1)
    assert hotstore.write(first.key.family, slow.policy, token, now=timezone.now()) == "OLDER"
    assert codes(gateway, pair, 2) == ["VALID", "WORKSPACE_RATE_LIMITED_HOUR"]


def test_cold_keys_learn_the_limits_from_the_registry(
    gateway: str, pair: tuple[LiveKey, LiveKey], valkey: "redis.Redis"
) -> None:
    limit(pair[0], rph=2)
    for live in pair:
        valkey.delete(f"kb:{{{valkey_tag(live)}}}:k:{live.key.family}")
    assert codes(gateway, pair, 3) == ["VALID", "VALID", "WORKSPACE_RATE_LIMITED_HOUR"]


def valkey_tag(live: LiveKey) -> str:
    return shared_key(live.key.family, "x").decode()[4:6]


def test_ended_keys_are_left_alone(gateway: str, pair: tuple[LiveKey, LiveKey]) -> None:
    second = pair[1]
    change(second.key, status="revoked", revoke_reason="leaked", ended_at=timezone.now())
    hotstore.publish_key(second.key.public_id)
    limit(pair[0], rph=1)
    assert verify(gateway, second.text).code == "REVOKED"
    workspace = second.key.partner.workspaces.create(public_id="WS-9999", code="empty", name="Empty")
    assert hotstore.publish_workspace(workspace.public_id)


def test_without_the_store_each_process_counts_the_workspace_too(
    gateway: str, pair: tuple[LiveKey, LiveKey], settings: Any
) -> None:
    limit(pair[0], rph=3)
    verify(gateway, pair[0].text)
    settings.HOT_STORE_URL = "redis://127.0.0.1:1/0"
    answers = [verify(gateway, pair[number % 2].text) for number in range(4)]
    assert [answer.code for answer in answers] == ["VALID"] * 3 + ["WORKSPACE_RATE_LIMITED_HOUR"]
    assert all(answer.json["degraded"] for answer in answers)
    assert answers[0].json["workspace_remaining"]["hour"] == 2
    assert answers[2].headers["RateLimit"].startswith('"workspace-hour";r=0')
