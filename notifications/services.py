"""The outbox: what is said is written in the transaction of what happened, and sent afterwards (N1)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from core.background import send_on_commit
from notifications.models import Message, OpsMetric


def enqueue(
    kind: str,
    *,
    recipient_ref: str,
    context: Mapping[str, Any],
    dedupe_key: str,
    now: datetime,
    objects: Iterable[str] = (),
    not_before: datetime | None = None,
) -> bool:
    """Put one mail into the outbox; False when the same thing was said before (same `dedupe_key`).

    `kind` has a builder (notifications.registry) and templates `emails/<kind>.*`. `recipient_ref` is the public
    id of a member of staff or of a contact. `context` holds ids only, never a token, a key or a text. Must run in
    the transaction of the change; the sending starts after its commit.
    """
    message = Message(
        kind=kind,
        recipient_ref=recipient_ref,
        context=dict(context),
        dedupe_key=dedupe_key,
        objects_touched=list(objects),
        next_attempt_at=not_before or now,
        created_at=now,
    )
    made = Message.objects.bulk_create([message], ignore_conflicts=True)
    sent = Message.objects.filter(uid=made[0].uid).exists()
    if sent and not_before is None:
        send_on_commit("notifications.deliver_message", str(message.uid))
    return sent


def emit_metric(name: str, *, payload: Mapping[str, Any], now: datetime) -> None:
    """Add one event to `ops_metrics` (N2, K6), in the transaction of what it tells of."""
    OpsMetric.objects.create(name=name, payload=dict(payload), occurred_at=now)
