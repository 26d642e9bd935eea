"""Counting use beside what ends keys: neither waits for the other in a circle (V6, K6)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.utils import timezone

from core.actors import SYSTEM
from keys.models import Key, KeyUseDay, Secret
from keys.status.services import end_key
from keys.use.services.use import Use, record_use
from tests.dataplane import LiveKey, make_live_key
from tests.races.waiting import await_somebody_who_waits

pytestmark = pytest.mark.django_db(transaction=True)


def count(live: LiveKey, batch: str, *, minutes: int) -> bool:
    """Add a batch of one use so many minutes from now."""
    now = timezone.now() + timedelta(minutes=minutes)
    use = Use(int(now.timestamp()) // 60, live.secret.public_id, "VALID", 1, "203.0.113.9")
    try:
        return record_use(batch=batch, uses=[use], now=now)
    finally:
        connections.close_all()


@pytest.mark.parametrize("n_before", [0, 1])
def test_a_key_is_revoked_while_its_use_is_counted(n_before: int) -> None:
    live = make_live_key()
    for number in range(n_before):
        count(live, f"before {number}", minutes=0)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            key = Key.objects.select_for_update().get(pk=live.key.pk)
            counting = pool.submit(count, live, "beside", minutes=5)
            await_somebody_who_waits()
            end_key(actor=SYSTEM("t"), key=key, reason="leaked", note="", now=timezone.now())
        assert counting.result(timeout=20)
    assert Secret.objects.get(pk=live.secret.pk).status == "revoked"
    assert sum(day.n_allowed for day in KeyUseDay.objects.all()) == n_before + 1
