"""Recording: the one door into the audit log."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import transaction

from audit.actions import Action, allowed_fields
from audit.models import Event, PersonKey
from core.actors import Actor
from core.sealing import seal, unseal

FORMAT = 1


class AuditError(RuntimeError):
    """A programming error: an event outside a transaction, or with a field that its action does not allow."""


def record(
    action: Action,
    *,
    actor: Actor,
    objects: Iterable[str],
    now: datetime,
    payload: Mapping[str, Any] | None = None,
) -> Event:
    """Add one event in the transaction of the change that it tells of (L1).

    `objects` are `kind:number` names, the first one being the main one. Payload values are plain data; dates,
    decimals and sets are written as text. Raises AuditError outside a transaction or for a field that
    the action's allow list lacks, so no change commits without its true event.
    """
    if not transaction.get_connection().in_atomic_block:
        raise AuditError("An event must be recorded in the transaction of its change.")
    data = _plain(dict(payload or {}))
    unknown = data.keys() - allowed_fields(action)
    if unknown:
        raise AuditError(f"{action} may not carry {sorted(unknown)}.")
    uid = uuid.uuid4()
    touched = list(objects)
    sealed = _seal_where(actor, now)
    body = {
        "format": FORMAT,
        "uid": str(uid),
        "at": now.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": action.value,
        "actor": {"kind": actor.kind, "ref": actor.ref},
        "objects": touched,
        "payload": data,
        "sealed": sealed,
        "request_id": actor.request_id,
    }
    canonical = rfc8785.dumps(body)
    return Event.objects.create(
        uid=uid,
        occurred_at=now,
        action=action.value,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        objects_touched=touched,
        payload=data,
        sealed=sealed,
        request_id=actor.request_id,
        canonical=canonical,
        digest=hashlib.sha256(canonical).digest(),
    )


def read_where(event: Event) -> dict[str, str]:
    """The actor's address and browser: `{"ip": …, "user_agent": …}`, empty when erased or never there."""
    if not event.sealed:
        return {}
    holder = PersonKey.objects.filter(person_ref=event.actor_ref).first()
    if holder is None:
        return {}
    key = unseal(holder.sealed_key, purpose="person-key")
    raw = bytes.fromhex(event.sealed)
    where: dict[str, str] = json.loads(AESGCM(key).decrypt(raw[:12], raw[12:], event.actor_ref.encode()))
    return where


def _seal_where(actor: Actor, now: datetime) -> str:
    if not actor.ip and not actor.user_agent:
        return ""
    holder = PersonKey.objects.filter(person_ref=actor.ref).first()
    if holder is None:
        fresh = seal(AESGCM.generate_key(256), purpose="person-key")
        holder, _ = PersonKey.objects.get_or_create(
            person_ref=actor.ref, defaults={"sealed_key": fresh, "created_at": now}
        )
    key = unseal(holder.sealed_key, purpose="person-key")
    nonce = os.urandom(12)
    plain = json.dumps({"ip": actor.ip, "user_agent": actor.user_agent}).encode()
    return (nonce + AESGCM(key).encrypt(nonce, plain, actor.ref.encode())).hex()


def _plain(value: Any) -> Any:
    """JSON's own types only: RFC 8785 leaves no room for others, nor for integers beyond 2^53."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    return value if value is None or isinstance(value, (bool, int, float, str)) else _text(value)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
