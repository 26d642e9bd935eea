"""Scheduled work on keys; see the beat table in config.celery."""

from celery import shared_task
from django.utils import timezone

from keys.services.delivery import expire_deliveries
from keys.services.status import expire_keys


@shared_task(name="keys.expire_keys")
def expire_keys_task() -> int:
    """End keys whose time is up (K8)."""
    return expire_keys(now=timezone.now())


@shared_task(name="keys.revoke_unclaimed")
def revoke_unclaimed_task() -> int:
    """End delivery links that nobody used, and their keys (K3)."""
    return expire_deliveries(now=timezone.now())
