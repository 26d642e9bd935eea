"""Changing the terms of a key that is issued: in one transaction, in force on the next check (R3, V4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict
from core.ids import ref
from keys.life.services.issuing import hold, plain_fields
from keys.life.services.retiring import Cause, set_retirement
from keys.models import Key
from keys.rights import lifecycle
from keys.status.names import NAMES, set_names
from keys.status.saving import save_key
from keys.terms.checks import Registry, find_problems
from keys.terms.settings import FIXED, require_unchanged, settings_of, terms_of
from keys.terms.terms import KeyTerms, end_of_day


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of a key.

    `based_on` is the digest of the settings that the change starts from: the key must still have them.
    `status` is the status that the key goes to, None where it stays. `action` is the event that tells of it,
    with `details` beside what was changed. `cause` is who asked for a retirement in it, and why (K9).
    """

    terms: KeyTerms
    based_on: bytes
    status: Key.Status | None = None
    action: Action = Action.KEY_CHANGED
    details: tuple[tuple[str, Any], ...] = ()
    cause: Cause | None = None


def change_key(*, actor: Actor, key: Key, change: Change, objects: Iterable[str], now: datetime) -> Key:
    """Give a key other terms. Runs inside the caller's transaction, which has decided that this may be.

    Everything that a new key's terms are checked for is checked again, the contract above all. Raises
    Conflict when the key has ended, was changed meanwhile, or can't have these terms (any more): then nothing
    is changed. After the commit the very next check is judged by the new terms.
    """
    hold(change.terms)
    key = lock_key(key)
    old = terms_of(key)
    require_unchanged(key, old, change.based_on)
    if any(getattr(old, name) != getattr(change.terms, name) for name in FIXED):
        raise Conflict(_("For another partner, workspace or environment a new key is needed."))
    registry = Registry.read(change.terms)
    problems = find_problems(change.terms, registry, now=now)
    if problems:
        raise Conflict(problems[0][1])
    if key.status == Key.Status.PENDING and old.recipient != change.terms.recipient:
        raise Conflict(_("The link to collect the key is on its way to its recipient. Wait for it first."))
    before, after = _difference(old, change.terms)
    was = key.status
    if change.status is not None:
        if key.held_for and change.status != Key.Status.SUSPENDED:
            raise Conflict(key.holds[0])
        lifecycle.require(key, change.status)
        key.status = change.status
        key.suspended_at = now if change.status == Key.Status.SUSPENDED else None
        key.status_reason = str(dict(change.details).get("reason", "")) if key.suspended_at else ""
    if {"retires_at", "replacement"} & {*before, *after}:
        _retire(actor, key, change, registry, now)
    if key.status != was:
        before["status"], after["status"] = was, key.status
    _write(key, change.terms, {*before, *after}, registry, now)
    payload = {"fields": sorted({*before, *after}), "before": before, "after": after, **dict(change.details)}
    record(change.action, actor=actor, objects=[ref(key), *objects], payload=payload, now=now)
    return key


def lock_key(key: Key) -> Key:
    """The key as it is now, locked, with all that its terms name."""
    return (
        Key.objects.select_for_update(of=("self",))
        .select_related(
            "partner", "workspace", "contract", "recipient", "billing_contact", "plan", "owner", "replacement"
        )
        .get(pk=key.pk)
    )


def _difference(old: KeyTerms, new: KeyTerms) -> tuple[dict[str, Any], dict[str, Any]]:
    was, will = settings_of(old), settings_of(new)
    names = [name for name in {**was, **will} if was.get(name) != will.get(name)]
    return {name: was.get(name, "") for name in names}, {name: will.get(name, "") for name in names}


def _retire(actor: Actor, key: Key, change: Change, registry: Registry, now: datetime) -> None:
    ends_at = change.terms.retires_at
    set_retirement(
        actor=actor,
        key=key,
        ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
        replacement=registry.replacement,
        cause=change.cause or Cause(),
        now=now,
    )
    if key.status in {Key.Status.ACTIVE, Key.Status.RETIRING}:
        target = lifecycle.running_status(key, now)
        if target != key.status:
            lifecycle.require(key, target)
            key.status = target


def _write(key: Key, terms: KeyTerms, changed: set[str], registry: Registry, now: datetime) -> None:
    # find_problems has made sure of these.
    assert registry.plan
    assert registry.recipient
    if key.rotation_due_on is not None:
        key.rotation_due_on += timedelta(days=terms.rotation_days - key.rotation_days)
    fields = plain_fields(terms)
    for name in ("environment", "expires_at"):
        del fields[name]
    for name, value in fields.items():
        setattr(key, name, value)
    if "expires_on" in changed:
        key.expires_at = end_of_day(date.fromisoformat(terms.expires_on))
    key.name = terms.name
    key.plan, key.contract = registry.plan, registry.contract
    key.recipient, key.billing_contact = registry.recipient, registry.billing_contact
    set_names(key, products=registry.products.values())
    save_key(key, *fields, *WRITTEN, now=now)
    key.products.set(registry.products.values())


WRITTEN = (
    "name",
    "plan",
    "contract",
    "recipient",
    "billing_contact",
    "expires_at",
    "retires_at",
    "retiring_from",
    "replacement",
    "rotation_due_on",
    "status",
    "status_reason",
    "suspended_at",
    *NAMES,
)
