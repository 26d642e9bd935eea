"""Real threads on one row: one reveal, one revoke, whatever is pressed twice (A10, K3)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict
from keys.delivery.services.delivery import expire_deliveries
from keys.models import Delivery, Key, Secret
from keys.status.services import expire_keys, revoke_key
from tests.cast import Cast, sign_in
from tests.key_stories import link_of, reveal

pytestmark = pytest.mark.django_db(transaction=True)
N = 4


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run the acts in threads that start together, each with a connection of its own."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            barrier.wait(timeout=10)
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result() for future in [pool.submit(run, act) for act in acts]]


def outcome(act: Callable[[], Any]) -> Callable[[], str]:
    """The act as a word: what became of it."""

    def run() -> str:
        try:
            act()
        except Conflict:
            return "conflict"
        return "done"

    return run


def test_two_presses_at_once_reveal_exactly_one_secret(cast: Cast) -> None:
    key = cast.key()
    url = reverse("keys:delivery-collect", args=[link_of(key)])
    answers = at_once(*[lambda: Client().post(url)] * N)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (N - 1)
    assert sum("the-key" in answer.content.decode() for answer in answers) == 1
    assert Secret.objects.count() == 1
    assert Event.objects.filter(action="secret.revealed").count() == 1
    assert Delivery.objects.get().state == "revealed"


def test_two_revokes_at_once_are_one_event(cast: Cast) -> None:
    key = cast.key()
    reveal(key)
    url = reverse("keys:key-revoke", args=[key.public_id])
    form = {"reason": "leaked", "note": "", "typed_number": key.public_id}
    clients = [sign_in(cast.ops), sign_in(cast.security), sign_in(cast.ops), sign_in(cast.coo)]
    answers = at_once(*[lambda client=client: client.post(url, form) for client in clients])
    assert sorted(answer.status_code for answer in answers) == [302, 409, 409, 409]
    assert Event.objects.filter(action="key.revoked").count() == 1


def test_a_reveal_and_a_revoke_leave_no_living_secret(cast: Cast) -> None:
    for _ in range(3):
        key = cast.key()
        url = reverse("keys:delivery-collect", args=[link_of(key)])

        def revoke(key: Key = key) -> None:
            revoke_key(
                actor=staff_actor(cast.ops),
                by=cast.ops,
                key=key,
                reason="leaked",
                note="",
                typed_number=key.public_id,
                now=timezone.now(),
            )

        def press(url: str = url) -> int:
            return Client().post(url).status_code

        revealed, revoked = at_once(press, outcome(revoke))
        assert revoked == "done"
        assert revealed in {200, 409}
        key.refresh_from_db()
        assert key.status == "revoked"
        assert not Secret.objects.filter(key=key, status="live").exists()


def test_sweeps_that_run_twice_at_once_end_each_key_once(cast: Cast) -> None:
    keys = [cast.key() for _ in range(6)]
    for key in keys[:3]:
        reveal(key)
    late = timezone.now() + timedelta(days=400)
    sweeps = [lambda: expire_keys(now=late)] * 2 + [lambda: expire_deliveries(now=late)] * 2
    at_once(*sweeps)
    # Rows that one sweep held were skipped by another: the next minute finds them.
    expire_keys(now=late)
    assert not Key.objects.exclude(status__in=["expired", "revoked"]).exists()
    ended = Event.objects.filter(action__in=["key.expired", "key.revoked"])
    assert ended.count() == len(keys)


def test_a_link_asked_for_twice_at_once_is_one_link(cast: Cast) -> None:
    key = cast.key()
    url = reverse("keys:key-redeliver", args=[key.public_id])
    clients = [sign_in(cast.pm), sign_in(cast.pm2)]
    at_once(*[lambda client=client: client.post(url).status_code for client in clients])
    assert Delivery.objects.filter(key=key, state="waiting").count() == 1
