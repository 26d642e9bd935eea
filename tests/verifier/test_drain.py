"""V6: what was counted arrives in the registry, once."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.utils import timezone

from audit.models import Event
from keys.hotstore import client as hotwire
from keys.hotstore.record import batch_key, tag_of, use_key
from keys.models import KeyUseDay, SeenAddress, UseBatch
from keys.terms.terms import office_day
from keys.use.services.addresses import MOST_REFUSED, MOST_USED
from keys.use.services.use import Cost, Peak, Use, record_use
from tests.dataplane import add_secret, make_live_key, report, verify
from verifier.usage.drain import drain_use

pytestmark = pytest.mark.django_db


def test_use_is_counted_by_day_and_code(gateway: str) -> None:
    live = make_live_key(rpm=3)
    for scope in ("catalog:read", "catalog:read", "no:such", "catalog:write", "catalog:read"):
        verify(gateway, live.text, scope=scope)
    now = timezone.now()
    assert drain_use(now=now) == 1
    day = KeyUseDay.objects.get()
    assert (day.key, day.day) == (live.key, office_day(now))
    assert (day.n_allowed, day.n_refused) == (3, 2)
    assert day.by_code == {"VALID": 3, "INSUFFICIENT_SCOPE": 1, "RATE_LIMITED_MINUTE": 1}
    assert drain_use(now=now) == 0
    verify(gateway, live.text, scope="no:such")
    assert drain_use(now=now) == 1
    day.refresh_from_db()
    assert day.by_code == {"VALID": 3, "INSUFFICIENT_SCOPE": 2, "RATE_LIMITED_MINUTE": 1}


def test_first_use_is_an_event_once(gateway: str) -> None:
    live = make_live_key()
    for _ in range(2):
        assert verify(gateway, live.text).code == "VALID"
        drain_use(now=timezone.now())
    live.secret.refresh_from_db()
    assert live.secret.first_used_at is not None
    assert live.secret.first_used_at >= live.secret.created_at
    event = Event.objects.get(action="key.first_used")
    assert event.payload == {"key_id": live.secret.public_id}


def test_refused_use_is_no_use(gateway: str) -> None:
    live = make_live_key()
    verify(gateway, live.text, scope="no:such")
    drain_use(now=timezone.now())
    live.key.refresh_from_db()
    live.secret.refresh_from_db()
    assert live.key.last_used_at is None
    assert live.secret.first_used_at is None


def test_last_use_moves_at_most_once_an_interval() -> None:
    live = make_live_key()
    start = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    minute = int(start.timestamp()) // 60
    seen = []
    for number, later in enumerate((0, 1, 2, 3)):
        use = Use(minute + later, live.secret.public_id, "VALID", 1)
        record_use(batch=f"b{number}", uses=[use], now=start + timedelta(minutes=later, seconds=30))
        live.key.refresh_from_db()
        seen.append(live.key.last_used_at)
    assert seen == [start + timedelta(minutes=later, seconds=30) for later in (0, 1, 2, 3)]
    late = Use(minute, live.secret.public_id, "VALID", 1)
    record_use(batch="late", uses=[late], now=start + timedelta(minutes=4))
    live.key.refresh_from_db()
    assert live.key.last_used_at == seen[-1]


def test_batch_that_comes_twice_counts_once() -> None:
    live = make_live_key()
    use = Use(29_000_000, live.secret.public_id, "VALID", 5)
    now = timezone.now()
    assert record_use(batch="same", uses=[use], now=now)
    assert not record_use(batch="same", uses=[use], now=now)
    assert KeyUseDay.objects.get().n_allowed == 5


def test_worker_that_died_half_way_loses_and_doubles_nothing(gateway: str, valkey: "redis.Redis") -> None:
    live = make_live_key()
    tag = tag_of(live.key.family[:2])
    verify(gateway, live.text)
    # Dead after moving: the next worker finds the batch, under the same id.
    with hotwire.Patient() as store:
        store.call("take", [use_key(tag), batch_key(tag)], "dead-worker")
    verify(gateway, live.text)
    now = timezone.now()
    assert drain_use(now=now) == 1
    assert UseBatch.objects.get().uid == "dead-worker"
    assert KeyUseDay.objects.get().n_allowed == 1
    assert drain_use(now=now) == 1
    assert KeyUseDay.objects.get().n_allowed == 2
    # Dead after writing: the batch is found again, and dropped without being added.
    verify(gateway, live.text)
    with hotwire.Patient() as store:
        flat = store.call("take", [use_key(tag), batch_key(tag)], "wrote")
        name = next(field for field in flat[::2] if b"|" in field).decode()
    minute, key_id, code, _address = name.split("|")
    record_use(batch="wrote", uses=[Use(int(minute), key_id, code, 1)], now=now)
    assert drain_use(now=now) == 0
    assert KeyUseDay.objects.get().n_allowed == 3
    assert valkey.keys("kb:*:d") == []


def test_two_secrets_count_for_one_key(gateway: str) -> None:
    live = make_live_key()
    type(live.secret).objects.update(status="overlap", ends_at=timezone.now() + timedelta(days=1))
    other, second = add_secret(live.key)
    verify(gateway, live.text)
    verify(gateway, other)
    drain_use(now=timezone.now())
    assert KeyUseDay.objects.get().n_allowed == 2
    for secret in (live.secret, second):
        secret.refresh_from_db()
        assert secret.first_used_at is not None


def test_the_busiest_minute_and_hour_are_kept_however_the_batches_are_cut() -> None:
    live = make_live_key()
    name, hour = live.secret.public_id, 480_000
    start = hour * 60
    batches = [
        [(start, 5), (start + 1, 7)],
        [(start + 1, 6), (start + 2, 1)],
        [(start + 2, 2)],
        [(start + 1, 4)],  # came late
        [(start + 60, 9)],
        [(start + 60, 3), (start + 61, 1)],
    ]
    for number, batch in enumerate(batches):
        uses = [Use(minute, name, "VALID", n) for minute, n in batch] + [Use(start, name, "EXPIRED", 100)]
        record_use(batch=f"peak{number}", uses=uses, now=timezone.now())
    day = KeyUseDay.objects.get()
    assert (day.peak_minute, day.peak_hour) == (13, 25)
    assert day.n_allowed == sum(n for batch in batches for _minute, n in batch)


def peaks() -> tuple[int, int]:
    """The most of the burst and of the places that was used at once on the only day."""
    day = KeyUseDay.objects.get()
    return day.peak_burst, day.peak_concurrency


def test_the_most_of_burst_and_places_used_at_once_is_kept(gateway: str) -> None:
    live = make_live_key(rpm=6, burst=3, concurrency=4, monthly_budget_usd="1.00")
    asked = {"lease_seconds": 600, "cost_usd": "0.1"}
    checks = [verify(gateway, live.text, **asked).json["check"] for _ in range(2)]
    drain_use(now=timezone.now())
    assert peaks() == (2, 2)
    # A place given back and a cost settled: the next call holds two again, which is no more than before.
    report(gateway, {"check": checks[0], "cost_usd": "0.05"})
    assert verify(gateway, live.text, **asked).code == "VALID"
    assert verify(gateway, live.text, **asked).code == "BURST_EXCEEDED"
    drain_use(now=timezone.now())
    assert peaks() == (3, 2)
    day = KeyUseDay.objects.get()
    assert day.by_code == {"VALID": 3, "BURST_EXCEEDED": 1}


def test_a_key_without_such_limits_is_not_measured(gateway: str, valkey: "redis.Redis") -> None:
    live = make_live_key(rpm=10, rph=100)
    verify(gateway, live.text, lease_seconds=600)
    lines = valkey.hkeys(use_key(tag_of(live.key.family[:2])))
    assert len(lines) == 1
    drain_use(now=timezone.now())
    assert peaks() == (0, 0)


def test_secrets_of_one_key_hold_its_places_together(gateway: str) -> None:
    live = make_live_key(concurrency=5)
    type(live.secret).objects.update(status="overlap", ends_at=timezone.now() + timedelta(days=1))
    other, _second = add_secret(live.key)
    for text in (live.text, other, live.text):
        verify(gateway, text, lease_seconds=600)
    drain_use(now=timezone.now())
    assert peaks() == (0, 3)


def test_a_peak_that_comes_twice_or_from_a_dead_worker_is_the_same_peak(
    gateway: str, valkey: "redis.Redis"
) -> None:
    live = make_live_key(concurrency=9)
    tag = tag_of(live.key.family[:2])
    for _ in range(3):
        verify(gateway, live.text, lease_seconds=600)
    with hotwire.Patient() as store:
        store.call("take", [use_key(tag), batch_key(tag)], "dead-worker")
    verify(gateway, live.text, lease_seconds=600)
    assert drain_use(now=timezone.now()) == 1
    assert peaks() == (0, 3)
    assert drain_use(now=timezone.now()) == 1
    assert peaks() == (0, 4)
    uses = [Use(29_000_000, live.secret.public_id, "VALID", 1)]
    for batch, n in (("one", 6), ("one", 9), ("two", 5)):
        again = [Peak(29_000_000, live.secret.public_id, "concurrency", n)]
        record_use(batch=batch, uses=uses, peaks=again, now=timezone.now())
    old = KeyUseDay.objects.earliest("day")
    assert (old.n_allowed, old.peak_concurrency) == (2, 6)


def test_peaks_of_a_secret_that_the_registry_lacks_are_left_out() -> None:
    unknown = [Peak(29_000_000, "nobody000000", "burst", 4)]
    assert record_use(batch="one", uses=[], peaks=unknown, now=timezone.now())
    assert not KeyUseDay.objects.exists()


def test_addresses_are_kept_with_their_times_and_counts(gateway: str) -> None:
    live = make_live_key(ip_ranges=["203.0.113.0/24", "2001:db8::/32"])
    for address in ("203.0.113.9", "203.0.113.9", "2001:db8::7", "198.51.100.1"):
        verify(gateway, live.text, ip=address)
    verify(gateway, live.text)  # no address told: refused, and from nowhere
    before = timezone.now()
    drain_use(now=before)
    verify(gateway, live.text, ip="203.0.113.9", scope="no:such")
    drain_use(now=timezone.now())
    found = {row.address: (row.n_allowed, row.n_refused) for row in SeenAddress.objects.all()}
    assert found == {"203.0.113.9": (2, 1), "2001:db8::7": (1, 0), "198.51.100.1": (0, 1)}
    day = KeyUseDay.objects.get()
    assert day.by_code == {"VALID": 3, "IP_NOT_ALLOWED": 2, "INSUFFICIENT_SCOPE": 1}
    for row in SeenAddress.objects.all():
        assert (row.key, row.secret) == (live.key, live.secret)
        assert row.first_seen_at <= row.last_seen_at <= timezone.now()


def test_a_flood_of_addresses_is_bounded_in_the_store_and_loses_no_call(
    gateway: str, valkey: "redis.Redis"
) -> None:
    live = make_live_key()
    for number in range(450):
        verify(gateway, live.text, ip=f"10.0.{number // 250}.{number % 250}")
    assert valkey.hlen(use_key(tag_of(live.key.family[:2]))) <= 403
    drain_use(now=timezone.now())
    assert KeyUseDay.objects.get().n_allowed == 450
    others = SeenAddress.objects.get(address=None)
    assert SeenAddress.objects.count() == MOST_USED + 1
    assert others.n_allowed == 450 - MOST_USED


def test_refused_addresses_never_push_out_those_that_were_let_through() -> None:
    live = make_live_key()
    name, minute, now = live.secret.public_id, 29_000_000, timezone.now()
    tried = [Use(minute, name, "IP_NOT_ALLOWED", 1, f"10.1.{n // 250}.{n % 250}") for n in range(300)]
    record_use(batch="tried", uses=tried, now=now)
    assert SeenAddress.objects.exclude(address=None).count() == MOST_REFUSED
    assert SeenAddress.objects.get(address=None).n_refused == 300 - MOST_REFUSED
    used = [Use(minute, name, "VALID", 1, f"10.2.0.{n}") for n in range(MOST_USED)]
    record_use(batch="used", uses=used, now=now)
    assert SeenAddress.objects.filter(n_allowed__gt=0).exclude(address=None).count() == MOST_USED


def test_an_address_that_was_silent_for_long_makes_room() -> None:
    live = make_live_key()
    name, now = live.secret.public_id, timezone.now()
    minute = int(now.timestamp()) // 60
    long_ago = minute - 100 * 24 * 60
    full = [Use(long_ago if n else minute, name, "VALID", 1, f"10.2.0.{n}") for n in range(MOST_USED)]
    record_use(batch="full", uses=full, now=now)
    record_use(batch="new", uses=[Use(minute, name, "VALID", 3, "10.9.9.9")], now=now)
    assert SeenAddress.objects.count() == MOST_USED
    assert SeenAddress.objects.get(address="10.9.9.9").n_allowed == 3
    assert SeenAddress.objects.filter(address="10.2.0.0").exists()


def test_cost_is_added_up_by_day(gateway: str) -> None:
    live = make_live_key(monthly_budget_usd="1.00")
    for cost in ("0.25", "0.5", "0.3"):
        verify(gateway, live.text, cost_usd=cost)  # the last one is refused
    drain_use(now=timezone.now())
    assert KeyUseDay.objects.get().cost_micros == 750_000


def test_what_comes_back_of_a_cost_on_a_day_without_use_counts() -> None:
    live = make_live_key()
    costs = [Cost(29_000_000, live.key.family, -5), Cost(29_000_000, "nobody00", 7)]
    record_use(batch="one", uses=[], costs=costs, now=timezone.now())
    record_use(batch="two", uses=[], costs=costs, now=timezone.now())
    assert KeyUseDay.objects.get().cost_micros == -10
