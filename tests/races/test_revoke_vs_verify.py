"""Revocation against running checks, cold loads and a store that is emptied: no stale accept (V4)."""

import random
import threading
import time
from dataclasses import dataclass, field

import pytest
import redis
from django.db import connection
from django.utils import timezone

from accounts.models import User
from core.actors import staff_actor
from keys.models import Key
from keys.status.services import revoke_key, suspend_key
from tests.cast import make_partner, make_staff
from tests.dataplane import LiveKey, make_gateway, make_live_key, verify

N_KEYS = 24
N_CHECKERS = 4

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Race:
    """Checkers ask about random keys all the time; `ended` says when a key's end had returned."""

    gateway: str
    keys: list[LiveKey]
    ended: dict[str, float] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    n_valid: int = 0
    over: bool = False

    def check(self) -> None:
        try:
            while not self.over:
                live = random.choice(self.keys)
                number = live.key.public_id
                started = time.perf_counter()
                answer = verify(self.gateway, live.text)
                if answer.status != 200:
                    self.errors.append(f"{answer.status} {answer.body!r}")
                elif answer.code == "VALID":
                    self.n_valid += 1
                    if started > self.ended.get(number, float("inf")):
                        self.stale.append(number)
        except Exception as error:  # noqa: BLE001 - whatever it was, the test must tell it
            self.errors.append(repr(error))
        finally:
            connection.close()

    def run(self, act: "threading.Thread") -> None:
        checkers = [threading.Thread(target=self.check) for _ in range(N_CHECKERS)]
        for thread in checkers:
            thread.start()
        act.start()
        act.join()
        self.over = True
        for thread in checkers:
            thread.join()


def _revoke(live: LiveKey, by: User) -> None:
    key = Key.objects.get(pk=live.key.pk)
    revoke_key(
        actor=staff_actor(by),
        by=by,
        key=key,
        reason="leaked",
        note="",
        typed_number=key.public_id,
        now=timezone.now(),
    )


@pytest.mark.parametrize("emptied", [False, True])
def test_no_check_that_begins_after_the_revocation_is_let_through(
    emptied: bool, valkey: "redis.Redis"
) -> None:
    by, partner, owner = make_staff("Sho", "security"), make_partner("P"), make_staff("O", "requester")
    race = Race(make_gateway(), [make_live_key(partner, owner) for _ in range(N_KEYS)])
    failures: list[str] = []

    def act() -> None:
        try:
            for number, live in enumerate(race.keys):
                if emptied and number % 3 == 0:
                    valkey.flushdb()
                _revoke(live, by)
                race.ended[live.key.public_id] = time.perf_counter()
                if emptied and number % 3 == 1:
                    valkey.flushdb()
        except Exception as error:  # noqa: BLE001 - whatever it was, the test must tell it
            failures.append(repr(error))
        finally:
            connection.close()

    race.run(threading.Thread(target=act))
    assert failures == []
    assert race.errors == []
    assert len(race.ended) == N_KEYS
    assert race.n_valid > 0
    assert race.stale == []
    assert {verify(race.gateway, live.text).code for live in race.keys} == {"REVOKED"}


def test_suspension_is_seen_by_the_next_check_of_every_thread() -> None:
    by = make_staff("Sho", "security")
    live = make_live_key()
    race = Race(make_gateway(), [live])

    def act() -> None:
        key = Key.objects.get(pk=live.key.pk)
        suspend_key(actor=staff_actor(by), by=by, key=key, reason="Looks odd.", now=timezone.now())
        race.ended[key.public_id] = time.perf_counter()
        connection.close()

    race.run(threading.Thread(target=act))
    assert race.errors == []
    assert race.stale == []
    assert verify(race.gateway, live.text).code == "SUSPENDED"
