"""Reminders ahead of a rotation and of a key's end: never twice for the same day and key (K7, K8)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import transaction
from django.db.models import QuerySet

from core.ids import refs
from keys.models import Key
from keys.terms.terms import OFFICE_ZONE, end_of_day, office_day
from notifications.models import Message
from notifications.services import enqueue

DAYS_AHEAD = (30, 14, 7, 3, 1)
# A worker that slept over a reminder's day still sends it within this many days; later it would only confuse.
CATCH_UP_DAYS = 2
BATCH = 500
OPENS_AT = time(9)
USABLE = (Key.Status.ACTIVE, Key.Status.RETIRING)


@dataclass(frozen=True, slots=True)
class Reminder:
    """One mail to be: its `dedupe_key` names the due day and the step, so that each is said once."""

    key: Key
    recipient_ref: str
    days: int
    dedupe_key: str


def remind_rotation(*, now: datetime) -> int:
    """Remind owner and recipient of secrets to be replaced: 30, 14, 7, 3, 1 days ahead, and daily when late.

    Returns how many mails were put into the outbox. Safe to run twice at once, and as often as one likes.
    """
    today = office_day(now)
    keys = Key.objects.filter(
        status__in=USABLE,
        rotation_due_on__lte=today + timedelta(days=max(DAYS_AHEAD)),
        expires_at__gt=now,
    )

    def due_day(key: Key) -> date | None:
        # A key that is to retire before then has no need of another secret.
        retires_on = office_day(key.retires_at) if key.retires_at else date.max
        return key.rotation_due_on if key.rotation_due_on and key.rotation_due_on <= retires_on else None

    return _remind("rotation_due", keys, due_day, today=today, daily_when_late=True, now=now)


def warn_expiry(*, now: datetime) -> int:
    """Warn owner and recipient 30, 14, 7, 3, 1 days before a key ends. Returns how many mails it made."""
    today = office_day(now)
    keys = Key.objects.filter(
        status__in=[*USABLE, Key.Status.SUSPENDED],
        retires_at=None,  # a planned retirement has notices of its own
        expires_at__gt=now,
        expires_at__lte=end_of_day(today + timedelta(days=max(DAYS_AHEAD))),
    )

    def last_day(key: Key) -> date:
        return office_day(key.expires_at - timedelta(microseconds=1))

    return _remind("key_expiring", keys, last_day, today=today, daily_when_late=False, now=now)


def step_of(days: int, *, daily_when_late: bool) -> str:
    """Which reminder is due with so many days left: `"14"`, `"late-3"` for three days late, `""` for none."""
    if days < 0:
        return f"late{days}" if daily_when_late else ""
    ahead = min((step for step in DAYS_AHEAD if step >= days), default=None)
    return str(ahead) if ahead is not None and ahead - days <= CATCH_UP_DAYS else ""


def _remind(
    kind: str,
    keys: QuerySet[Key],
    due_day: Callable[[Key], date | None],
    *,
    today: date,
    daily_when_late: bool,
    now: datetime,
) -> int:
    n_made, last_id = 0, 0
    while batch := list(
        keys.filter(pk__gt=last_id).select_related("owner", "recipient").order_by("pk")[:BATCH]
    ):
        last_id = batch[-1].pk
        due = [
            reminder
            for key in batch
            if (day := due_day(key)) is not None
            for reminder in _reminders(kind, key, day, today, daily_when_late=daily_when_late)
        ]
        n_made += _put(kind, due, now)
    return n_made


def _reminders(kind: str, key: Key, day: date, today: date, *, daily_when_late: bool) -> Iterator[Reminder]:
    days = (day - today).days
    step = step_of(days, daily_when_late=daily_when_late)
    if not step:
        return
    for person in (key.owner, key.recipient):
        if person.is_active:
            ref = person.public_id
            yield Reminder(key, ref, days, f"{kind}:{key.public_id}:{day.isoformat()}:{step}:{ref}")


def office_opens(now: datetime) -> datetime | None:
    """Nobody needs a reminder at midnight: 9:00 of this day in Japan, while that is still to come."""
    opens = datetime.combine(office_day(now), OPENS_AT, tzinfo=OFFICE_ZONE)
    return opens if opens > now else None


@transaction.atomic
def _put(kind: str, reminders: list[Reminder], now: datetime) -> int:
    """Those that were not said yet; one query finds the others, so a repeated run costs next to nothing."""
    names = [reminder.dedupe_key for reminder in reminders]
    said = set(Message.objects.filter(dedupe_key__in=names).values_list("dedupe_key", flat=True))
    return sum(
        enqueue(
            kind,
            recipient_ref=reminder.recipient_ref,
            context={"key": reminder.key.public_id, "days": reminder.days},
            dedupe_key=reminder.dedupe_key,
            objects=refs(reminder.key),
            now=now,
            not_before=office_opens(now),
        )
        for reminder in reminders
        if reminder.dedupe_key not in said
    )
