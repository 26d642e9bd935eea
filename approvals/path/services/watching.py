"""Looking after open steps as staff come and go: none is stuck unseen, nobody able is left unasked (A2)."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from accounts.models import User
from approvals.models import Step
from approvals.path.access import decided_refs
from approvals.path.bench import PEOPLE_OF_DECISIONS, Able, Bench, barring, refs_in
from approvals.path.services.locking import lock_free_request
from approvals.path.services.lost_links import came_back, lost_links, settle_undeliverable
from approvals.path.services.path import alarm_stuck, alarm_undeliverable, send_link
from approvals.path.standing import n_answers
from core.actors import SYSTEM, Actor


def watch_steps(*, now: datetime) -> int:
    """Returns how many steps were seen to: at first sight in a constant number of queries, then one by one.

    A step that lost its last decider (left, lost the role) alarms; one that has enough people again is no
    longer stuck, and one whose lost mail was to somebody who has left is no longer undeliverable. Whoever has
    become able to decide is sent a link: others of the role, a deputy once somebody is away, and that person
    again once they are back (A5). Safe to run twice at once: each request is locked.
    """
    actor = SYSTEM("approvals.watch_steps")
    return sum(_see_to(actor, request_pk, now) for request_pk in _conspicuous_requests())


def _conspicuous_requests() -> list[int]:
    bench = Bench.read()
    steps = list(
        Step.objects.filter(state=Step.State.OPEN, contact=None, request__frozen_at=None)
        .select_related("request__requester")
        .prefetch_related("links", "standings", *PEOPLE_OF_DECISIONS)
        .order_by("request_id")
    )
    lost = {link.pk for link in came_back(link for step in steps for link in step.links.all())}
    found = []
    for step in steps:
        decisions = list(step.request.decisions.all())
        decided = refs_in(barring(step, decisions))
        n_here = sum(decision.step_id == step.pk for decision in decisions) + len(step.standings.all())
        able = bench.able(step, decided)
        here = {one.user.pk for one in able}
        is_lost = any(link.pk in lost and link.staff_id in here for link in step.links.all())
        if (
            _unasked(bench.asked(step, decided), step)
            or _lacks_people(able, n_here, step) != (step.stuck_at is not None)
            or is_lost != (step.undeliverable_at is not None)
        ):
            found.append(step.request_id)
    return found


def _unasked(asked: Iterable[Able], step: Step) -> list[User]:
    have = {link.staff_id for link in step.links.all() if link.staff_id is not None}
    return [person.user for person in asked if person.user.pk not in have]


def _lacks_people(able: Iterable[Able], n_here: int, step: Step) -> bool:
    return n_answers(person.standing for person in able) + n_here < step.n_needed


@transaction.atomic
def _see_to(actor: Actor, request_pk: int, now: datetime) -> bool:
    request = lock_free_request(request_pk)
    if request is None:
        return False
    step = request.steps.select_for_update().filter(state=Step.State.OPEN, contact=None).first()
    if step is None:
        return False
    bench, decided = Bench.read(), decided_refs(step)
    unasked = _unasked(bench.asked(step, decided), step)
    for person in unasked:
        send_link(actor=actor, step=step, recipient=person, now=now)
    is_stuck = _lacks_people(bench.able(step, decided), step.decisions.count() + step.standings.count(), step)
    changed = is_stuck != (step.stuck_at is not None)
    if changed and is_stuck:
        alarm_stuck(actor=actor, step=step, now=now)
    elif changed:
        step.stuck_at = None
        step.save(update_fields=["stuck_at"])
    return _see_to_mails(actor, step, now) or changed or bool(unasked)


def _see_to_mails(actor: Actor, step: Step, now: datetime) -> bool:
    """Whose mail came back is seen for as long as they may decide: not before, and not after (A3)."""
    if step.undeliverable_at is not None:
        return settle_undeliverable(step)
    if not lost_links(step):
        return False
    alarm_undeliverable(actor=actor, step=step, now=now)
    return True
