"""Telling owners of keys that are used after their end: once a day, while it happens (K9)."""

from collections.abc import Collection
from datetime import datetime

from core.ids import refs
from keys.models import Key
from keys.terms.terms import office_day
from notifications.models import Message
from notifications.services import enqueue

KIND = "key_used_after_end"


def tell_of_dead_use(*, keys: Collection[int], now: datetime) -> int:
    """Mail the owners of those of these keys (database ids) that have ended; returns how many mails it made.

    In the transaction in which the use is added up. What was said today is found in one query.
    """
    if not keys:
        return 0
    ended = Key.objects.filter(pk__in=keys, ended_at__isnull=False, owner__is_active=True)
    day = office_day(now).isoformat()
    found = {f"{KIND}:{key.public_id}:{day}": key for key in ended.select_related("owner").order_by("pk")}
    said = set(Message.objects.filter(dedupe_key__in=found).values_list("dedupe_key", flat=True))
    return sum(
        enqueue(
            KIND,
            recipient_ref=key.owner.public_id,
            context={"key": key.public_id},
            dedupe_key=name,
            objects=refs(key),
            now=now,
        )
        for name, key in found.items()
        if name not in said
    )
