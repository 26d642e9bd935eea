"""What becomes of an approved change of a key: applied, or kept for its time, or taken back before it (R3).

Locks in the order of all approvals: request, change, then what the terms lean on, the key last.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Role
from approvals.changes.selectors.changes import present_terms
from approvals.changes.services.changing import require_notice
from approvals.changes.services.parts import lock_change, lock_change_of, objects_of, tell_of
from approvals.models import Decision, KeyChange, Request, Step
from approvals.path.selectors.holds import counts_for
from approvals.path.services.locking import lock_free_request
from approvals.wording import FROZEN
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, DomainError, Invalid, NotAllowed
from core.ids import refs
from keys.life.services.changing import Change, change_key, lock_key
from keys.life.services.issuing import hold
from keys.life.services.retiring import Cause
from keys.models import Key
from keys.rights.lifecycle import ENDED, running_status
from keys.status.services import release_key
from keys.terms.settings import require_unchanged
from keys.terms.terms import KeyTerms

S = KeyChange.State


def finish_change(*, actor: Actor, step: Step, decisions: Sequence[str], now: datetime) -> KeyChange:
    """Apply the change of a locked, approved request, or let it wait for its time. Raises Conflict."""
    change = lock_change(step.request)
    require_notice(change, KeyTerms.from_json(step.revision.terms), now)
    if change.not_before is None or change.not_before <= now:
        return _apply(actor, change, step.revision.terms, decisions, now)
    key = lock_key(change.key)
    require_unchanged(key, present_terms(key), bytes(change.base_digest))
    change.state = S.SCHEDULED
    change.save(update_fields=["state"])
    record(
        Action.CHANGE_SCHEDULED,
        actor=actor,
        objects=objects_of(change),
        payload={"key": key.public_id, "not_before": change.not_before},
        now=now,
    )
    tell_of(change, "scheduled", now)
    return change


def _apply(
    actor: Actor, change: KeyChange, terms: dict[str, Any], decisions: Sequence[str], now: datetime
) -> KeyChange:
    if change.reactivates:
        _let_go(actor, change, terms, now)
    key = change_key(
        actor=actor,
        key=change.key,
        change=Change(
            terms=KeyTerms.from_json(terms),
            based_on=bytes(change.base_digest),
            status=running_status(change.key, now) if change.reactivates else None,
            cause=Cause(
                by=change.request.requester,
                reason=change.why,
                short_notice=change.short_notice,
                request=change.request.public_id,
            ),
            details=(
                ("request", change.request.public_id),
                ("decisions", list(decisions)),
                ("reason", change.why),
            ),
        ),
        objects=refs(change.request),
        now=now,
    )
    change.key = key
    change.state, change.applied_at = S.APPLIED, now
    change.look_due_at = now + settings.CHANGE_LOOK_AFTER
    change.save(update_fields=["state", "applied_at", "look_due_at"])
    tell_of(change, "applied", now)
    return change


def _let_go(actor: Actor, change: KeyChange, terms: dict[str, Any], now: datetime) -> None:
    """Before a suspended key is started: consented to anew (A9), and nobody stopped it for another reason."""
    hold(KeyTerms.from_json(terms))  # before the key, as everywhere
    key = lock_key(change.key)
    asked_at = change.request.revisions.order_by("-number")[0].created_at
    if key.suspended_at is not None and key.suspended_at > asked_at:
        raise Conflict(
            _("The key was suspended again after this was asked for, so it has to be asked for anew.")
        )
    if counts_for(change.request.decisions.all(), key).exists():
        release_key(actor=actor, key=key, hold=Key.Hold.CONSENT, now=now)


def apply_scheduled(*, now: datetime, limit: int = 100) -> int:
    """Apply the changes whose time has come; returns how many ended, well or not. Safe to run twice at once.

    One that can't be applied (key changed, contract over) fails visibly, and its people are told; for a key
    that has ended meanwhile that is said at once.
    """
    is_due = Q(not_before__lte=now) | Q(key__status__in=ENDED)
    due = KeyChange.objects.filter(is_due, state=S.SCHEDULED).order_by("not_before", "id")
    return sum(_apply_due(pk, now) for pk in due.values_list("request", flat=True)[:limit])


@transaction.atomic
def _apply_due(request_id: int, now: datetime) -> bool:
    actor = SYSTEM("approvals.apply_changes")
    request = lock_free_request(request_id)
    if request is None:
        return False
    change = lock_change(request)
    if change.state != S.SCHEDULED:
        return False
    revision = request.revisions.order_by("-number")[0]
    in_force = request.decisions.filter(outcome=Decision.Outcome.APPROVE, fallen_at=None).order_by("id")
    decisions = [str(uid) for uid in in_force.values_list("uid", flat=True)]
    try:
        with transaction.atomic():
            _apply(actor, change, revision.terms, decisions, now)
    except DomainError as refusal:
        _fail(actor, change, refusal, now)
    return True


def _fail(actor: Actor, change: KeyChange, refusal: DomainError, now: datetime) -> None:
    change.refresh_from_db()
    sentence = str(refusal.message)
    change.state, change.ended_at, change.end_reason = S.FAILED, now, sentence
    change.applied_at = change.look_due_at = None
    change.save(update_fields=["state", "ended_at", "end_reason", "applied_at", "look_due_at"])
    record(
        Action.CHANGE_FAILED,
        actor=actor,
        objects=objects_of(change),
        payload={"key": change.key.public_id, "reason": sentence},
        now=now,
    )
    tell_of(change, "failed", now)


@transaction.atomic
def cancel_change(*, actor: Actor, by: User, request: Request, reason: str, now: datetime) -> KeyChange:
    """Take back an approved change before its time: the requester, or security. Conflict once it is over."""
    change = lock_change_of(request)
    if not may_cancel(by, change):
        raise NotAllowed(_("Only the requester or security may cancel this change."))
    if change.state != S.SCHEDULED:
        raise Conflict(
            _("The change is “%(state)s” now, so it can't be cancelled.")
            % {"state": change.get_state_display()}
        )
    if change.request.frozen_at is not None:
        raise Conflict(FROZEN)
    if not reason.strip():
        raise Invalid(_("Say why: those who approved it will ask."), field="reason")
    change.state, change.ended_at, change.ended_by = S.CANCELLED, now, by
    change.end_reason = reason.strip()
    change.save(update_fields=["state", "ended_at", "ended_by", "end_reason"])
    record(
        Action.CHANGE_CANCELLED,
        actor=actor,
        objects=objects_of(change),
        payload={"key": change.key.public_id, "reason": change.end_reason},
        now=now,
    )
    tell_of(change, "cancelled", now)
    return change


def drop_scheduled(
    *, actor: Actor, request: Request, reason: str, now: datetime, by: User | None = None
) -> None:
    """A locked request's change that waits for its time is not applied: what it stood on is gone (A7, A9)."""
    change = KeyChange.objects.select_for_update(of=("self",)).select_related("key").filter(request=request)
    found = change.filter(state=S.SCHEDULED).first()
    if found is None:
        return
    found.state, found.ended_at, found.ended_by, found.end_reason = S.CANCELLED, now, by, reason
    found.save(update_fields=["state", "ended_at", "ended_by", "end_reason"])
    record(
        Action.CHANGE_CANCELLED,
        actor=actor,
        objects=refs(request, found.key),
        payload={"key": found.key.public_id, "reason": reason},
        now=now,
    )


def may_cancel(by: User, change: KeyChange) -> bool:
    """Whether this person may take the change back before its time."""
    return by.is_active and (by.pk == change.request.requester_id or by.has_role(Role.SECURITY))
