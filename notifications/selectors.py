"""The outbox as people see it: what failed first, then what waits, then what was sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from audit.names import names_of, page_of
from core.paging import capped_count
from notifications.models import Message
from notifications.wording import kind_text

STATES = (Message.State.FAILED, Message.State.PENDING, Message.State.SENT, Message.State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Row:
    """One message: its kind in words, the recipient's name, and what it is about with the pages of that."""

    message: Message
    kind: str
    recipient: str
    about: Sequence[tuple[str, str]]
    badge: str
    next_attempt_at: datetime | None


def messages_in(state: str) -> QuerySet[Message]:
    """Messages of one state; for any other word all that have not failed, which the page shows above them."""
    if state in Message.State.values:
        return Message.objects.filter(state=state)
    return Message.objects.exclude(state=Message.State.FAILED)


def latest_failed(limit: int) -> QuerySet[Message]:
    """The newest messages that failed for good."""
    return Message.objects.filter(state=Message.State.FAILED).order_by("-id")[:limit]


def counts() -> dict[str, int]:
    """How many messages there are in each state."""
    return {state.value: capped_count(Message.objects.filter(state=state)) for state in STATES}


def n_failed() -> int:
    """How many messages failed for good: the number in the navigation."""
    return Message.objects.filter(state=Message.State.FAILED).count()


def _badge(message: Message) -> str:
    if message.state == Message.State.PENDING and message.n_attempts:
        return "retrying"
    return "bounced" if message.state == Message.State.FAILED and message.sent_at else message.state


def rows_of(messages: Iterable[Message], *, now: datetime) -> list[Row]:
    """Messages as rows of the page."""
    found = list(messages)
    names = names_of(message.recipient_ref for message in found)
    return [
        Row(
            message=message,
            kind=kind_text(message.kind),
            recipient=names.get(message.recipient_ref, message.recipient_ref),
            about=[(thing.partition(":")[2], page_of(thing)) for thing in message.objects_touched],
            badge=_badge(message),
            next_attempt_at=message.next_attempt_at
            if message.state == "pending" and message.next_attempt_at > now
            else None,
        )
        for message in found
    ]
