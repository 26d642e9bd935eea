"""Scheduled work on requests; see the beat table in config.celery."""

from celery import shared_task
from django.utils import timezone

from approvals.changes.services.applying import apply_scheduled
from approvals.decisions.services.links import expire_links
from approvals.deputies.services.deputies import keep_delegations, keep_standing_deputies
from approvals.deputies.services.reminding import keep_time
from approvals.path.services.emergency_end import suspend_late_emergencies
from approvals.path.services.watching import watch_steps
from approvals.requests.services.requests import expire_requests


@shared_task(name="approvals.apply_changes")
def apply_changes_task() -> int:
    """Apply approved changes of keys whose time has come (R3)."""
    return apply_scheduled(now=timezone.now())


@shared_task(name="approvals.expire_links")
def expire_links_task() -> int:
    """Mark mail links whose time is up (A3)."""
    return expire_links(now=timezone.now())


@shared_task(name="approvals.expire_requests")
def expire_requests_task() -> int:
    """End requests that nobody touched for 30 days (A5)."""
    return expire_requests(now=timezone.now())


@shared_task(name="approvals.watch_steps")
def watch_steps_task() -> int:
    """Alarm about steps that nobody may decide any more, ask people who now may (A2)."""
    return watch_steps(now=timezone.now())


@shared_task(name="approvals.keep_delegations")
def keep_delegations_task() -> int:
    """Begin and end delegations whose time has come, and end what stands of people who left (A5)."""
    now = timezone.now()
    return keep_delegations(now=now) + keep_standing_deputies(now=now)


@shared_task(name="approvals.keep_time")
def keep_time_task() -> int:
    """Remind approvers and escalate what is late, in office hours but for emergencies (A5, A8)."""
    return keep_time(now=timezone.now())


@shared_task(name="approvals.suspend_late_emergencies")
def suspend_late_emergencies_task() -> int:
    """Suspend emergency keys whose approvals were not complete in time (A8)."""
    return suspend_late_emergencies(now=timezone.now())
