"""V6: what was counted arrives in the registry, once."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.utils import timezone

from audit.models import Event
from keys import hotwire
from keys.hotrecord import batch_key, tag_of, use_key
from keys.models import KeyUseDay, UseBatch
from keys.services.use import Use, record_use
from keys.terms import office_day
from tests.dataplane import add_secret, make_live_key, verify
from verifier.drain import drain_use

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
        name = next(field for field in flat[::2] if field != b"#").decode()
    minute, key_id, code = name.split("|")
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
