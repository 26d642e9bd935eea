"""Sending what stands in the outbox: never lost, never by two workers at once (N1).

A message's row stays locked from before its mail is sent until the outcome is written. PostgreSQL lets go of
the lock when the worker dies, so there is no lease to choose and none to wait for; another worker skips a
locked row. This is the one place where a mail is sent inside a transaction: the transaction is the claim.

What is left: a worker that dies between the mail server's "250 accepted" and the commit. The mail is sent
again then, with the same Message-ID. No protocol between two systems can do without that window.
"""

import logging
import random
import traceback
from datetime import datetime, timedelta
from enum import StrEnum
from smtplib import (
    SMTPConnectError,
    SMTPDataError,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from notifications.models import Message
from notifications.registry import RecipientGoneError, builder_of, undeliverable_callbacks
from notifications.rendering import render_mail

logger = logging.getLogger(__name__)

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=6)
BATCH = 100


class Outcome(StrEnum):
    """What came of one attempt."""

    SENT = "sent"
    CANCELLED = "cancelled"
    POSTPONED = "postponed"
    UNREACHABLE = "unreachable"  # postponed, because no mail server answered: the next mail would fare alike
    FAILED = "failed"


def deliver_message(*, uid: str | UUID, now: datetime) -> Outcome | None:
    """Send one message. None when there is nothing to do: sent before, with another worker, or not yet due.

    Whatever goes wrong is written to the row as a class name and an SMTP code, never as a text, which might
    quote a mail, a link or an address.
    """
    return _deliver_next(Message.objects.filter(uid=uid), now)


def sweep_outbox(*, now: datetime, batch: int = BATCH) -> int:
    """Send up to `batch` due messages, the longest waiting first; returns how many were tried.

    Safe to run twice at once: each takes what the other has not locked. Stops when no mail server answers, so
    that sweeps don't pile up behind its timeout; what is left is due still.
    """
    for n_tried in range(batch):
        outcome = _deliver_next(Message.objects.all(), now)
        if outcome is None:
            return n_tried
        if outcome == Outcome.UNREACHABLE:
            return n_tried + 1
    return batch


@transaction.atomic
def _deliver_next(among: QuerySet[Message], now: datetime) -> Outcome | None:
    message = (
        among.filter(state=Message.State.PENDING, next_attempt_at__lte=now)
        .order_by("next_attempt_at", "id")
        .select_for_update(skip_locked=True)
        .first()
    )
    if message is None:
        return None
    try:
        needed = _send(message)
    except Exception as error:  # noqa: BLE001  # a mail that can't be made must not stop the others
        return _write_error(message, error, now)
    if not needed:
        message.state = Message.State.CANCELLED
        message.save(update_fields=["state"])
        return Outcome.CANCELLED
    message.state = Message.State.SENT
    message.sent_at = now
    message.n_attempts += 1
    message.last_error = ""
    message.save(update_fields=["state", "sent_at", "n_attempts", "last_error"])
    return Outcome.SENT


def _send(message: Message) -> bool:
    with transaction.atomic():  # a savepoint: what fails in a builder's query must not undo the row's outcome
        mail = builder_of(message.kind)(message)
        finished = None if mail is None else render_mail(message, mail)
    if finished is None:
        return False
    finished.send(fail_silently=False)
    return True


def _write_error(message: Message, error: Exception, now: datetime) -> Outcome:
    message.n_attempts += 1
    message.last_error = _name_of(error)
    refused = _is_refused_for_good(error)
    logger.warning(
        "mail not sent",
        extra={
            "data": {
                "uid": str(message.uid),
                "kind": message.kind,
                "error": message.last_error,
                "attempt": message.n_attempts,
                "where": _place_of(error),
            }
        },
    )
    if refused or message.n_attempts >= settings.MESSAGE_ATTEMPTS:
        fail_message(message, actor=SYSTEM("outbox"), now=now)
        return Outcome.FAILED
    message.next_attempt_at = now + wait_after(message.n_attempts)
    message.save(update_fields=["n_attempts", "last_error", "next_attempt_at"])
    return Outcome.UNREACHABLE if _is_unreachable(error) else Outcome.POSTPONED


def fail_message(message: Message, *, actor: Actor, now: datetime) -> None:
    """Write that a locked message failed for good, and tell those who registered for its kind.

    `last_error` says why, as a class name and a code.
    """
    message.state = Message.State.FAILED
    message.save(update_fields=["state", "n_attempts", "last_error"])
    record(
        Action.MESSAGE_FAILED,
        actor=actor,
        objects=[f"message:{message.uid}", *message.objects_touched],
        payload={"kind": message.kind, "attempts": message.n_attempts, "reason": message.last_error},
        now=now,
    )
    for callback in undeliverable_callbacks(message.kind):
        try:
            with transaction.atomic():
                callback(message, now=now)
        except Exception as error:  # noqa: BLE001  # the message has failed, whatever its listeners do
            place = {"uid": str(message.uid), "error": _name_of(error), "where": _place_of(error)}
            logger.error("undeliverable callback failed", extra={"data": place})  # noqa: TRY400  # see _place_of


def wait_after(n_attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling from 30 s up to 6 h, half of it by chance.

    By chance, so that what an outage held up does not fall on the mail server in one moment.
    """
    wait: timedelta = min(FIRST_WAIT * 2 ** min(n_attempts - 1, 20), LONGEST_WAIT)
    return random.uniform(0.5, 1) * wait


def _is_refused_for_good(error: Exception) -> bool:
    """Whether to try again is useless: nobody to send to, or a 5xx to recipient or mail (RFC 5321, 4.2.1)."""
    if isinstance(error, RecipientGoneError):
        return True
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _text in error.recipients.values())
    return isinstance(error, SMTPDataError) and error.smtp_code >= 500


def _is_unreachable(error: Exception) -> bool:
    if isinstance(error, (SMTPConnectError, SMTPServerDisconnected)):
        return True
    return isinstance(error, OSError) and not isinstance(
        error, (SMTPResponseException, SMTPRecipientsRefused)
    )


def _name_of(error: Exception) -> str:
    """`SMTPRecipientsRefused 550`: never the error's own words, which may quote the mail."""
    code = getattr(error, "smtp_code", None)
    if isinstance(error, SMTPRecipientsRefused):
        code = next((given for given, _text in error.recipients.values()), None)
    name = type(error).__name__
    return f"{name} {code}" if isinstance(code, int) else name


def _place_of(error: Exception) -> str:
    """Where it was raised. In place of a traceback, whose last line is the error's own words."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""
