"""The way to the outbox for an app that stands below it: `notifications` connects itself at start.

Accounts say that an invitation or a password link is wanted, in the transaction of the change; how mails are
kept and sent is not their business (ARCHITECTURE: who is above is reached without an import).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol


class Enqueue(Protocol):
    """`notifications.services.enqueue`."""

    def __call__(
        self, kind: str, *, recipient_ref: str, context: Mapping[str, Any], dedupe_key: str, now: datetime
    ) -> bool:
        """Whether the mail is new."""


_connected: list[Enqueue] = []


def connect(enqueue: Enqueue) -> None:
    """Called once, from `NotificationsConfig.ready`."""
    _connected[:] = [enqueue]


def enqueue(
    kind: str, *, recipient_ref: str, dedupe_key: str, now: datetime, context: Mapping[str, Any] | None = None
) -> bool:
    """Put one mail to a member of staff into the outbox, in the current transaction."""
    return _connected[0](
        kind, recipient_ref=recipient_ref, context=context or {}, dedupe_key=dedupe_key, now=now
    )
