"""Places for concurrent calls are held only where somebody says when a call ends (V3, V7)."""

from typing import Any

import pytest

from tests.dataplane import LiveKey, authorize, make_gateway, make_live_key, report, store_away, verify
from verifier.contract.question import REPORTED_LEASE_SECONDS
from verifier.models import Gateway

pytestmark = pytest.mark.django_db

BURST, AT_ONCE = 20, 10


@pytest.fixture
def live() -> LiveKey:
    """A key with the request form's defaults."""
    return make_live_key(rpm=100, rph=1_000, burst=BURST, concurrency=AT_ONCE)


@pytest.mark.parametrize("way", [verify, authorize])
def test_without_reports_the_burst_is_what_refuses(gateway: str, live: LiveKey, way: object) -> None:
    assert callable(way)
    answers = [way(gateway, live.text) for _ in range(BURST + 1)]
    statuses = [answer.status if way is authorize else answer.code for answer in answers]
    good, refused = (200, 429) if way is authorize else ("VALID", "BURST_EXCEEDED")
    assert statuses == [good] * BURST + [refused]


def test_a_gateway_that_reports_ends_holds_places(reporting: str, live: LiveKey) -> None:
    held = [verify(reporting, live.text) for _ in range(AT_ONCE)]
    assert {answer.code for answer in held} == {"VALID"}
    refused = verify(reporting, live.text)
    assert refused.code == "CONCURRENCY_EXCEEDED"
    # A report that never comes must not hold a place for ever.
    assert 0 < refused.json["retry_after"] <= REPORTED_LEASE_SECONDS * 9 // 8 + 1
    row = report(reporting, {"check": held[0].json["check"]}).json["reports"][0]
    assert row["lease"] == "released"
    assert verify(reporting, live.text).code == "VALID"


def test_a_named_lease_holds_a_place_for_any_gateway(gateway: str) -> None:
    live = make_live_key(concurrency=2)
    held = [verify(gateway, live.text, lease_seconds=600).json["lease"] for _ in range(2)]
    assert verify(gateway, live.text, lease_seconds=600).code == "CONCURRENCY_EXCEEDED"
    # Whoever holds no place does not take one, and is not kept out.
    silent = verify(gateway, live.text).json
    assert (silent["code"], "lease" in silent) == ("VALID", False)
    assert report(gateway, {"lease": held[0]}).json["reports"][0]["lease"] == "released"
    assert verify(gateway, live.text, lease_seconds=600).code == "VALID"


def test_silent_calls_between_forget_nobodys_place(reporting: str) -> None:
    live, silent = make_live_key(concurrency=2, burst=50, rpm=100), make_gateway()
    verify(reporting, live.text)
    verify(silent, live.text)
    verify(reporting, live.text)
    verify(silent, live.text)
    assert verify(reporting, live.text).code == "CONCURRENCY_EXCEEDED"


def test_a_change_of_the_gateway_is_in_force_within_seconds(gateway: str) -> None:
    from verifier.callers import gateways

    live = make_live_key(concurrency=1)
    assert [verify(gateway, live.text).code for _ in range(2)] == ["VALID", "VALID"]
    Gateway.objects.update(reports_ends=True)
    gateways.forget_all()  # what two seconds do
    assert [verify(gateway, live.text).code for _ in range(2)] == ["VALID", "CONCURRENCY_EXCEEDED"]


def test_without_the_store_it_is_the_same(gateway: str, reporting: str, settings: Any) -> None:
    live = make_live_key(concurrency=1)
    with store_away(settings):
        assert [verify(gateway, live.text).code for _ in range(3)] == ["VALID"] * 3
        told = [verify(reporting, live.text) for _ in range(2)]
    assert [answer.code for answer in told] == ["VALID", "CONCURRENCY_EXCEEDED"]
    assert told[0].json["degraded"]
