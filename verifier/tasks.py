"""Scheduled work of the verifier; see the beat table in config.celery."""

from celery import shared_task
from django.utils import timezone

from verifier.usage.drain import drain_use


@shared_task(name="verifier.drain_use")
def drain_use_task() -> int:
    """Add what the verifier has counted to the registry (V6)."""
    return drain_use(now=timezone.now())
