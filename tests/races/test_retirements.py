"""Real threads on a key that is to retire: its plan and a revoke, two sweeps: one honest end (K9)."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from audit.models import Event
from keys.life.services.retiring import watch_retirements
from keys.models import Key, Retirement
from keys.status.services import expire_keys
from keys.terms.terms import office_minute
from notifications.models import Message
from tests.cast import Cast, open_step
from tests.changes import ask_change, live_key, retirement
from tests.key_stories import revoke
from tests.races.test_decisions import answering, at_once, outcome

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 5


def test_the_approval_of_a_plan_against_a_revoke(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        ends_at = office_minute(timezone.now() + timedelta(days=40))
        request = ask_change(key, cast.requester, retires_at=ends_at)
        decided, revoked = at_once(
            answering(open_step(request), cast.pm), outcome(partial(revoke, key, cast.security))
        )
        assert revoked == "done"
        assert Key.objects.get(pk=key.pk).status == Key.Status.REVOKED
        states = list(Retirement.objects.filter(key=key).values_list("state", flat=True))
        assert states == (["overtaken"] if decided == "done" else [])


def test_sweeps_at_once_say_everything_once(cast: Cast) -> None:
    end = (timezone.now() + timedelta(days=40)).replace(second=0, microsecond=0)
    for _n in range(3):
        key, _text = live_key(cast)
        retirement(cast, key, end)
    for days in (30, 7, 4, 2):
        at = end - timedelta(days=days)
        at_once(*[partial(watch_retirements, now=at)] * 3)
        watch_retirements(now=at)
    at_once(*[partial(expire_keys, now=end)] * 3)
    expire_keys(now=end)
    counts = {
        action: Event.objects.filter(action=action).count()
        for action in ("key.retiring", "key.limits_fell", "key.retired")
    }
    assert counts == {"key.retiring": 3, "key.limits_fell": 9, "key.retired": 3}
    assert Message.objects.filter(kind="key_limits_fell").count() == 18
    assert set(Retirement.objects.values_list("state", flat=True)) == {"done"}


def test_a_notice_against_a_revoke(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        retirement(cast, key, timezone.now() + timedelta(days=40))
        due = timezone.now() + timedelta(days=11)
        at_once(partial(watch_retirements, now=due), outcome(partial(revoke, key, cast.security)))
        assert Key.objects.get(pk=key.pk).status == Key.Status.REVOKED
        assert Retirement.objects.get(key=key).state == "overtaken"
        assert watch_retirements(now=due) == 0
