"""The outbox's tasks: an id in, one service call."""

from celery import shared_task
from django.utils import timezone

from notifications.services import delivery


@shared_task(name="notifications.deliver_message")
def deliver_message(uid: str) -> None:
    """Send one message, unless it was sent, is being sent, or is not due."""
    delivery.deliver_message(uid=uid, now=timezone.now())


@shared_task(name="notifications.sweep_outbox")
def sweep_outbox() -> None:
    """Send what is due: messages whose task was lost with the broker or a worker, and those to try again."""
    delivery.sweep_outbox(now=timezone.now())
