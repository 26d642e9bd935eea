"""Mails that a server took and that came back later: by a webhook, or as a mail (A3)."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from core.actors import SYSTEM
from notifications.models import BounceReport, Message
from notifications.services.delivery import fail_message

Verdict = BounceReport.Verdict


@transaction.atomic
def report_bounce(
    *, event_id: str, uid: UUID | None, is_final: bool, status: str, now: datetime
) -> BounceReport.Verdict:
    """Mark the mail with this uid as failed when the report is final; returns what came of it.

    The uid can't be guessed, and nothing else of a report is believed. A report that came before
    (`event_id`), that is not final, or of a mail that is not "sent" any more changes nothing. `status` is the
    enhanced code (RFC 3463, `5.1.1`), or empty. Does not check who reports: see notifications.hooks.
    """
    report, is_new = BounceReport.objects.get_or_create(
        event_id=event_id,
        defaults={"status": status[:20], "verdict": Verdict.UNKNOWN, "reported_at": now},
    )
    if not is_new:
        return Verdict.REPEATED
    message = Message.objects.select_for_update().filter(uid=uid).first() if uid else None
    report.message, report.verdict = message, _verdict(message, is_final=is_final)
    report.save(update_fields=["message", "verdict"])
    if message is not None and report.verdict == Verdict.MARKED:
        message.last_error = f"Bounced {status}".strip()[:300]
        fail_message(message, actor=SYSTEM("bounces"), now=now)
    return Verdict(report.verdict)


def _verdict(message: Message | None, *, is_final: bool) -> BounceReport.Verdict:
    if message is None:
        return Verdict.UNKNOWN
    if not is_final:
        return Verdict.NOT_FINAL
    return Verdict.MARKED if message.state == Message.State.SENT else Verdict.OVER
