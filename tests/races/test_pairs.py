"""Real threads: an answer beside what sends back, freezes, asks again or takes away: one honest end (A10)."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from approvals.changes.services.after import roll_back_change
from approvals.changes.services.applying import apply_scheduled
from approvals.models import Decision, Doubt, KeyChange, PolicyVersion, Request, Step
from approvals.path.services.emergency_end import suspend_late_emergencies
from approvals.requests.services.requests import expire_requests, submit_request, withdraw_request
from approvals.requests.services.revising import pull_back
from core.actors import staff_actor
from keys.models import Key
from keys.terms.terms import KeyTerms
from tests.approvals.test_break_glass import break_the_glass
from tests.cast import Cast, consent, decide, open_step
from tests.changes import ask_change, changed, live_key
from tests.doubts import consent_of, look_into, not_me
from tests.key_stories import reveal, suspend
from tests.races.test_decisions import answering, at_once, outcome
from tests.races.test_emergencies import doubting, withdrawing

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 4
S = KeyChange.State


def fresh(request: Request) -> Request:
    return Request.objects.select_related("key").get(pk=request.pk)


def n_open(request: Request) -> int:
    return Step.objects.filter(request=request, state=Step.State.OPEN).count()


def rolling_back(change: KeyChange, by: User) -> Callable[[], str]:
    return outcome(
        lambda: roll_back_change(
            actor=staff_actor(by), by=by, request=change.request, reason="It broke.", now=timezone.now()
        )
    )


def issued(cast: Cast) -> tuple[Request, Key]:
    """A request that made a key, which its recipient has."""
    request = cast.request()
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    key = Key.objects.get(request_ref=request.public_id)
    reveal(key)
    return fresh(request), key


# --- an answer, and ----------------------------------------------------------------------------------


def test_an_approval_or_a_withdrawal_of_the_request(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        step, by = open_step(request), cast.requester
        withdraw = outcome(
            partial(
                withdraw_request,
                actor=staff_actor(by),
                by=by,
                request=request,
                version=request.version,
                now=timezone.now(),
            )
        )
        assert sorted(at_once(answering(step, cast.pm), withdraw)) == ["conflict", "done"]
        state, n = fresh(request).state, request.decisions.count()
        assert (state, n, n_open(request)) in {("in_review", 1, 1), ("withdrawn", 0, 0)}


def test_an_answer_to_the_old_terms_beside_the_new_ones(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        step, by = open_step(request), cast.requester
        terms = KeyTerms.from_json(request.revisions.get().terms)

        def edit_and_submit() -> None:
            actor, now = staff_actor(by), timezone.now()  # noqa: B023 - run within the round
            sent = pull_back(actor=actor, by=by, request=request, version=request.version, now=now)  # noqa: B023
            submit_request(
                actor=actor,
                by=by,  # noqa: B023
                request=sent,
                version=sent.version,
                terms=terms,  # noqa: B023
                now=timezone.now(),
            )

        decided, edited = at_once(answering(step, cast.pm), outcome(edit_and_submit))
        assert {decided, edited} == {"done", "conflict"}
        n_revisions = request.revisions.count()
        assert (n_revisions, request.decisions.count()) == ((1, 1) if decided == "done" else (2, 0))
        assert (fresh(request).state, n_open(request)) == ("in_review", 1)


def test_an_answer_beside_another_policy_goes_by_the_requests_own(cast: Cast) -> None:
    whole = cast.policy.rules["steps"]
    for number in range(ROUNDS):
        request = cast.request()
        step, policy = open_step(request), request.policy
        before = list(request.steps.values_list("role", flat=True))

        def in_force(steps: list[dict[str, Any]]) -> None:
            newest = PolicyVersion.objects.latest("number")
            newest.pk, newest.number = None, newest.number + 1
            newest.rules, newest.in_force_from = newest.rules | {"steps": steps}, timezone.now()
            newest.save(force_insert=True)

        shorter = [rule for rule in whole if rule["role"] != "legal"]
        another = outcome(partial(in_force, whole if number % 2 else shorter))
        assert at_once(answering(step, cast.pm), another) == ["done", "done"]
        assert list(request.steps.values_list("role", flat=True)) == before
        assert fresh(request).policy == policy
        assert open_step(request).role == before[1]


def test_an_answer_or_a_doubt_about_the_one_before(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        first = decide(request, cast.pm)
        doubted, decided = at_once(doubting(first), answering(open_step(request), cast.legal))
        assert doubted == "done"
        assert fresh(request).frozen_at is not None
        assert request.decisions.count() == (2 if decided == "done" else 1)
        assert n_open(request) == 1


@pytest.mark.parametrize("verdict", ["again", "rejected", "stands"])
def test_an_answer_beside_the_verdict_on_the_one_before(cast: Cast, verdict: str) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        doubt = not_me(decide(request, cast.pm))
        looked, decided = at_once(
            outcome(partial(look_into, doubt, cast.security, verdict)),
            answering(open_step(request), cast.legal),
        )
        assert looked == "done"
        end = fresh(request)
        assert end.frozen_at is None
        if verdict == "stands":  # thawed before the answer, or not yet
            assert (end.state, request.decisions.count()) == ("in_review", 2 if decided == "done" else 1)
        else:
            wanted = "changes_wanted" if verdict == "again" else "rejected"
            assert (decided, end.state, n_open(request)) == ("conflict", wanted, 0)


def test_the_end_of_its_time_or_a_doubt(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        first = decide(request, cast.pm)
        late = timezone.now() + settings.REQUEST_LIFETIME + timedelta(minutes=1)
        doubted, expired = at_once(doubting(first), partial(expire_requests, now=late))
        end = fresh(request)
        # What expired can be doubted afterwards, too; what is frozen never expires.
        assert (doubted, end.frozen_at is not None) == ("done", True)
        assert end.state == ("expired" if expired else "in_review")
        Doubt.objects.update(verdict="stands", reason="x", looked_by=cast.security, looked_at=late)
        Request.objects.filter(pk=request.pk).update(frozen_at=None)


def test_the_deadline_of_an_emergency_beside_a_doubt(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = break_the_glass(cast)
        first = decide(request, cast.pm)
        late = timezone.now() + settings.EMERGENCY_LIFETIME + timedelta(minutes=1)
        doubted, swept = at_once(doubting(first), partial(suspend_late_emergencies, now=late))
        assert doubted == "done"
        suspend_late_emergencies(now=late)
        end = fresh(request)
        assert end.key is not None
        assert (end.key.status, end.key.held_for) == ("suspended", ["doubt", "late"])
        assert swept in {0, 1}


# --- a key, and ----------------------------------------------------------------------------------------


def test_a_doubt_beside_the_same_persons_answer_about_the_same_key(cast: Cast) -> None:
    for _round in range(ROUNDS):
        made, key = issued(cast)
        asked = ask_change(key, cast.requester, rpm=200)
        decide(asked, cast.pm)
        decide(asked, cast.legal)
        first = made.decisions.get(staff=cast.tech)
        # Both lock the person and the key; neither waits for the other for ever.
        doubted, decided = at_once(doubting(first), answering(open_step(asked), cast.tech))
        assert (doubted, decided) == ("done", "done")
        key.refresh_from_db()
        assert (key.status, key.held_for, key.rpm) == ("suspended", ["doubt"], 200)


def test_two_doubts_about_a_key_cleared_at_once_let_it_go(cast: Cast) -> None:
    for _round in range(ROUNDS):
        made, key = issued(cast)
        change = changed(cast, key, rpm=50)
        doubts = [not_me(one.decisions.earliest("id")) for one in (made, change.request)]
        looks = [outcome(partial(look_into, doubt, cast.security)) for doubt in doubts]
        assert at_once(*looks) == ["done", "done"]
        key.refresh_from_db()
        assert (key.status, key.held_for) == ("suspended", [])


def test_a_doubt_cleared_beside_a_new_one_keeps_the_key_held(cast: Cast) -> None:
    for _round in range(ROUNDS):
        made, key = issued(cast)
        change = changed(cast, key, rpm=50)
        doubt = not_me(made.decisions.earliest("id"))
        looked, doubted = at_once(
            outcome(partial(look_into, doubt, cast.security)),
            doubting(change.request.decisions.get()),
        )
        assert (looked, doubted) == ("done", "done")
        key.refresh_from_db()
        assert (key.status, key.held_for) == ("suspended", ["doubt"])


def test_its_time_or_a_doubt(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        at = timezone.now() + timedelta(hours=2)
        change = changed(cast, key, rpm=50, not_before=at)
        doubted, applied = at_once(doubting(change.request.decisions.get()), partial(apply_scheduled, now=at))
        assert doubted == "done"
        change.refresh_from_db()
        key.refresh_from_db()
        if applied:
            assert (change.state, key.rpm, key.held_for) == (S.APPLIED, 50, ["doubt"])
        else:
            assert (change.state, key.rpm, key.held_for) == (S.SCHEDULED, 100, [])


def test_a_roll_back_or_a_doubt(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        change = changed(cast, key, rpm=50)
        doubted, rolled = at_once(
            doubting(change.request.decisions.get()), rolling_back(change, cast.security)
        )
        assert doubted == "done"
        key.refresh_from_db()
        # Rolled back first, the key does not stand on the answer any more.
        assert (key.rpm, key.held_for) == ((100, []) if rolled == "done" else (50, ["doubt"]))


def test_a_roll_back_or_an_answer_to_the_next_change(cast: Cast) -> None:
    for _round in range(ROUNDS):
        key, _text = live_key(cast)
        first = changed(cast, key, rpm=50)
        asked = ask_change(key, cast.requester, rpm=40)
        rolled, decided = at_once(rolling_back(first, cast.security), answering(open_step(asked), cast.pm))
        assert {rolled, decided} == {"done", "conflict"}
        key.refresh_from_db()
        assert key.rpm == (100 if rolled == "done" else 40)
        assert asked.decisions.count() == (1 if decided == "done" else 0)


def test_a_consent_taken_back_beside_the_start_of_the_key(cast: Cast) -> None:
    for _round in range(ROUNDS):
        made = cast.request(cast.star_contract)
        decide(made, cast.pm)
        first: Decision = consent(made)
        decide(made, cast.legal)
        decide(made, cast.tech)
        key = Key.objects.get(request_ref=made.public_id)
        reveal(key)
        suspend(key, cast.security)
        asked = ask_change(key, cast.requester, reactivates=True)
        decide(asked, cast.pm)
        consent(asked)
        decide(asked, cast.legal)
        withdrawn, decided = at_once(withdrawing(first), answering(open_step(asked), cast.tech))
        assert withdrawn == "done"
        assert decided in {"done", "conflict"}
        key.refresh_from_db()
        # The last word was no: whoever was first, the key stands still.
        assert (key.status, key.held_for) == ("suspended", ["consent"])
        assert consent_of(asked).step.role == "rights_holder"
