"""The Celery application and the only beat table of the project (ARCHITECTURE, O1)."""

import os
import signal

from celery import Celery
from celery.schedules import schedule
from celery.signals import worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("kagiban")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
def leave_the_end_to_the_worker(**_details: object) -> None:
    """A SIGTERM to the whole group (a terminal, a service manager) must not end a task in its middle.

    The worker itself lets its children finish, and then tells them to go.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


# Every job takes `now` from its task, is set-based and safe to run twice at once.
app.conf.beat_schedule = {
    "expire-keys": {"task": "keys.expire_keys", "schedule": schedule(60)},
    "end-quarantines": {"task": "keys.end_quarantines", "schedule": schedule(60)},
    "end-grants": {"task": "keys.end_grants", "schedule": schedule(60)},
    "watch-retirements": {"task": "keys.watch_retirements", "schedule": schedule(60)},
    "revoke-unclaimed-deliveries": {"task": "keys.revoke_unclaimed", "schedule": schedule(60)},
    "remind-rotation": {"task": "keys.remind_rotation", "schedule": schedule(3600)},
    "warn-expiry": {"task": "keys.warn_expiry", "schedule": schedule(3600)},
    "refresh-names": {"task": "keys.refresh_names", "schedule": schedule(60)},
    "apply-changes": {"task": "approvals.apply_changes", "schedule": schedule(30)},
    "expire-links": {"task": "approvals.expire_links", "schedule": schedule(60)},
    "suspend-late-emergencies": {"task": "approvals.suspend_late_emergencies", "schedule": schedule(60)},
    "watch-steps": {"task": "approvals.watch_steps", "schedule": schedule(60)},
    "keep-delegations": {"task": "approvals.keep_delegations", "schedule": schedule(60)},
    "keep-time": {"task": "approvals.keep_time", "schedule": schedule(300)},
    "expire-requests": {"task": "approvals.expire_requests", "schedule": schedule(3600)},
    "read-mailbox": {"task": "intake.read_mailbox", "schedule": schedule(60)},
    "forget-mails": {"task": "intake.forget_mails", "schedule": schedule(3600)},
    "sweep-outbox": {"task": "notifications.sweep_outbox", "schedule": schedule(15)},
    "drain-use": {"task": "verifier.drain_use", "schedule": schedule(10)},
}
