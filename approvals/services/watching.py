"""Looking after open steps as staff come and go: none is stuck unseen, nobody able is left unasked (A2)."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from accounts.models import User
from approvals.access import person_of
from approvals.models import Request, Step
from approvals.policy import deciders
from approvals.services.path import alarm_stuck, send_link, staff_who_may_decide
from core.actors import SYSTEM, Actor


def watch_steps(*, now: datetime) -> int:
    """Returns how many steps were seen to: at first sight in a constant number of queries, then one by one.

    A step that lost its last decider (left, lost the role) alarms; one that has enough people again is no
    longer stuck; whoever has become able to decide is sent a link. Safe to run twice at once: each request is
    locked.
    """
    actor = SYSTEM("approvals.watch_steps")
    return sum(_see_to(actor, request_pk, now) for request_pk in _conspicuous_requests())


def _conspicuous_requests() -> list[int]:
    staff = list(User.objects.filter(is_active=True).exclude(roles=[]))
    pk_of = {user.public_id: user.pk for user in staff}
    people = [person_of(user) for user in staff]
    steps = (
        Step.objects.filter(state=Step.State.OPEN, contact=None)
        .select_related("request__requester")
        .prefetch_related("links", "request__decisions__staff")
        .order_by("request_id")
    )
    found = []
    for step in steps:
        decisions = list(step.request.decisions.all())
        able = deciders(
            people,
            role=step.role,
            requester=step.request.requester.public_id,
            decided={decision.staff.public_id for decision in decisions if decision.staff},
            named=step.people,
        )
        n_here = sum(decision.step_id == step.pk for decision in decisions)
        unasked = _unasked((pk_of[person.ref] for person in able), step)
        if unasked or (len(able) + n_here < step.n_needed) != (step.stuck_at is not None):
            found.append(step.request_id)
    return found


def _unasked(able: Iterable[int], step: Step) -> set[int]:
    return set(able) - {link.staff_id for link in step.links.all() if link.staff_id is not None}


@transaction.atomic
def _see_to(actor: Actor, request_pk: int, now: datetime) -> bool:
    request = Request.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=request_pk).first()
    if request is None:
        return False  # somebody is deciding just now; there is another look in a minute
    step = request.steps.select_for_update().filter(state=Step.State.OPEN, contact=None).first()
    if step is None:
        return False
    able = staff_who_may_decide(step)
    unasked = _unasked((person.pk for person in able), step)
    for person in able:
        if person.pk in unasked:
            send_link(actor=actor, step=step, recipient=person, now=now)
    is_stuck = len(able) + step.decisions.count() < step.n_needed
    changed = is_stuck != (step.stuck_at is not None)
    if changed and is_stuck:
        alarm_stuck(actor=actor, step=step, now=now)
    elif changed:
        step.stuck_at = None
        step.save(update_fields=["stuck_at"])
    return changed or bool(unasked)
