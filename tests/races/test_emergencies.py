"""Not me, withdrawn consent and the emergency's deadline beside decisions: one honest end (A7-A9)."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.conf import settings
from django.utils import timezone

from approvals.models import Decision, Doubt, Emergency, Request
from approvals.path.services.emergency_end import suspend_late_emergencies
from audit.models import Event
from keys.models import Key
from tests.approvals.test_break_glass import break_the_glass
from tests.cast import Cast, consent, decide, open_step
from tests.doubts import look_into, not_me, proof_of_withdrawal, take_back
from tests.key_stories import reveal
from tests.races.test_decisions import answering, at_once, outcome

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 6


def doubting(decision: Decision) -> Callable[[], str]:
    return outcome(lambda: not_me(decision))


def withdrawing(decision: Decision) -> Callable[[], str]:
    proof = proof_of_withdrawal(decision)
    return outcome(lambda: take_back(decision, proof=proof))


def test_not_me_against_the_last_approval_leaves_no_key_that_runs(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        first = decide(request, cast.pm)
        decide(request, cast.legal)
        doubted, decided = at_once(doubting(first), answering(open_step(request), cast.tech))
        assert doubted == "done"
        request.refresh_from_db()
        assert request.frozen_at is not None
        if decided == "done":
            assert request.key is not None
            assert (request.key.status, request.key.held_for) == ("suspended", ["doubt"])
        else:
            assert decided == "conflict"
            assert (request.state, request.key) == ("in_review", None)


def test_eight_presses_are_one_doubt_and_one_call(cast: Cast) -> None:
    decision = decide(cast.request(), cast.pm)
    assert at_once(*[doubting(decision)] * 8) == ["done"] * 8
    assert Doubt.objects.count() == Event.objects.filter(action="request.frozen").count() == 1


def test_two_verdicts_at_once_one_stands(cast: Cast) -> None:
    decision = decide(cast.request(), cast.pm)
    doubting(decision)()
    doubt = Doubt.objects.select_related("request").get()

    looks = [outcome(partial(look_into, doubt, cast.security, word)) for word in ("stands", "rejected")]
    assert sorted(at_once(*looks)) == ["conflict", "done"]
    doubt.refresh_from_db()
    state = Request.objects.get().state
    assert state == ("in_review" if doubt.verdict == "stands" else "rejected")


def test_withdrawing_consent_against_the_last_approval(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request(cast.star_contract)
        decide(request, cast.pm)
        decision = consent(request)
        decide(request, cast.legal)
        withdraw = withdrawing(decision)
        withdrawn, decided = at_once(withdraw, answering(open_step(request), cast.tech))
        assert withdrawn == "done"
        request.refresh_from_db()
        if decided == "done":
            assert request.key is not None
            assert (request.key.status, request.key.held_for) == ("suspended", ["consent"])
        else:
            assert decided == "conflict"
            assert (request.state, request.key) == ("rejected", None)


def test_withdrawing_consent_against_the_reveal(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request(cast.star_contract)
        decide(request, cast.pm)
        decision = consent(request)
        decide(request, cast.legal)
        decide(request, cast.tech)
        key = Key.objects.get(request_ref=request.public_id)
        withdrawn, revealed = at_once(withdrawing(decision), outcome(partial(reveal, key)))
        assert withdrawn == "done"
        assert revealed in {"done", "conflict"}
        key.refresh_from_db()
        assert (key.status, key.held_for) == ("suspended", ["consent"])
        assert key.secrets.count() == (1 if revealed == "done" else 0)


def test_the_deadline_against_the_last_approval(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = break_the_glass(cast)
        decide(request, cast.pm)
        decide(request, cast.legal)
        late = timezone.now() + settings.EMERGENCY_LIFETIME + timedelta(minutes=1)
        sweep = partial(suspend_late_emergencies, now=late)
        decided, *swept = at_once(answering(open_step(request), cast.tech), sweep, sweep)
        assert decided == "done"
        assert sum(swept) in {0, 1}
        request.refresh_from_db()
        assert request.key is not None
        assert (request.state, request.emergency.state) == ("approved", "completed")
        assert (request.key.held_for, request.key.provisional_until) == ([], None)
        assert request.key.status == ("suspended" if sum(swept) else "pending")


def test_two_sweeps_suspend_once(cast: Cast) -> None:
    for _number in range(3):
        break_the_glass(cast)
    late = timezone.now() + settings.EMERGENCY_LIFETIME + timedelta(minutes=1)
    assert sum(at_once(*[partial(suspend_late_emergencies, now=late)] * 3)) == 3
    assert Event.objects.filter(action="request.emergency_late").count() == 3
    assert Emergency.objects.filter(state="late").count() == 3
