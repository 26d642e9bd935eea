"""Quarantine of keys: begin, end, and the sweep that tells of its end (K6); in force on the next check."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, Invalid
from core.ids import refs
from keys.access import require_may_suspend
from keys.models import Key, Scope
from keys.rights import lifecycle
from keys.rights.quarantine import MAX_HOURS
from keys.status.saving import save_key
from keys.status.services import MAX_NOTE, tell_holders
from keys.use.selectors.addresses import known_addresses

_FIELDS = ["quarantined_until", "quarantine_reason", "quarantine_scopes", "quarantine_addresses"]


@transaction.atomic
def quarantine_key(*, actor: Actor, by: User, key: Key, reason: str, hours: int, now: datetime) -> Key:
    """Leave a key only reading, a tenth of its limits and the addresses known before, for so many hours.

    Doing it again sets a new end. Raises NotAllowed, Invalid without a reason or for hours out of 1 to 168,
    Conflict for a key that does not run.
    """
    require_may_suspend(by)
    if not reason.strip():
        raise Invalid(_("Say why: the partner will ask."), field="reason")
    if not 1 <= hours <= MAX_HOURS:
        raise Invalid(_("A quarantine lasts from 1 to %(most)d hours.") % {"most": MAX_HOURS}, field="hours")
    key = Key.objects.select_for_update().get(pk=key.pk)
    if key.status not in {Key.Status.ACTIVE, Key.Status.RETIRING, Key.Status.PENDING}:
        lifecycle.require(key, Key.Status.SUSPENDED)
        raise Conflict(_("The key does not run, so there is nothing to narrow."))
    before = {"quarantined_until": _text(key.quarantined_until)}
    key.quarantined_until = now + timedelta(hours=hours)
    key.quarantine_reason = reason.strip()[:MAX_NOTE]
    key.quarantine_scopes = list(
        Scope.objects.filter(code__in=key.scopes, is_write=False, is_admin=False).values_list(
            "code", flat=True
        )
    )
    key.quarantine_addresses = known_addresses(key, now)
    save_key(key, *_FIELDS, now=now)
    payload = {
        "reason": key.quarantine_reason,
        "addresses": len(key.quarantine_addresses),
        "before": before,
        "after": {"quarantined_until": _text(key.quarantined_until), "scopes": key.quarantine_scopes},
    }
    _tell(Action.KEY_QUARANTINED, actor, key, payload, "key_quarantined", now)
    return key


@transaction.atomic
def end_quarantine(*, actor: Actor, by: User, key: Key, reason: str, now: datetime) -> Key:
    """Give a key back what it may do, before the quarantine ends by itself. NotAllowed, Invalid, Conflict."""
    require_may_suspend(by)
    if not reason.strip():
        raise Invalid(_("Say why it is safe to end the quarantine."), field="reason")
    key = Key.objects.select_for_update().get(pk=key.pk)
    if not key.is_quarantined:
        raise Conflict(_("The key is not in quarantine any more."))
    _release(actor, key, reason.strip()[:MAX_NOTE], now)
    return key


def end_due_quarantines(*, now: datetime, limit: int = 500) -> int:
    """Tell of quarantines whose time is up, and tidy them away; returns how many. Safe to run twice at once.

    The verifier goes by the time itself, so a late sweep holds nobody back.
    """
    with transaction.atomic():
        due = list(
            Key.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("recipient", "owner")
            .filter(quarantined_until__lte=now)
            .order_by("quarantined_until")[:limit]
        )
        _end_all(due, now)
    return len(due)


def _end_all(keys: Sequence[Key], now: datetime) -> None:
    for key in keys:
        _release(SYSTEM("keys.end_quarantines"), key, "", now)


def _release(actor: Actor, key: Key, reason: str, now: datetime) -> None:
    before = {"quarantined_until": _text(key.quarantined_until)}
    key.quarantined_until = None
    key.quarantine_reason = ""
    key.quarantine_scopes, key.quarantine_addresses = [], []
    save_key(key, *_FIELDS, now=now)
    payload: dict[str, object] = {"before": before, "after": {"quarantined_until": None}}
    if reason:
        payload["reason"] = reason
    kind = "" if key.has_ended else "key_quarantine_ended"
    _tell(Action.KEY_QUARANTINE_ENDED, actor, key, payload, kind, now)


def _tell(
    action: Action, actor: Actor, key: Key, payload: dict[str, object], kind: str, now: datetime
) -> None:
    """The event, and where `kind` says so a mail to whoever holds the key and to its owner."""
    record(action, actor=actor, objects=refs(key), payload=payload, now=now)
    if kind:
        tell_holders(kind, key, now)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
