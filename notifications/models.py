"""The outbox: what is to be told to whom, committed with the change that it tells of (N1)."""

import uuid

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _


class Message(models.Model):
    """One mail to one person. Holds ids only: the text, and any link in it, is made when it is sent.

    `uid` is the stable id of the mail (its Message-ID), `dedupe_key` makes saying the same thing twice
    impossible. `context` are the ids that the kind's builder needs.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("No longer needed")

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    kind = models.CharField(max_length=60)
    dedupe_key = models.CharField(max_length=200, unique=True)
    recipient_ref = models.CharField(max_length=40)
    context = models.JSONField(default=dict)
    objects_touched = models.JSONField(default=list)
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    n_attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["next_attempt_at", "id"],
                name="notifications_due",
                condition=models.Q(state="pending"),
            ),
            models.Index(fields=["state", "-id"], name="notifications_state"),
            GinIndex(fields=["objects_touched"], name="notifications_objects"),
        ]
        constraints = [
            # A mail that was sent and came back has failed, and was sent all the same.
            models.CheckConstraint(
                condition=models.Q(state="sent", sent_at__isnull=False)
                | models.Q(state="failed")
                | (models.Q(state__in=["pending", "cancelled"]) & models.Q(sent_at__isnull=True)),
                name="notifications_sent_has_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} → {self.recipient_ref}"


class BounceReport(models.Model):
    """What somebody said of a mail after a server had taken it: kept once for each report (A3).

    `event_id` is the reporter's own id (a webhook's), or the number of the mail that the report came in: a
    report that comes twice changes nothing.
    """

    class Verdict(models.TextChoices):
        MARKED = "marked", _("The mail is marked as undeliverable")
        NOT_FINAL = "not_final", _("Not final: nothing was marked")
        OVER = "over", _("The mail had failed already, or was sent again since")
        UNKNOWN = "unknown", _("Names no mail of this portal")
        REPEATED = "repeated", _("This report came before")

    event_id = models.CharField(max_length=200, unique=True)
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="bounces", null=True, blank=True
    )
    status = models.CharField(max_length=20, blank=True)
    verdict = models.CharField(max_length=12, choices=Verdict.choices)
    reported_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.event_id} {self.verdict}"


class OpsMetric(models.Model):
    """One event for `ops_metrics` (`api_key_revoked`, `api.external.usage`; N2, K6)."""

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    name = models.CharField(max_length=80)
    occurred_at = models.DateTimeField()
    payload = models.JSONField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["name", "-id"], name="notifications_metric_name")]

    def __str__(self) -> str:
        return self.name
