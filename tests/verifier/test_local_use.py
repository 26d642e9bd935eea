"""V6 while the hot store is away: what a process counts by itself. `tests/faults` stops the real servers."""

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from audit.models import Event
from keys.hotstore import client as hotwire
from keys.models import KeyUseDay, SeenAddress, UseBatch
from keys.use.services.addresses import MOST_USED
from tests.dataplane import change, make_live_key, report, store_away, verify
from tests.relay import Relay
from verifier.usage import local_use
from verifier.usage.drain import drain_use

pytestmark = pytest.mark.django_db


def test_a_degraded_check_counts_as_any_other(gateway: str, settings: Any) -> None:
    live, dead = make_live_key(rpm=2), make_live_key()
    change(dead.key, status="revoked", revoke_reason="leaked", ended_at=timezone.now())
    with store_away(settings):
        for scope in ("catalog:read", "no:such", "catalog:read", "catalog:read"):
            verify(gateway, live.text, scope=scope, ip="203.0.113.9", cost_usd="0.5")
        assert verify(gateway, dead.text).code == "REVOKED"
        typo = live.text[:-1] + ("x" if live.text[-1] != "x" else "y")
        assert verify(gateway, typo).code == "MALFORMED"
    assert not KeyUseDay.objects.exists()
    assert local_use.of_process.write()
    day = KeyUseDay.objects.get(key=live.key)
    assert day.by_code == {"VALID": 2, "INSUFFICIENT_SCOPE": 1, "RATE_LIMITED_MINUTE": 1}
    assert (day.n_allowed, day.n_refused, day.cost_micros) == (2, 2, 1_000_000)
    seen = SeenAddress.objects.get()
    assert (seen.address, seen.n_allowed, seen.n_refused) == ("203.0.113.9", 2, 2)
    assert KeyUseDay.objects.get(key=dead.key).by_code == {"REVOKED": 1}
    live.key.refresh_from_db()
    dead.key.refresh_from_db()
    assert live.key.last_used_at is not None
    assert dead.key.last_used_at is None
    assert Event.objects.get(action="key.first_used").payload == {"key_id": live.secret.public_id}
    # Nothing is left that could be written again.
    assert local_use.of_process.write()
    assert UseBatch.objects.count() == 1


def test_the_real_cost_takes_the_place_of_what_was_counted(gateway: str, settings: Any) -> None:
    live = make_live_key(monthly_budget_usd="10.00")
    with store_away(settings):
        checks = [verify(gateway, live.text, cost_usd="0.4").json["check"] for _ in range(2)]
    for cost in ("0.1", "0.9"):  # the second is too late
        report(gateway, {"id": cost, "check": checks[0], "cost_usd": cost})
    local_use.of_process.write()
    drain_use(now=timezone.now())
    assert KeyUseDay.objects.get().cost_micros == 500_000
    # The store had reserved nothing of it.
    assert verify(gateway, live.text).json["remaining"]["budget_usd"] == "9.900000"
    # What the store itself has reserved is settled there.
    warm = verify(gateway, live.text, cost_usd="2").json["check"]
    report(gateway, {"check": warm, "cost_usd": "1"})
    local_use.of_process.write()
    drain_use(now=timezone.now())
    assert KeyUseDay.objects.get().cost_micros == 1_500_000


def test_a_report_whose_answer_was_lost_settles_once(gateway: str, settings: Any) -> None:
    live, store = make_live_key(monthly_budget_usd="10.00"), settings.HOT_STORE_URL
    with store_away(settings):
        check = verify(gateway, live.text, cost_usd="0.4").json["check"]
    with Relay(int(urlsplit(store).port or 0)) as way:
        settings.HOT_STORE_URL = way.instead_of(store)
        # On a connection that works, so that the report gets there.
        report(gateway, {"id": "other", "key": live.key.public_id, "status": 200})
        way.hold()
        assert report(gateway, {"check": check, "cost_usd": "0.1"}).status == 503
        settings.HOT_STORE_URL = store
        hotwire.drop()
        told = report(gateway, {"check": check, "cost_usd": "0.1"}).json["reports"]
    assert [one["outcome"] for one in told] == ["repeated"]
    local_use.of_process.write()
    drain_use(now=timezone.now())
    assert KeyUseDay.objects.get().cost_micros == 100_000
    assert verify(gateway, live.text).json["remaining"]["budget_usd"] == "9.900000"


def test_a_flood_of_addresses_is_bounded_and_loses_no_call(gateway: str, settings: Any) -> None:
    live = make_live_key()
    with store_away(settings):
        for number in range(450):
            verify(gateway, live.text, ip=f"10.0.{number // 250}.{number % 250}")
    local_use.of_process.write()
    assert KeyUseDay.objects.get().n_allowed == 450
    assert SeenAddress.objects.count() == MOST_USED + 1
    assert SeenAddress.objects.get(address=None).n_allowed == 450 - MOST_USED


def test_more_lines_than_are_kept_count_on_where_they_are(
    gateway: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_use, "MOST_LINES", 3)
    first, *others = [make_live_key() for _ in range(5)]
    with store_away(settings):
        for live in (first, *others, first):
            verify(gateway, live.text)
    local_use.of_process.write()
    counted = Counter({day.key: day.n_allowed for day in KeyUseDay.objects.all()})
    assert counted[first.key] == 2
    assert len(counted) == 3
