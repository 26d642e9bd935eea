"""After a change of a key was applied: rolling it back, and the look at what it did (R3)."""

from contextlib import suppress
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission, Role
from approvals.changes.services.parts import lock_change, lock_change_of, objects_of, tell_of
from approvals.models import KeyChange, Request
from approvals.path.services.holds import settle_holds
from approvals.wording import FROZEN
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, DomainError, Invalid, NotAllowed
from core.ids import refs
from keys.life.services.changing import Change, change_key
from keys.life.services.retiring import Cause
from keys.models import Key
from keys.terms.settings import digest_of_settings
from keys.terms.terms import KeyTerms

S = KeyChange.State


@transaction.atomic
def roll_back_change(*, actor: Actor, by: User, request: Request, reason: str, now: datetime) -> KeyChange:
    """Give the key the settings from before its last change, which were approved once (R3).

    A change that loosened is taken back by a PM or security, at any time. Taking back one that tightened
    loosens: security only, within CHANGE_ROLLBACK. Raises NotAllowed, Invalid without a reason, Conflict when
    the key was changed since, has ended, or can't have those settings any more.
    """
    change = lock_change_of(request)
    if not by.may(Permission.ROLL_BACK_CHANGES):
        raise NotAllowed(_("Your roles do not allow rolling changes back."))
    refusal = why_no_rollback(by, change, now=now)
    if refusal:
        raise refusal
    if not reason.strip():
        raise Invalid(_("Say why: those who approved it will ask."), field="reason")
    _restore(actor, change, reason.strip(), by, now)
    return change


def _restore(actor: Actor, change: KeyChange, reason: str, by: User | None, now: datetime) -> None:
    revision = change.request.revisions.order_by("-number")[0]
    change.key = change_key(
        actor=actor,
        key=change.key,
        change=Change(
            terms=KeyTerms.from_json(change.base),
            based_on=digest_of_settings(KeyTerms.from_json(revision.terms)),
            status=_status_before(change),
            cause=Cause(by=by, reason=reason.strip(), request=change.request.public_id),
            action=Action.KEY_ROLLED_BACK,
            details=(("request", change.request.public_id), ("reason", reason)),
        ),
        objects=refs(change.request),
        now=now,
    )
    change.state, change.ended_at, change.ended_by, change.end_reason = S.ROLLED_BACK, now, by, reason
    change.save(update_fields=["state", "ended_at", "ended_by", "end_reason"])
    # With the change goes the consent that was given to it: one that was withdrawn before counts again (A9).
    settle_holds(actor=actor, key=change.key, now=now)
    tell_of(change, "rolled_back", now)


def undo_change(*, actor: Actor, request: Request, reason: str, by: User | None, now: datetime) -> None:
    """Take an applied change of a locked request back, because an approval of it is void (A7).

    Whatever its direction and however old it is. Where that can't be done (the key was changed since, the
    contract is over), the change stays, and with it whatever holds the key.
    """
    applied = KeyChange.objects.filter(request=request, state=S.APPLIED)
    if not applied.exists():
        return
    change = lock_change(request)
    if _later_change(change) is not None:
        return
    with suppress(DomainError), transaction.atomic():
        _restore(actor, change, reason, by, now)


def _status_before(change: KeyChange) -> Key.Status | None:
    """A key that the change started again is suspended again, unless somebody did so already."""
    running = change.reactivates and change.key.status != Key.Status.SUSPENDED
    return Key.Status.SUSPENDED if running else None


def why_no_rollback(by: User, change: KeyChange, *, now: datetime) -> Conflict | NotAllowed | None:
    """What speaks against rolling this change back now, as the refusal to raise; None when nothing does."""
    if change.state != S.APPLIED or change.applied_at is None:
        return Conflict(
            _("The change is “%(state)s” now, so there is nothing to roll back.")
            % {"state": change.get_state_display()}
        )
    if change.request.frozen_at is not None:
        return Conflict(FROZEN)
    last = _later_change(change)
    if last is not None:
        return Conflict(
            _("The key was changed again by %(number)s. Roll that one back first.")
            % {"number": last.request.public_id}
        )
    if change.direction == KeyChange.Direction.TIGHTENS:
        if not by.has_role(Role.SECURITY):
            return NotAllowed(_("Taking back a change that tightened loosens the key: only security may."))
        if now > change.applied_at + settings.CHANGE_ROLLBACK:
            return Conflict(
                _("More than %(days)s days have passed. Ask for a change: it will be approved anew.")
                % {"days": settings.CHANGE_ROLLBACK.days}
            )
    return None


def _later_change(change: KeyChange) -> KeyChange | None:
    later = KeyChange.objects.filter(key=change.key, applied_at__gt=change.applied_at)
    return later.exclude(state=S.ROLLED_BACK).select_related("request").first()


@transaction.atomic
def note_look(*, actor: Actor, by: User, request: Request, note: str, now: datetime) -> KeyChange:
    """The requester's or the owner's look at what the change did, with what they saw (R3)."""
    change = lock_change_of(request)
    if not may_look(by, change):
        raise NotAllowed(_("This look is asked of the requester and the key's owner."))
    if change.looked_at is not None or change.state != S.APPLIED:
        raise Conflict(_("This look is not asked for any more."))
    if not note.strip():
        raise Invalid(_("Write what you saw, in a sentence."), field="note")
    change.looked_at, change.looked_by, change.look_note = now, by, note.strip()
    change.save(update_fields=["looked_at", "looked_by", "look_note"])
    record(
        Action.CHANGE_LOOKED_AT,
        actor=actor,
        objects=objects_of(change),
        payload={"key": change.key.public_id, "note": change.look_note},
        now=now,
    )
    return change


def may_look(by: User, change: KeyChange) -> bool:
    """Whether the look is asked of this person."""
    return by.is_active and by.pk in {change.request.requester_id, change.key.owner_id}
