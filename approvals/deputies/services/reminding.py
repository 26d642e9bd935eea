"""Time on open steps: reminders, and escalation to a role's deputies, in business hours (A5).

Nothing here ever decides. A late sweep says everything once: whoever missed two reminders gets one, and who
is told of an escalation gets none besides.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts.models import User
from approvals.models import Request, Step, StepReminder
from approvals.path.access import decided_refs
from approvals.path.bench import PEOPLE_OF_DECISIONS, Bench, barring, refs_in
from approvals.path.services.locking import lock_free_request
from approvals.path.services.path import guardians, send_link
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.business_time import add_business_hours, office
from core.ids import refs
from notifications.services import enqueue
from partners.models import Contact

# A reminder carries the link that the person has, unless it would die within this time.
LINK_STILL_LIVES = timedelta(hours=24)


def keep_time(*, now: datetime) -> int:
    """Remind and escalate what is due; returns how many requests were seen to.

    Nothing happens while the office is closed: what falls due then is said at the next opening; but not to
    those on whom an emergency waits, whose hours are the clock's (A8). At first sight in a constant number of
    queries, then one by one. Safe to run twice at once: each request is locked.
    """
    actor = SYSTEM("approvals.keep_time")
    due = _due_requests(now, urgent_only=not office().is_open(now))
    return sum(_see_to(actor, request_pk, now) for request_pk in due)


def _due_requests(now: datetime, *, urgent_only: bool) -> list[int]:
    bench = Bench.read()
    steps = (
        Step.objects.filter(state=Step.State.OPEN, request__state=Request.State.IN_REVIEW)
        .filter(request__frozen_at=None)
        .select_related("request__requester", "request__emergency", "contact")
        .prefetch_related("links", "reminders", *PEOPLE_OF_DECISIONS)
        .order_by("request_id")
    )
    if urgent_only:
        steps = steps.filter(request__emergency_at__isnull=False)
    return [
        step.request_id
        for step in steps
        if (_is_urgent(step) or not urgent_only)
        and (_is_late(step, now) or any(True for _due in _reminders(step, bench, _decided(step), now)))
    ]


def _decided(step: Step) -> set[str]:
    return refs_in(barring(step, step.request.decisions.all()))


def _is_late(step: Step, now: datetime) -> bool:
    """Due and not escalated yet, or so long ago that the role's deputies follow the standing ones."""
    if step.escalated_at is None:
        return step.due_at is not None and step.due_at <= now
    return (
        step.deputies_at is None
        and add_business_hours(step.escalated_at, settings.STANDING_DEPUTY_HOURS) <= now
    )


def _reminders(
    step: Step, bench: Bench, decided: set[str], now: datetime
) -> Iterator[tuple[User | Contact, int]]:
    """Whom to remind now, and after how many hours: counted from when the person was first asked."""
    people: list[User | Contact] = [asked.user for asked in bench.asked(step, decided)]
    if step.contact is not None:
        people = [step.contact]
    said = {(reminder.person_ref, reminder.hours) for reminder in step.reminders.all()}
    for person in people:
        asked_at = [
            link.created_at
            for link in step.links.all()
            if person.pk == (link.staff_id if isinstance(person, User) else link.contact_id)
        ]
        if not asked_at:
            continue  # approvals.watch_steps asks them in a moment
        passed = [hours for hours, at in _moments(step, min(asked_at)) if at <= now]
        if passed and not any((person.public_id, hours) in said for hours in _from(passed[-1])):
            yield person, passed[-1]


def _is_urgent(step: Step) -> bool:
    """Whether an emergency's key runs on this step's answer: it is due by the clock (A8)."""
    emergency = getattr(step.request, "emergency", None)
    return emergency is not None and step.due_at is not None and step.due_at <= emergency.due_at


def _moments(step: Step, asked_at: datetime) -> list[tuple[int, datetime]]:
    """When to remind somebody: after business hours, but in an emergency when half of the time is gone."""
    if _is_urgent(step) and step.due_at is not None and asked_at < step.due_at:
        half = (step.due_at - asked_at) / 2
        return [(0, asked_at + half)]
    return [(hours, add_business_hours(asked_at, hours)) for hours in settings.REMINDER_HOURS]


def _from(hours: int) -> list[int]:
    return [mark for mark in (0, *settings.REMINDER_HOURS, settings.ESCALATION_HOURS) if mark >= hours]


@transaction.atomic
def _see_to(actor: Actor, request_pk: int, now: datetime) -> bool:
    request = lock_free_request(request_pk)
    if request is None or request.state != Request.State.IN_REVIEW:
        return False
    step = (
        request.steps.select_for_update(of=("self",))
        .filter(state=Step.State.OPEN)
        .select_related("contact")
        .first()
    )
    if step is None:
        return False
    if _is_late(step, now):
        _escalate(actor, step, now)
        return True
    due = list(_reminders(step, Bench.read(), decided_refs(step), now))
    for person, hours in due:
        _remind(actor, step, person, hours, now)
    return bool(due)


def _remind(actor: Actor, step: Step, person: User | Contact, hours: int, now: datetime) -> None:
    StepReminder.objects.create(step=step, person_ref=person.public_id, hours=hours, sent_at=now)
    number = step.request.public_id
    payload: dict[str, object] = {"step": step.role, "recipient": person.public_id}
    if hours:  # in an emergency the clock counts, and half of the time says nothing in business hours
        payload["hours"] = hours
    record(Action.STEP_REMINDED, actor=actor, objects=refs(number), payload=payload, now=now)
    kind = "step_reminder" if isinstance(person, User) else "consent_reminder"
    mine = {"staff": person} if isinstance(person, User) else {"contact": person}
    link = step.links.filter(
        used_at=None, died_at=None, expires_at__gte=now + LINK_STILL_LIVES, **mine
    ).first()
    if link is None:
        send_link(actor=actor, step=step, recipient=person, kind=kind, now=now)
        return
    enqueue(
        kind,
        recipient_ref=person.public_id,
        context={"link": str(link.uid)},
        dedupe_key=f"{kind}:{step.pk}:{person.public_id}:{hours}",
        objects=refs(number),
        now=now,
    )


def _escalate(actor: Actor, step: Step, now: datetime) -> None:
    """First those whom the people asked have named may decide, then the role's deputies (A5).

    Where nobody has named anybody who may decide here, the role's deputies may at once. Requester and
    approvers are told. A rights-holder has no deputy: nobody can consent in their place, and the requester is
    asked to call them.
    """
    request, decided, bench = step.request, decided_refs(step), Bench.read()
    is_first = step.escalated_at is None
    step.escalated_at = step.escalated_at or now
    if not is_first or not any(able.behind for able in bench.able(step, decided)):
        step.deputies_at = now
    step.save(update_fields=["escalated_at", "deputies_at"])
    asked = [able.user for able in bench.asked(step, decided)]
    had = {link.staff_id for link in step.links.all()}
    deputies = [person for person in asked if person.pk not in had]
    record(
        Action.STEP_ESCALATED,
        actor=actor,
        objects=refs(request),
        payload={
            "step": step.role,
            "people": [person.public_id for person in deputies],
            "due_at": step.due_at,
        },
        now=now,
    )
    for person in deputies:
        send_link(actor=actor, step=step, recipient=person, now=now)
    waiting = [person for person in asked if person.pk in had]
    StepReminder.objects.bulk_create(
        [
            StepReminder(step=step, person_ref=person.public_id, hours=settings.ESCALATION_HOURS, sent_at=now)
            for person in waiting
        ],
        ignore_conflicts=True,
    )
    helpless = [] if deputies or step.contact is not None else list(guardians())
    for ref in dict.fromkeys(p.public_id for p in [request.requester, *waiting, *helpless]):
        enqueue(
            "step_escalated",
            recipient_ref=ref,
            context={"step": step.pk},
            dedupe_key=f"step_escalated:{step.pk}:{'' if is_first else 'deputies:'}{ref}",
            objects=refs(request),
            now=now,
        )
