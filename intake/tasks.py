"""Scheduled work on received mails; see the beat table in config.celery."""

from celery import shared_task
from django.utils import timezone

from intake import mailbox
from intake.services import inbox


@shared_task(name="intake.read_mailbox")
def read_mailbox() -> int:
    """Keep what is new in the request address's mailbox."""
    return mailbox.read_mailbox(now=timezone.now())


@shared_task(name="intake.forget_mails")
def forget_mails() -> int:
    """Drop what is in mails that were settled long ago."""
    return inbox.forget_mails(now=timezone.now())
