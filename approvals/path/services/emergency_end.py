"""How an emergency ends: approved afterwards, not in time, or not at all (A8).

All of them hold the request's lock, so the last approval and the deadline never both win.
"""

from datetime import datetime

from django.db import transaction

from accounts.models import User
from accounts.roles import Role
from approvals.models import Emergency, Request, Step
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.ids import refs
from keys.life.services.changing import Change, change_key, lock_key
from keys.models import Key
from keys.status.services import end_key, end_provision, hold_key, release_key
from keys.terms.settings import digest_of_settings, terms_of
from keys.terms.terms import KeyTerms
from notifications.services import enqueue

TOLD = (Role.PM, Role.LEGAL, Role.COO, Role.SECURITY, Role.ADMIN)


def complete_emergency(*, actor: Actor, request: Request, step: Step, now: datetime) -> Key:
    """After the last approval: the key is an ordinary one, on the terms that were approved.

    A key that had to be suspended at the deadline stays suspended until somebody starts it; one that has
    ended meanwhile stays ended. Conflict when the approved terms do not hold any more.
    """
    assert request.key is not None  # approvals_request_key_iff_approved
    key = request.key
    terms = KeyTerms.from_json(step.revision.terms)
    if not key.has_ended:
        based_on = digest_of_settings(terms_of(key))
        objects = refs(request)
        key = change_key(actor=actor, key=key, change=Change(terms, based_on), objects=objects, now=now)
        # A doubt too: what was void has been answered again.
        for hold in (Key.Hold.LATE, Key.Hold.DOUBT):
            release_key(actor=actor, key=key, hold=hold, now=now)
        end_provision(key, now=now)
    _end(actor, request, Emergency.State.COMPLETED, now)
    return key


def refuse_emergency(request: Request, *, now: datetime) -> None:
    """The request ended without its approvals: the key that it has already is revoked for ever."""
    if request.emergency_at is None or request.state == Request.State.APPROVED:
        return
    assert request.key is not None  # approvals_request_key_iff_approved
    actor = SYSTEM("approvals.refuse_emergency")
    key = lock_key(request.key)
    if not key.has_ended:
        end_key(actor=actor, key=key, reason=Key.RevokeReason.NOT_APPROVED, note="", now=now)
    _end(actor, request, Emergency.State.REFUSED, now)


def suspend_late_emergencies(*, now: datetime, limit: int = 100) -> int:
    """Suspend keys whose approvals are not complete in time, and tell everybody; returns how many.

    Safe to run twice at once. A request that somebody decides on at this moment is left to the next minute.
    """
    actor = SYSTEM("approvals.suspend_late_emergencies")
    with transaction.atomic():
        held = list(
            Request.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(emergency__state=Emergency.State.RUNNING, emergency__due_at__lte=now)
            .select_related("requester", "partner", "key")
            .order_by("id")[:limit]
        )
        # Read again behind the locks: what completed in between is late no more.
        due = set(
            Emergency.objects.filter(request__in=held, state=Emergency.State.RUNNING).values_list(
                "request", flat=True
            )
        )
        for request in held:
            if request.pk in due:
                _suspend(actor, request, now)
    return len(due)


def _suspend(actor: Actor, request: Request, now: datetime) -> None:
    assert request.key is not None  # approvals_request_key_iff_approved
    hold_key(actor=actor, key=request.key, hold=Key.Hold.LATE, now=now)
    Emergency.objects.filter(request=request).update(state=Emergency.State.LATE, late_at=now)
    _record(Action.EMERGENCY_LATE, actor, request, now)
    tell_all("emergency_late", request, now=now)


def _end(actor: Actor, request: Request, state: Emergency.State, now: datetime) -> None:
    Emergency.objects.filter(request=request).update(state=state, ended_at=now)
    completed = state == Emergency.State.COMPLETED
    _record(Action.EMERGENCY_COMPLETED if completed else Action.EMERGENCY_REFUSED, actor, request, now)
    tell_all("emergency_ended", request, now=now)


def _record(action: Action, actor: Actor, request: Request, now: datetime) -> None:
    assert request.key is not None
    objects = refs(request, request.key)
    record(action, actor=actor, objects=objects, payload={"key": request.key.public_id}, now=now)


def tell_all(kind: str, request: Request, *, now: datetime) -> None:
    """A mail to PMs, legal, the COO, security, the administrators and the requester."""
    people = {person.public_id for person in User.objects.with_role(*TOLD)}
    if request.requester.is_active:
        people.add(request.requester.public_id)
    for ref in sorted(people):
        enqueue(
            kind,
            recipient_ref=ref,
            context={"request": request.public_id},
            dedupe_key=f"{kind}:{request.public_id}:{ref}",
            objects=refs(request),
            now=now,
        )
