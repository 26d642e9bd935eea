"""The recipient's self-test: is the key stored whole, what would each check answer? (K3)"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import transaction

from audit.actions import Action
from audit.models import Event
from audit.services import record
from core.actors import Actor
from core.addresses import holds, parse_address, parse_network
from core.ids import refs
from keys.hotstore import publish as hotstore
from keys.models import Delivery, Key, Secret
from keys.secrets import form as secret_format
from keys.secrets import pasted
from keys.secrets.hashing import digests, verify_digest

ATTEMPTS_A_MINUTE = 10
USABLE = {Key.Status.ACTIVE, Key.Status.RETIRING}


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer; `detail` holds plain data for a person who reads JSON."""

    name: str
    ok: bool
    detail: Any = None


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the self-test answers. Without a proven key there are no checks beyond the failing one."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether calls with this key from here would be let through now."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """For the answer to curl."""
        checks = {check.name: {"ok": check.ok, "detail": check.detail} for check in self.checks}
        return {"ok": self.ok, "checks": checks}


def run_self_test(*, actor: Actor, delivery: Delivery, fields: tuple[str, str], now: datetime) -> SelfTest:
    """Check a key against the registry, for the holder of its delivery link.

    `fields` are the values of Authorization and X-API-Key, read as the verifier reads them.
    Link and key together are needed, so this is no oracle for either. Ten tries a minute. The first time that
    all is well leaves an event. The key's use is not counted: no limit is touched.
    """
    if not _may_try(delivery, now):
        return SelfTest((Check("attempts", ok=False, detail="Too many tries. Wait for a minute."),))
    try:
        text = pasted.secret_of_fields(*fields)
    except pasted.KeyFieldError as error:
        return SelfTest((Check("form", ok=False, detail=str(error)),))
    if secret_format.parse(text) is None:
        detail = f"{len(text)} characters came. {pasted.flaw_of(text) or 'They are no key.'}"
        return SelfTest((Check("form", ok=False, detail=detail),))
    secret = _prove(text, delivery)
    if secret is None:
        return SelfTest(
            (Check("form", ok=True), Check("known", ok=False, detail="This is not the key of this link."))
        )
    result = SelfTest((Check("form", ok=True), Check("known", ok=True), *_checks(secret, actor, now)))
    if result.ok:
        _record_first(actor, delivery, secret, now)
    return result


def _may_try(delivery: Delivery, now: datetime) -> bool:
    name = f"self-test:{delivery.uid}:{int(now.timestamp()) // 60}"
    cache.add(name, 0, timeout=120)
    return bool(cache.incr(name) <= ATTEMPTS_A_MINUTE)


def _prove(text: str, delivery: Delivery) -> Secret | None:
    for _version, value in digests(text):
        secret = (
            Secret.objects.select_related("key__workspace", "key__partner")
            .filter(digest=value, key=delivery.key_id)
            .first()
        )
        if secret is not None:
            return secret if verify_digest(secret.argon2_hash, value) else None
    return None


def _checks(secret: Secret, actor: Actor, now: datetime) -> tuple[Check, ...]:
    key = secret.key
    alive = secret.status in {Secret.Status.LIVE, Secret.Status.OVERLAP}
    running = key.status in USABLE and key.partner.is_active and key.workspace.is_active
    return (
        Check("status", ok=alive and running, detail=str(key.status)),
        Check("dates", ok=key.expires_at > now, detail={"expires_at": key.expires_at.isoformat()}),
        Check("environment", ok=True, detail=key.environment),
        Check("workspace", ok=key.workspace.is_active, detail=key.workspace.code),
        Check(
            "address",
            ok=_inside(actor.ip, key.ip_ranges),
            detail={"yours": actor.ip, "allowed": key.ip_ranges},
        ),
        Check("scopes", ok=bool(key.scopes), detail=key.scopes),
        Check("limits", ok=True, detail={"minute": key.rpm or None, "hour": key.rph or None}),
        Check("verifier", ok=hotstore.publish_key(key.public_id)),
    )


def _inside(address: str, ranges: list[str]) -> bool:
    if not ranges:
        return True
    try:
        return holds(map(parse_network, ranges), parse_address(address))
    except ValueError:
        return False


@transaction.atomic
def _record_first(actor: Actor, delivery: Delivery, secret: Secret, now: datetime) -> None:
    delivery = Delivery.objects.select_for_update().select_related("recipient", "key").get(pk=delivery.pk)
    told = Event.objects.filter(
        objects_touched__contains=refs(delivery.key),
        action=Action.DELIVERY_TESTED,
        payload__key_id=secret.public_id,
    )
    if told.exists():
        return
    record(
        Action.DELIVERY_TESTED,
        actor=actor,
        objects=refs(delivery.key, delivery.recipient),
        payload={"recipient": delivery.recipient.public_id, "key_id": secret.public_id},
        now=now,
    )
