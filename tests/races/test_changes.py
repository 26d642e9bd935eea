"""Real threads on one key: a change and a revoke, two changes, two workers: one honest end (R3, A10)."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from approvals.changes.services.after import roll_back_change
from approvals.changes.services.applying import apply_scheduled, cancel_change
from approvals.models import KeyChange, Request
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict
from keys.models import Key
from tests.cast import Cast, open_step
from tests.changes import ask_change, changed, live_key
from tests.key_stories import revoke
from tests.races.test_decisions import answering, at_once, outcome

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 6
S = KeyChange.State


def test_the_last_approval_against_a_revoke(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        request = ask_change(key, cast.requester, rpm=50)
        decided, revoked = at_once(
            answering(open_step(request), cast.pm), outcome(partial(revoke, key, cast.security))
        )
        assert revoked == "done"
        fresh, change = Key.objects.get(pk=key.pk), KeyChange.objects.get(request=request)
        assert fresh.status == Key.Status.REVOKED
        assert (fresh.rpm, change.state) == ((50, S.APPLIED) if decided == "done" else (100, S.IN_REVIEW))
        assert request.decisions.count() == (1 if decided == "done" else 0)


def test_two_people_begin_and_submit_a_change_at_once(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        asks = [
            outcome(partial(ask_change, key, person, rpm=limit))
            for person, limit in ((cast.requester, 50), (cast.pm, 60), (cast.pm2, 70))
        ]
        assert sorted(at_once(*asks)) == ["conflict", "conflict", "done"]
        assert KeyChange.objects.filter(key=key, state=S.IN_REVIEW).count() == 1


def test_two_workers_apply_a_change_once(cast: Cast) -> None:
    at = timezone.now() + timedelta(hours=2)
    changes = []
    for _n in range(4):
        key, _text = live_key(cast)
        changes.append(changed(cast, key, rpm=50, not_before=at))
    done = at_once(*[lambda: apply_scheduled(now=at)] * 3)
    assert sum(done) == len(changes)
    assert Event.objects.filter(action="key.changed").count() == len(changes)
    assert {change.state for change in KeyChange.objects.all()} == {S.APPLIED}


def test_its_time_against_a_cancel(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        at = timezone.now() + timedelta(hours=2)
        change = changed(cast, key, rpm=50, not_before=at)

        def cancel(request: Request = change.request) -> None:
            by = cast.security
            cancel_change(
                actor=staff_actor(by), by=by, request=request, reason="Not tonight.", now=timezone.now()
            )

        applied, cancelled = at_once(partial(apply_scheduled, now=at), outcome(cancel))
        change.refresh_from_db()
        key.refresh_from_db()
        assert (change.state, key.rpm) == ((S.CANCELLED, 100) if cancelled == "done" else (S.APPLIED, 50))
        assert applied == (0 if cancelled == "done" else 1)


def test_two_who_roll_back_at_once_do_it_once(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        change = changed(cast, key, rpm=50)

        def back(change: KeyChange = change) -> None:
            by: Any = cast.security
            roll_back_change(
                actor=staff_actor(by), by=by, request=change.request, reason="It broke.", now=timezone.now()
            )

        assert sorted(at_once(outcome(back), outcome(back))) == ["conflict", "done"]
        key.refresh_from_db()
        assert key.rpm == 100


def test_an_answer_against_a_key_that_changes(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        first = changed(cast, key, rpm=60)
        request = ask_change(key, cast.requester, burst=5)

        def back(first: KeyChange = first) -> None:
            by: Any = cast.security
            roll_back_change(
                actor=staff_actor(by), by=by, request=first.request, reason="It broke.", now=timezone.now()
            )

        decided, rolled = at_once(answering(open_step(request), cast.pm), outcome(back))
        key.refresh_from_db()
        # One of the two came first; the other found the key changed.
        assert {decided, rolled} == {"done", "conflict"}
        assert (key.rpm, key.burst) == ((60, 5) if decided == "done" else (100, 20))


def test_a_conflict_is_no_decision(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=50)
    Key.objects.filter(pk=key.pk).update(burst=1)
    assert answering(open_step(request), cast.pm)() == "conflict"
    assert not request.decisions.exists()
    with pytest.raises(Conflict):
        ask_change(key, cast.pm, rpm=60)
