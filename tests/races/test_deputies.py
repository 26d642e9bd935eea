"""Deputies, reminders and escalation beside decisions, at the same moment: one honest state (A5, A10)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals.deputies.services.deputies import (
    add_role_deputy,
    end_delegation,
    give_delegation,
    keep_delegations,
    remove_role_deputy,
)
from approvals.deputies.services.reminding import keep_time
from approvals.models import Decision, Request
from approvals.requests.services.requests import withdraw_request
from audit.models import Event
from core.actors import staff_actor
from core.business_time import add_business_hours
from notifications.models import Message
from tests.cast import Cast, make_staff, open_step
from tests.races.test_decisions import ROUNDS, answering, at_once, decisions_and_events, outcome

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_delegation_ends_while_its_deputy_decides(cast: Cast) -> None:
    for _round in range(ROUNDS):
        now = timezone.now()
        delegation = give_delegation(
            actor=staff_actor(cast.pm),
            giver=cast.pm,
            deputy=cast.legal,
            role="pm",
            starts_at=now,
            ends_at=now + timedelta(days=1),
            now=now,
        )
        request = cast.request()
        step = open_step(request)

        def end() -> object:
            return end_delegation(
                actor=staff_actor(cast.pm),
                by=cast.pm,
                delegation=delegation,  # noqa: B023 - run within the round
                now=timezone.now(),
            )

        said, ended = at_once(answering(step, cast.legal), outcome(end))
        assert ended == "done"
        assert said in {"done", "refused"}
        decisions = request.decisions.count()
        assert decisions_and_events(request) == (decisions, decisions) == (int(said == "done"),) * 2
        # Decided before the end, or not at all.
        delegation.refresh_from_db()
        assert delegation.ended_at is not None


def test_giver_and_deputy_at_once_are_one_answer(cast: Cast) -> None:
    now = timezone.now()
    giver = make_staff("Giver", "pm")
    give_delegation(
        actor=staff_actor(giver),
        giver=giver,
        deputy=cast.legal,
        role="pm",
        starts_at=now,
        ends_at=now + timedelta(days=1),
        now=now,
    )
    for _round in range(ROUNDS):
        request = cast.request()
        request.steps.filter(role="pm").update(n_needed=2)
        step = open_step(request)
        results = at_once(answering(step, giver), answering(step, cast.legal))
        assert sorted(results) == ["done", "refused"]
        assert decisions_and_events(request) == (1, 1)


def test_escalation_and_a_decision_at_once(cast: Cast) -> None:
    add_role_deputy(actor=staff_actor(cast.admin), role="pm", staff=cast.legal, now=timezone.now())
    for _round in range(ROUNDS):
        request = cast.request()
        step = open_step(request)
        assert step.due_at is not None
        due = step.due_at
        results = at_once(
            answering(step, cast.pm),
            lambda: keep_time(now=due),  # noqa: B023 - run within the round
            lambda: keep_time(now=due),  # noqa: B023
        )
        assert results[0] == "done"
        assert decisions_and_events(request) == (1, 1)
        number = f"request:{request.public_id}"
        told = Message.objects.filter(kind="step_escalated", objects_touched__contains=[number])
        refs = list(told.values_list("recipient_ref", flat=True))
        assert len(refs) == len(set(refs))
        escalated = Event.objects.filter(action="step.escalated", objects_touched__contains=[number]).count()
        step.refresh_from_db()
        assert escalated == int(step.escalated_at is not None)
        request.refresh_from_db()
        withdraw_request(
            actor=staff_actor(cast.requester),
            by=cast.requester,
            request=request,
            version=request.version,
            now=timezone.now(),
        )


def test_a_deputy_is_removed_while_deciding(cast: Cast) -> None:
    for _round in range(ROUNDS):
        admin = staff_actor(cast.admin)
        add_role_deputy(actor=admin, role="pm", staff=cast.legal, now=timezone.now())
        request = cast.request()
        step = open_step(request)
        assert step.due_at is not None
        keep_time(now=step.due_at)
        said, removed = at_once(
            answering(step, cast.legal),
            outcome(
                lambda: remove_role_deputy(actor=admin, role="pm", staff=cast.legal, now=timezone.now())  # noqa: B023
            ),
        )
        assert removed == "done"
        assert decisions_and_events(request) == (int(said == "done"),) * 2


def test_a_reminder_beside_a_withdrawal(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        step = open_step(request)
        assert step.opened_at is not None
        moment = add_business_hours(step.opened_at, 24)

        def withdraw() -> object:
            return withdraw_request(
                actor=staff_actor(cast.requester),
                by=cast.requester,
                request=request,  # noqa: B023 - run within the round
                version=request.version,  # noqa: B023
                now=timezone.now(),
            )

        results = at_once(
            outcome(withdraw),
            lambda: keep_time(now=moment),  # noqa: B023
            lambda: keep_time(now=moment),  # noqa: B023
        )
        assert results[0] == "done"
        request.refresh_from_db()
        assert request.state == Request.State.WITHDRAWN
        number = f"request:{request.public_id}"
        told = Message.objects.filter(kind="step_reminder", objects_touched__contains=[number])
        assert told.count() in {0, 2}
        assert not step.links.filter(died_at=None).exists()


def test_two_sweeps_begin_and_end_a_delegation_once(cast: Cast) -> None:
    now = timezone.now()
    for role, giver in (("pm", cast.pm), ("legal", cast.legal)):
        give_delegation(
            actor=staff_actor(giver),
            giver=giver,
            deputy=cast.security,
            role=role,
            starts_at=now + timedelta(hours=1),
            ends_at=now + timedelta(hours=2),
            now=now,
        )
    begun = at_once(*[lambda: keep_delegations(now=now + timedelta(hours=1)) for _number in range(4)])
    ended = at_once(*[lambda: keep_delegations(now=now + timedelta(hours=2)) for _number in range(4)])
    assert (sum(begun), sum(ended)) == (2, 2)
    for action in ("delegation.began", "delegation.ended"):
        assert Event.objects.filter(action=action).count() == 2
    assert not Decision.objects.exists()
