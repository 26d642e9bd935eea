"""What the public page of a delivery link may say (K3)."""

from datetime import datetime

from keys.models import Delivery, Key


def link_state(delivery: Delivery, *, now: datetime) -> str:
    """`open`, `revealed`, `confirmed`, `replaced`, `expired`, or `stopped` (the key or its recipient is)."""
    if delivery.state in {Delivery.State.REVEALED, Delivery.State.CONFIRMED, Delivery.State.REPLACED}:
        return str(delivery.state)
    if delivery.state == Delivery.State.EXPIRED or delivery.expires_at <= now:
        return "expired"
    key = delivery.key
    if key.status != Key.Status.PENDING or key.expires_at <= now or not delivery.recipient.is_active:
        return "stopped"
    return "open"
