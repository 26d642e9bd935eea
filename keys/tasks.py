"""Scheduled work on keys; see the beat table in config.celery."""

from celery import shared_task
from django.utils import timezone

from keys.delivery.services.delivery import expire_deliveries
from keys.life.services.quarantine import end_due_quarantines
from keys.life.services.reminders import remind_rotation, warn_expiry
from keys.life.services.retiring import watch_retirements
from keys.registry.services import refresh_names
from keys.status.services import expire_keys
from keys.workspaces.services.grants import end_due_grants


@shared_task(name="keys.expire_keys")
def expire_keys_task() -> int:
    """End keys whose time is up (K8)."""
    return expire_keys(now=timezone.now())


@shared_task(name="keys.watch_retirements")
def watch_retirements_task() -> int:
    """Give notice of planned retirements, and tell of limits that fell (K9)."""
    return watch_retirements(now=timezone.now())


@shared_task(name="keys.revoke_unclaimed")
def revoke_unclaimed_task() -> int:
    """End delivery links that nobody used, and their keys (K3)."""
    return expire_deliveries(now=timezone.now())


@shared_task(name="keys.remind_rotation")
def remind_rotation_task() -> int:
    """Remind of secrets that are to be replaced (K7)."""
    return remind_rotation(now=timezone.now())


@shared_task(name="keys.warn_expiry")
def warn_expiry_task() -> int:
    """Warn of keys that will end (K8)."""
    return warn_expiry(now=timezone.now())


@shared_task(name="keys.refresh_names")
def refresh_names_task() -> int:
    """Let the search find renamed partners, people and products (K4)."""
    return refresh_names(now=timezone.now())


@shared_task(name="keys.end_quarantines")
def end_quarantines_task() -> int:
    """Tell of quarantines whose time is up (K6)."""
    return end_due_quarantines(now=timezone.now())


@shared_task(name="keys.end_grants")
def end_grants_task() -> int:
    """Tell of grants of another workspace whose last day is over (V2)."""
    return end_due_grants(now=timezone.now())
