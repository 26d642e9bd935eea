"""The outbox: what is said is written in the transaction of what happened, and sent afterwards (N1)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.background import send_on_commit
from core.errors import Conflict, NotFound
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

    `kind` has a builder (notifications.registry). `recipient_ref` is the public id of a member of staff or of
    a contact. `context` holds ids only, never a token, a key or a text.
    Must run in the transaction of the change; the sending starts after its commit.
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


@transaction.atomic
def retry_message(*, actor: Actor, uid: str | UUID, now: datetime) -> Message:
    """Put a message that failed for good back into the outbox, with all its attempts before it (N1).

    Does not check who asks: the view asks for Permission.RETRY_MESSAGES. NotFound for an unknown message,
    Conflict for one that has not failed (somebody sent it again a moment ago).
    """
    message = Message.objects.select_for_update().filter(uid=uid).first()
    if message is None:
        raise NotFound(_("There is no such notification."))
    if message.state != Message.State.FAILED:
        raise Conflict(_("This notification is not among the failed ones any more."))
    message.state = Message.State.PENDING
    message.n_attempts = 0
    message.next_attempt_at = now
    message.sent_at = None  # it came back, or was never sent
    message.save(update_fields=["state", "n_attempts", "next_attempt_at", "sent_at"])
    record(
        Action.MESSAGE_RETRIED,
        actor=actor,
        objects=[f"message:{message.uid}", *message.objects_touched],
        payload={"kind": message.kind},
        now=now,
    )
    send_on_commit("notifications.deliver_message", str(message.uid))
    return message
