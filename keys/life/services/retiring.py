"""Planned retirement: plan, move, call off; the notice and the falling limits; its close (K9).

A plan is part of a key's terms, so it is asked for, approved and rolled back as a change of them (R3):
`set_retirement` runs inside keys.life.services.changing. The end itself is keys.status.services.expire_keys.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict
from core.ids import refs
from keys.life.services.reminders import office_opens
from keys.models import Key, Retirement
from keys.rights import lifecycle, retirement
from keys.rights.limits import limits_of
from keys.status.saving import save_key
from notifications.services import enqueue

BATCH = 500
MOVED = [
    "ends_at",
    "notice_at",
    "share",
    "replacement",
    "asked_by",
    "request_ref",
    "reason",
    "short_notice",
]
LONGEST_FALL = max(ahead for ahead, _share in retirement.FALLS)


@dataclass(frozen=True, slots=True)
class Cause:
    """Who asked for it, why, why with less than 30 days of notice, and in which request."""

    by: User | None = None
    reason: str = ""
    short_notice: str = ""
    request: str = ""


def set_retirement(
    *,
    actor: Actor,
    key: Key,
    ends_at: datetime | None,
    replacement: Key | None,
    cause: Cause,
    now: datetime,
) -> None:
    """Plan, move or call off the retirement of a locked key: `ends_at` is its end, or None for none.

    Sets the key's fields; the caller saves them with the rest of the key, and its status with them. Raises
    Conflict for a key that nobody has collected and for a replacement that does not work.
    """
    standing = (
        Retirement.objects.select_for_update(of=("self",))
        .select_related("replacement")
        .filter(key=key, state__in=Retirement.OPEN)
        .first()
    )
    if ends_at is None:
        if standing is not None:
            _call_off(actor, key, standing, cause, now)
        return
    refusal = why_not(key, ends_at=ends_at, replacement=replacement)
    if refusal:
        raise Conflict(refusal)
    if standing is None:
        _plan(actor, key, ends_at, replacement, cause, now)
    else:
        _move(actor, key, standing, ends_at, replacement, cause, now)


def why_not(key: Key, *, ends_at: datetime, replacement: Key | None) -> str | Promise:
    """What speaks against retiring this key then; empty when nothing does."""
    if key.activated_at is None:
        return _("Nobody has collected this key yet, so there is nothing to retire: revoke it instead.")
    if replacement is None or replacement.pk == key.replacement_id:
        return ""
    if replacement.pk == key.pk:
        return _("A key can't replace itself.")
    if replacement.has_ended:
        return _("The replacement has ended itself.")
    if replacement.ends_at <= ends_at:
        return _("The replacement ends before this key does.")
    return ""


def _plan(
    actor: Actor, key: Key, ends_at: datetime, replacement: Key | None, cause: Cause, now: datetime
) -> None:
    notice_at = retirement.notice_from(ends_at, now)
    plan = Retirement.objects.create(
        key=key,
        ends_at=ends_at,
        notice_at=notice_at,
        replacement=replacement,
        asked_by=cause.by,
        request_ref=cause.request,
        reason=cause.reason,
        short_notice=cause.short_notice,
        planned_at=now,
    )
    _set_fields(key, plan)
    _record(Action.KEY_RETIREMENT_PLANNED, actor, key, plan, cause, now)
    if notice_at <= now:
        _give_notice(actor, key, plan, now)


def _move(
    actor: Actor,
    key: Key,
    plan: Retirement,
    ends_at: datetime,
    replacement: Key | None,
    cause: Cause,
    now: datetime,
) -> None:
    before = _said(plan)
    plan.ends_at, plan.replacement = ends_at, replacement
    plan.asked_by, plan.request_ref, plan.reason = cause.by, cause.request, cause.reason
    plan.short_notice = cause.short_notice or plan.short_notice
    # Notice that was given stays given: what the partner was told does not begin anew.
    if plan.state == Retirement.State.PLANNED:
        plan.notice_at = retirement.notice_from(ends_at, now)
    # People hear of the new end by the change's own mail; of limits that fall later, when they do.
    plan.share = retirement.share_at(ends_at, now)
    plan.save(update_fields=MOVED)
    _set_fields(key, plan)
    _record(Action.KEY_RETIREMENT_MOVED, actor, key, plan, cause, now, before=before)
    if plan.state == Retirement.State.PLANNED and plan.notice_at <= now:
        _give_notice(actor, key, plan, now)


def _call_off(actor: Actor, key: Key, plan: Retirement, cause: Cause, now: datetime) -> None:
    plan.state, plan.closed_at = Retirement.State.CALLED_OFF, now
    plan.save(update_fields=["state", "closed_at"])
    key.retires_at = key.retiring_from = key.replacement = None
    _record(Action.KEY_RETIREMENT_CALLED_OFF, actor, key, plan, cause, now)


def _set_fields(key: Key, plan: Retirement) -> None:
    key.retires_at, key.retiring_from, key.replacement = plan.ends_at, plan.notice_at, plan.replacement


def _said(plan: Retirement) -> dict[str, str]:
    replacement = plan.replacement.public_id if plan.replacement else ""
    return {"ends_at": plan.ends_at.isoformat(), "replacement": replacement}


def _record(
    action: Action,
    actor: Actor,
    key: Key,
    plan: Retirement,
    cause: Cause,
    now: datetime,
    before: dict[str, str] | None = None,
) -> None:
    payload = {
        **_said(plan),
        "notice_at": plan.notice_at.isoformat(),
        "reason": cause.reason,
        "request": cause.request,
    }
    if cause.short_notice:
        payload["short_notice"] = cause.short_notice
    more = {"before": before} if before else {}
    record(action, actor=actor, objects=refs(key, cause.request), payload={**payload, **more}, now=now)


# --- by the clock -----------------------------------------------------------------------------------------


def watch_retirements(*, now: datetime) -> int:
    """Give the notices that are due and tell of limits that have fallen; returns how many. Every minute.

    Safe to run twice at once. The verifier does not wait for it: it goes by the schedule itself.
    """
    return _sweep(_due_notices, _notice_in_sweep, now) + _sweep(_due_falls, _tell_fall, now)


def _due_notices(now: datetime) -> QuerySet[Retirement]:
    return Retirement.objects.filter(state=Retirement.State.PLANNED, notice_at__lte=now)


def _due_falls(now: datetime) -> QuerySet[Retirement]:
    found = Retirement.objects.filter(state=Retirement.State.NOTICED, ends_at__gt=now)
    near = found.filter(ends_at__lte=now + LONGEST_FALL).values_list("pk", "ends_at", "share")
    due = [pk for pk, ends_at, told in near if retirement.share_at(ends_at, now) != told]
    return found.filter(pk__in=due)


def _sweep(
    due: Callable[[datetime], QuerySet[Retirement]],
    act: Callable[[Actor, Key, Retirement, datetime], None],
    now: datetime,
) -> int:
    """Keys first, as everywhere; what somebody holds is left to the next minute."""
    with transaction.atomic():
        keys = {
            key.pk: key
            for key in Key.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("recipient", "owner")
            .filter(pk__in=due(now).values("key"), status__in=lifecycle.RUNNING)
            .order_by("id")[:BATCH]
        }
        # Asked again with the keys in hand: another sweep may have done it between our look and our lock.
        plans = list(
            due(now)
            .filter(key__in=keys)
            .select_for_update(of=("self",))
            .select_related("replacement")
            .order_by("id")
        )
        for plan in plans:
            act(SYSTEM("keys.watch_retirements"), keys[plan.key_id], plan, now)
    return len(plans)


def _notice_in_sweep(actor: Actor, key: Key, plan: Retirement, now: datetime) -> None:
    if key.status == Key.Status.ACTIVE:
        key.status = Key.Status.RETIRING
    save_key(key, "status", now=now)
    _give_notice(actor, key, plan, now)


def _give_notice(actor: Actor, key: Key, plan: Retirement, now: datetime) -> None:
    plan.state, plan.share = Retirement.State.NOTICED, retirement.share_at(plan.ends_at, now)
    plan.save(update_fields=["state", "share"])
    payload = {**_said(plan), "limits_percent": plan.share}
    record(Action.KEY_RETIRING, actor=actor, objects=refs(key), payload=payload, now=now)
    _tell("key_retiring", key, plan, now, step="notice", not_before=office_opens(now))


def _tell_fall(actor: Actor, key: Key, plan: Retirement, now: datetime) -> None:
    plan.share = retirement.share_at(plan.ends_at, now)
    plan.save(update_fields=["share"])
    record(
        Action.KEY_LIMITS_FELL,
        actor=actor,
        objects=refs(key),
        payload={"ends_at": plan.ends_at.isoformat(), "limits_percent": limits_of(key, now).share},
        now=now,
    )
    _tell("key_limits_fell", key, plan, now, step=f"{plan.ends_at.isoformat()}:{plan.share}")


def _tell(
    kind: str, key: Key, plan: Retirement, now: datetime, *, step: str, not_before: datetime | None = None
) -> None:
    for person in _people(key):
        enqueue(
            kind,
            recipient_ref=person,
            context={"key": key.public_id, "retirement": plan.pk},
            dedupe_key=f"{kind}:{key.public_id}:{plan.pk}:{step}:{person}",
            objects=refs(key),
            now=now,
            not_before=not_before,
        )


def _people(key: Key) -> Iterable[str]:
    return dict.fromkeys(p.public_id for p in (key.owner, key.recipient) if p.is_active)
