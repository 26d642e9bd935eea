"""What becomes of a change of a key: submitted, approved, scheduled, applied, cancelled, rolled back (R3).

Locks in the order of all approvals: request, change, then what the terms lean on, the key last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission, Role
from approvals.models import Decision, KeyChange, Request, Step
from approvals.selectors.changes import OPEN_STATES, direction_of, present_terms
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, DomainError, Invalid, NotAllowed
from keys.models import Key
from keys.selectors.settings import FIXED, digest_of_settings, require_unchanged
from keys.services.changing import Change, change_key, lock_key
from keys.services.status import release_key
from keys.terms import KeyTerms
from notifications.services import enqueue

S = KeyChange.State


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request to change a key says beside the new terms.

    `based_on` is the digest of the settings that the form showed as the present ones. `not_before` is an
    aware time, or None for at once.
    """

    based_on: bytes
    why: str
    not_before: datetime | None = None
    reactivates: bool = False

    def to_json(self) -> dict[str, Any]:
        """The part of a revision that decisions are bound to, beside the terms."""
        return {
            "based_on": self.based_on.hex(),
            "why": self.why,
            "not_before": self.not_before.isoformat() if self.not_before else "",
            "reactivates": self.reactivates,
        }


def fix_change(*, request: Request, terms: KeyTerms, wish: Wish, now: datetime) -> str:
    """Bind a locked request to the key as it is now; returns the fact `change` for the policy (R3).

    Raises Conflict when the key has ended, was changed since the form was opened or has another open change;
    Invalid when nothing differs, no reason is given, or the time can't be kept.
    """
    change = KeyChange.objects.select_for_update(of=("self",)).get(request=request)
    key = lock_key(change.key)
    base = present_terms(key)
    require_unchanged(key, base, wish.based_on)
    other = open_change_of(key)
    if other is not None and other.pk != change.pk:
        raise Conflict(
            _("Request %(number)s already asks for a change of this key. Only one can be open.")
            % {"number": other.request.public_id}
        )
    if any(getattr(base, name) != getattr(terms, name) for name in FIXED):
        raise Conflict(_("For another partner, workspace or environment a new key is needed."))
    if key.status == Key.Status.PENDING and base.recipient != terms.recipient:
        raise Invalid(_("The link to collect the key is on its way to its recipient."), field="recipient")
    if wish.reactivates and key.status != Key.Status.SUSPENDED:
        raise Conflict(_("The key is not suspended any more."))
    # A consent that was withdrawn can be given anew, on the path of this very change (A9); nothing else can.
    if wish.reactivates and set(key.held_for) - {Key.Hold.CONSENT}:
        raise Conflict(key.holds[0])
    change.direction = direction_of(base, terms, reactivates=wish.reactivates)
    if not change.direction:
        raise Invalid(_("Nothing differs from the key's present terms."))
    if not wish.why.strip():
        raise Invalid(_("Say why the key is to be changed."), field="why")
    _check_time(wish.not_before, key, now)
    change.state = S.IN_REVIEW
    change.base, change.base_digest = base.to_json(), digest_of_settings(base)
    change.reactivates, change.why = wish.reactivates, wish.why.strip()
    change.not_before = wish.not_before
    change.save(
        update_fields=["state", "base", "base_digest", "direction", "reactivates", "why", "not_before"]
    )
    return change.direction


def _check_time(not_before: datetime | None, key: Key, now: datetime) -> None:
    if not_before is None:
        return
    if not_before <= now:
        raise Invalid(_("This time has passed."), field="not_before")
    if not_before > now + settings.CHANGE_WINDOW:
        raise Invalid(
            _("At most %(days)s days ahead.") % {"days": settings.CHANGE_WINDOW.days}, field="not_before"
        )
    if not_before >= key.expires_at:
        raise Invalid(_("The key ends before this time."), field="not_before")


def open_change_of(key: Key) -> KeyChange | None:
    """The change of this key that is in approval or waits for its time."""
    return KeyChange.objects.filter(key=key, state__in=OPEN_STATES).select_related("request").first()


# --- after the last approval ------------------------------------------------------------------------------


def finish_change(*, actor: Actor, step: Step, decisions: Sequence[str], now: datetime) -> KeyChange:
    """Apply the change of a locked, approved request, or let it wait for its time. Raises Conflict."""
    change = _lock(step.request)
    if change.not_before is None or change.not_before <= now:
        return _apply(actor, change, step.revision.terms, decisions, now)
    key = lock_key(change.key)
    require_unchanged(key, present_terms(key), bytes(change.base_digest))
    change.state = S.SCHEDULED
    change.save(update_fields=["state"])
    record(
        Action.CHANGE_SCHEDULED,
        actor=actor,
        objects=_objects(change),
        payload={"key": key.public_id, "not_before": change.not_before},
        now=now,
    )
    _tell(change, "scheduled", now)
    return change


def _lock(request: Request) -> KeyChange:
    return (
        KeyChange.objects.select_for_update(of=("self",))
        .select_related("key__recipient", "key__owner", "request__requester", "request__partner")
        .get(request=request)
    )


def _apply(
    actor: Actor, change: KeyChange, terms: dict[str, Any], decisions: Sequence[str], now: datetime
) -> KeyChange:
    consents = change.request.decisions.filter(contact__isnull=False, withdrawal=None)
    if change.reactivates and consents.exists():
        release_key(actor=actor, key=change.key, hold=Key.Hold.CONSENT, now=now)  # consented to anew (A9)
    key = change_key(
        actor=actor,
        key=change.key,
        change=Change(
            terms=KeyTerms.from_json(terms),
            based_on=bytes(change.base_digest),
            status=running_status(change.key) if change.reactivates else None,
            details=(
                ("request", change.request.public_id),
                ("decisions", list(decisions)),
                ("reason", change.why),
            ),
        ),
        objects=[f"request:{change.request.public_id}"],
        now=now,
    )
    change.key = key
    change.state, change.applied_at = S.APPLIED, now
    change.look_due_at = now + settings.CHANGE_LOOK_AFTER
    change.save(update_fields=["state", "applied_at", "look_due_at"])
    _tell(change, "applied", now)
    return change


def running_status(key: Key) -> Key.Status:
    """What a suspended key is again once it is started."""
    return Key.Status.ACTIVE if key.activated_at else Key.Status.PENDING


# --- the window ---------------------------------------------------------------------------------------------


def apply_scheduled(*, now: datetime, limit: int = 100) -> int:
    """Apply the changes whose time has come; returns how many ended, well or not. Safe to run twice at once.

    One that can't be applied (key revoked, changed, contract over) fails visibly, and its people are told.
    """
    due = KeyChange.objects.filter(state=S.SCHEDULED, not_before__lte=now).order_by("not_before", "id")
    return sum(_apply_due(pk, now) for pk in due.values_list("request", flat=True)[:limit])


@transaction.atomic
def _apply_due(request_id: int, now: datetime) -> bool:
    actor = SYSTEM("approvals.apply_changes")
    request = Request.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=request_id).first()
    if request is None or request.frozen_at is not None:
        return False
    change = _lock(request)
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
        objects=_objects(change),
        payload={"key": change.key.public_id, "reason": sentence},
        now=now,
    )
    _tell(change, "failed", now)


@transaction.atomic
def cancel_change(*, actor: Actor, by: User, request: Request, reason: str, now: datetime) -> KeyChange:
    """Take back an approved change before its time: the requester, or security. Conflict once it is over."""
    change = _lock_by_request(request)
    if not may_cancel(by, change):
        raise NotAllowed(_("Only the requester or security may cancel this change."))
    if change.state != S.SCHEDULED:
        raise Conflict(
            _("The change is “%(state)s” now, so it can't be cancelled.")
            % {"state": change.get_state_display()}
        )
    if not reason.strip():
        raise Invalid(_("Say why: those who approved it will ask."), field="reason")
    change.state, change.ended_at, change.ended_by = S.CANCELLED, now, by
    change.end_reason = reason.strip()
    change.save(update_fields=["state", "ended_at", "ended_by", "end_reason"])
    record(
        Action.CHANGE_CANCELLED,
        actor=actor,
        objects=_objects(change),
        payload={"key": change.key.public_id, "reason": change.end_reason},
        now=now,
    )
    _tell(change, "cancelled", now)
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
        objects=[f"request:{request.public_id}", f"key:{found.key.public_id}"],
        payload={"key": found.key.public_id, "reason": reason},
        now=now,
    )


def may_cancel(by: User, change: KeyChange) -> bool:
    """Whether this person may take the change back before its time."""
    return by.is_active and (by.pk == change.request.requester_id or by.has_role(Role.SECURITY))


# --- rolling back -------------------------------------------------------------------------------------------


@transaction.atomic
def roll_back_change(*, actor: Actor, by: User, request: Request, reason: str, now: datetime) -> KeyChange:
    """Give the key the settings from before its last change, which were approved once (R3).

    A change that loosened is taken back by a PM or security, at any time. Taking back one that tightened
    loosens: security only, within CHANGE_ROLLBACK. Raises NotAllowed, Invalid without a reason, Conflict when
    the key was changed since, has ended, or can't have those settings any more.
    """
    change = _lock_by_request(request)
    if not by.may(Permission.ROLL_BACK_CHANGES):
        raise NotAllowed(_("Your roles do not allow rolling changes back."))
    refusal = why_no_rollback(by, change, now=now)
    if refusal:
        raise refusal
    if not reason.strip():
        raise Invalid(_("Say why: those who approved it will ask."), field="reason")
    revision = request.revisions.order_by("-number")[0]
    change.key = change_key(
        actor=actor,
        key=change.key,
        change=Change(
            terms=KeyTerms.from_json(change.base),
            based_on=digest_of_settings(KeyTerms.from_json(revision.terms)),
            status=_status_before(change),
            action=Action.KEY_ROLLED_BACK,
            details=(("request", request.public_id), ("reason", reason.strip())),
        ),
        objects=[f"request:{request.public_id}"],
        now=now,
    )
    change.state, change.ended_at, change.ended_by = S.ROLLED_BACK, now, by
    change.end_reason = reason.strip()
    change.save(update_fields=["state", "ended_at", "ended_by", "end_reason"])
    _tell(change, "rolled_back", now)
    return change


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
    later = KeyChange.objects.filter(key=change.key, applied_at__gt=change.applied_at)
    last = later.exclude(state=S.ROLLED_BACK).select_related("request").first()
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


# --- the look after it --------------------------------------------------------------------------------------


@transaction.atomic
def note_look(*, actor: Actor, by: User, request: Request, note: str, now: datetime) -> KeyChange:
    """The requester's or the owner's look at what the change did, with what they saw (R3)."""
    change = _lock_by_request(request)
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
        objects=_objects(change),
        payload={"key": change.key.public_id, "note": change.look_note},
        now=now,
    )
    return change


def may_look(by: User, change: KeyChange) -> bool:
    """Whether the look is asked of this person."""
    return by.is_active and by.pk in {change.request.requester_id, change.key.owner_id}


def _lock_by_request(request: Request) -> KeyChange:
    Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
    return _lock(request)


def _objects(change: KeyChange) -> list[str]:
    return [f"request:{change.request.public_id}", f"key:{change.key.public_id}"]


def _tell(change: KeyChange, what: str, now: datetime) -> None:
    """A mail to the requester and the owner; the recipient hears of what happens to the key, not of plans."""
    people = [change.request.requester.public_id, change.key.owner.public_id]
    if what != "failed":
        people.append(change.key.recipient.public_id)
    for ref in dict.fromkeys(people):
        enqueue(
            "change_news",
            recipient_ref=ref,
            context={"request": change.request.public_id, "what": what},
            dedupe_key=f"change_{what}:{change.request.public_id}:{ref}",
            objects=[f"request:{change.request.public_id}", f"key:{change.key.public_id}"],
            now=now,
        )
