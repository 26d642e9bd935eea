"""Stopping and starting keys: suspend, reactivate, revoke, expire (K6, K8); in force on the next check."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, Invalid
from core.ids import refs
from keys.access import require_may_revoke, require_may_suspend
from keys.models import LIVE, Delivery, Key, Retirement, Secret
from keys.rights import lifecycle
from keys.status.saving import save_key, save_keys
from notifications.services import emit_metric, enqueue

MAX_NOTE = 500
# That a key was not collected in time is for the clock to say; that it was not approved, for its approvers.
NOT_FOR_PEOPLE = frozenset({Key.RevokeReason.UNCLAIMED, Key.RevokeReason.NOT_APPROVED})


@transaction.atomic
def suspend_key(*, actor: Actor, by: User, key: Key, reason: str, now: datetime) -> Key:
    """Stop a key for a while; reactivating undoes it (K6). NotAllowed, Conflict, Invalid without a reason."""
    require_may_suspend(by)
    if not reason.strip():
        raise Invalid(_("Say why: the partner will ask."), field="reason")
    key = Key.objects.select_for_update().get(pk=key.pk)
    lifecycle.require(key, Key.Status.SUSPENDED)
    before = key.status
    key.status = Key.Status.SUSPENDED
    key.status_reason = reason.strip()[:MAX_NOTE]
    key.suspended_at = now
    save_key(key, "status", "status_reason", "suspended_at", now=now)
    _tell(
        Action.KEY_SUSPENDED,
        actor=actor,
        key=key,
        payload={"reason": key.status_reason},
        before=before,
        kind="key_suspended",
        now=now,
    )
    return key


@transaction.atomic
def reactivate_key(*, actor: Actor, by: User, key: Key, reason: str, now: datetime) -> Key:
    """End a suspension: the key is again what it was, pending, active or retiring.

    Conflict once it has ended, and while something holds it: a reason of one's own is no consent (A7-A9).
    """
    require_may_suspend(by)
    if not reason.strip():
        raise Invalid(_("Say why it is safe to start the key again."), field="reason")
    key = Key.objects.select_for_update().get(pk=key.pk)
    if key.held_for and not key.has_ended:
        raise Conflict(key.holds[0])
    target = lifecycle.running_status(key, now)
    lifecycle.require(key, target)
    before = key.status
    key.status = target
    key.status_reason = ""
    key.suspended_at = None
    save_key(key, "status", "status_reason", "suspended_at", now=now)
    _tell(
        Action.KEY_REACTIVATED,
        actor=actor,
        key=key,
        payload={"reason": reason.strip()[:MAX_NOTE]},
        before=before,
        kind="key_reactivated",
        now=now,
    )
    return key


@transaction.atomic
def hold_key(*, actor: Actor, key: Key, hold: Key.Hold, now: datetime) -> bool:
    """Stop a key because what it stands on is missing or in doubt; it can't be started while it is held.

    A key that waits for its recipient can't be collected either. Returns whether anything changed: nothing
    does for a key that has ended or is held for this already. Checks no permission: the caller has a rule.
    """
    key = Key.objects.select_for_update(of=("self",)).select_related("recipient", "owner").get(pk=key.pk)
    if key.has_ended or hold in key.held_for:
        return False
    before = key.status
    key.held_for = sorted({*key.held_for, hold.value})
    if before == Key.Status.SUSPENDED:  # whoever stopped it can't start it again: an event, but no mail
        save_key(key, "held_for", now=now)
        after = {"held_for": key.held_for}
        objects = refs(key)
        record(Action.KEY_CHANGED, actor=actor, objects=objects, payload={"after": after}, now=now)
        return True
    key.status = Key.Status.SUSPENDED
    key.status_reason = ""
    key.suspended_at = now
    save_key(key, "status", "held_for", "status_reason", "suspended_at", now=now)
    _tell(
        Action.KEY_SUSPENDED,
        actor=actor,
        key=key,
        payload={"reason_code": hold.value},
        before=before,
        kind="key_suspended",
        now=now,
    )
    return True


@transaction.atomic
def release_key(*, actor: Actor, key: Key, hold: Key.Hold, now: datetime) -> bool:
    """Take one hold away. The key stays suspended: somebody starts it again, and says why that is safe."""
    key = Key.objects.select_for_update().get(pk=key.pk)
    if hold not in key.held_for:
        return False
    before = list(key.held_for)
    key.held_for = [code for code in before if code != hold]
    save_key(key, "held_for", now=now)
    record(
        Action.KEY_CHANGED,
        actor=actor,
        objects=refs(key),
        payload={"before": {"held_for": before}, "after": {"held_for": key.held_for}},
        now=now,
    )
    return True


def end_provision(key: Key, *, now: datetime) -> None:
    """The approvals of an emergency key are complete: it has no deadline any more (A8).

    Inside the caller's transaction, which says in its event that they are.
    """
    key = Key.objects.select_for_update().get(pk=key.pk)
    key.provisional_until = None
    save_key(key, "provisional_until", now=now)


@transaction.atomic
def revoke_key(
    *, actor: Actor, by: User, key: Key, reason: str, note: str, typed_number: str, now: datetime
) -> Key:
    """End a key for ever; the very next check is refused (K6, V4).

    `reason` is a `Key.RevokeReason`, but none of NOT_FOR_PEOPLE; `note` is required
    for "other", and `typed_number` must be the key's number: the server believes only what it was sent.
    Raises NotAllowed, Invalid, Conflict.
    """
    require_may_revoke(by)
    if reason not in Key.RevokeReason.values or reason in NOT_FOR_PEOPLE:
        raise Invalid(_("Choose a reason."), field="reason")
    if reason == Key.RevokeReason.OTHER and not note.strip():
        raise Invalid(_("Say what the reason is."), field="note")
    # As app.js compares it: a Japanese keyboard may write the number in full width.
    if unicodedata.normalize("NFKC", typed_number).strip().upper() != key.public_id:
        raise Invalid(_("Type the key's number exactly as it is written above."), field="typed_number")
    key = Key.objects.select_for_update().get(pk=key.pk)
    lifecycle.require(key, Key.Status.REVOKED)
    return end_key(actor=actor, key=key, reason=reason, note=note, now=now)


def end_key(*, actor: Actor, key: Key, reason: str, note: str, now: datetime) -> Key:
    """Revoke a key that the caller holds locked, with all that belongs to it. Checks no permission."""
    lifecycle.require(key, Key.Status.REVOKED)
    before = key.status
    key.status = Key.Status.REVOKED
    key.revoke_reason = reason
    key.status_reason = note.strip()[:MAX_NOTE]
    key.suspended_at = None
    key.ended_at = now
    save_key(key, "status", "revoke_reason", "status_reason", "suspended_at", "ended_at", now=now)
    Secret.objects.filter(key=key, status__in=[Secret.Status.LIVE, Secret.Status.OVERLAP]).update(
        status=Secret.Status.REVOKED, ends_at=now
    )
    Delivery.objects.filter(key=key, state=Delivery.State.WAITING).update(state=Delivery.State.EXPIRED)
    close_retirements([key], now=now)
    emit_metric("api_key_revoked", payload={"key": key.public_id, "reason": reason}, now=now)
    payload = {"reason_code": reason, "note": key.status_reason}
    _tell(
        Action.KEY_REVOKED, actor=actor, key=key, payload=payload, before=before, kind="key_revoked", now=now
    )
    return key


def _tell(
    action: Action, *, actor: Actor, key: Key, payload: dict[str, str], before: str, kind: str, now: datetime
) -> None:
    """The event, and a mail to whoever holds the key and to its owner."""
    record(
        action,
        actor=actor,
        objects=refs(key),
        payload={**payload, "before": {"status": before}, "after": {"status": key.status}},
        now=now,
    )
    tell_holders(kind, key, now)


def tell_holders(kind: str, key: Key, now: datetime) -> None:
    """A mail of this kind to whoever holds the key and to its owner, once for the key's revision."""
    for ref in (key.recipient.public_id, key.owner.public_id):
        enqueue(
            kind,
            recipient_ref=ref,
            context={"key": key.public_id},
            dedupe_key=f"{kind}:{key.public_id}:{key.revision}:{ref}",
            objects=refs(key),
            now=now,
        )


def expire_keys(*, now: datetime, limit: int = 1_000) -> int:
    """End keys whose time is up, in one set-based batch; returns how many. Safe to run twice at once (K8).

    Their time is the end of a planned retirement, where there is one, else their expiry (K9).

    Rows that somebody holds are left to the next minute; the verifier refuses an expired key by its date.
    """
    actor = SYSTEM("keys.expire_keys")
    with transaction.atomic():
        due = list(
            Key.objects.select_related("recipient", "owner")
            .select_for_update(skip_locked=True, of=("self",))
            .alias(ends=Coalesce("retires_at", "expires_at"))
            .filter(LIVE, status__in=lifecycle.RUNNING, ends__lte=now)
            .order_by("ends")[:limit]
        )
        _expire_batch(due, actor=actor, now=now)
    return len(due)


def _expire_batch(keys: Sequence[Key], *, actor: Actor, now: datetime) -> None:
    before = {key.pk: key.status for key in keys}
    for key in keys:
        key.status = Key.Status.EXPIRED
        key.suspended_at = None
        key.ended_at = now
    save_keys(keys, "status", "suspended_at", "ended_at", now=now)
    Secret.objects.filter(key__in=keys, status__in=[Secret.Status.LIVE, Secret.Status.OVERLAP]).update(
        status=Secret.Status.RETIRED, ends_at=now
    )
    Delivery.objects.filter(key__in=keys, state=Delivery.State.WAITING).update(state=Delivery.State.EXPIRED)
    close_retirements(keys, now=now)
    for key in keys:
        retired = key.retires_at is not None
        _tell(
            Action.KEY_RETIRED if retired else Action.KEY_EXPIRED,
            actor=actor,
            key=key,
            payload={"ends_at" if retired else "expires_at": key.ends_at.isoformat()},
            before=before[key.pk],
            kind="key_retired" if retired else "key_expired",
            now=now,
        )


def close_retirements(keys: Sequence[Key], *, now: datetime) -> None:
    """Their keys have ended, in the caller's transaction: on time, or before it by another way."""
    ended = Retirement.objects.filter(key__in=keys, state__in=Retirement.OPEN)
    ended.filter(ends_at__lte=now).update(state=Retirement.State.DONE, closed_at=now)
    ended.update(state=Retirement.State.OVERTAKEN, closed_at=now)
