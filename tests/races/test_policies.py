"""Real threads on the policy: whatever comes in force beside it, a request goes by what was in force (A2)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals.models import PolicyVersion, Request
from approvals.policies.selectors.in_force import current_policy
from approvals.policies.services import (
    propose_policy,
    put_in_force,
    reject_policy,
    start_policy_draft,
    withdraw_policy,
)
from core.actors import staff_actor
from core.errors import Conflict
from tests.cast import Cast, make_request
from tests.races.test_decisions import at_once

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 6


def proposal(by: User) -> PolicyVersion:
    now, actor = timezone.now(), staff_actor(by)
    draft = start_policy_draft(actor=actor, by=by, source=current_policy(now), now=now)
    return propose_policy(
        actor=actor, by=by, policy=draft, version=draft.version, reason="Asked for.", now=now
    )


def outcome(act: Callable[[], Any]) -> Callable[[], str]:
    def run() -> str:
        try:
            act()
        except Conflict:
            return "conflict"
        return "done"

    return run


def putting(policy: PolicyVersion, by: User, instead_of: int) -> Callable[[], str]:
    now = timezone.now()
    return outcome(
        lambda: put_in_force(
            actor=staff_actor(by),
            by=by,
            policy=policy,
            version=policy.version,
            instead_of=instead_of,
            has_read_warnings=True,
            second_factor_at=now,
            now=timezone.now(),
        )
    )


def test_of_two_drafts_put_in_force_at_once_one_wins(cast: Cast) -> None:
    for _round in range(ROUNDS):
        before = current_policy(timezone.now())
        one, other = proposal(cast.legal), proposal(cast.security)
        results = at_once(putting(one, cast.coo, before.number), putting(other, cast.admin, before.number))
        assert sorted(results) == ["conflict", "done"]
        one.refresh_from_db()
        other.refresh_from_db()
        winner = one if results[0] == "done" else other
        assert {one.state, other.state} == {"in_force", "proposed"}
        assert current_policy(timezone.now()) == winner


def test_one_draft_answered_by_two_people_has_one_answer(cast: Cast) -> None:
    for _round in range(ROUNDS):
        before = current_policy(timezone.now())
        policy = proposal(cast.legal)
        now = timezone.now()
        common: dict[str, Any] = {"policy": policy, "version": policy.version, "now": now}
        results = at_once(
            putting(policy, cast.coo, before.number),
            outcome(
                lambda: reject_policy(
                    actor=staff_actor(cast.admin),
                    by=cast.admin,
                    reason="No.",
                    second_factor_at=now,  # noqa: B023
                    **common,  # noqa: B023
                )
            ),
            outcome(lambda: withdraw_policy(actor=staff_actor(cast.legal), by=cast.legal, **common)),  # noqa: B023
        )
        assert sorted(results) == ["conflict", "conflict", "done"]
        policy.refresh_from_db()
        assert policy.state in {"in_force", "rejected", "withdrawn"}


def test_a_request_goes_by_the_version_that_was_in_force_when_it_was_submitted(cast: Cast) -> None:
    for number in range(ROUNDS):
        before = current_policy(timezone.now())
        policy = proposal(cast.legal)
        terms = [replace(cast.terms(), name=f"{number}-{place}") for place in range(3)]

        def submitting(place: int) -> Callable[[], Request]:
            return lambda: make_request(terms[place], cast.requester)  # noqa: B023

        at_once(putting(policy, cast.coo, before.number), *[submitting(place) for place in range(3)])
    versions = list(PolicyVersion.objects.exclude(in_force_from=None).order_by("in_force_from", "number"))
    found = Request.objects.exclude(submitted_at=None)
    assert found.count() == 3 * ROUNDS
    for request in found:
        assert request.submitted_at is not None
        due = [v for v in versions if v.in_force_from and v.in_force_from <= request.submitted_at]
        assert request.policy == due[-1]
