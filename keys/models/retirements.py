"""Planned retirements of keys, with their history (K9)."""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Retirement(models.Model):
    """One plan to retire a key: when, who asked for it and why, and what became of it.

    What is in force stands in the key's own row (`retires_at`, `retiring_from`, `replacement`), where the
    verifier and the sweeps read it. `share` is the percentage of the limits that people were told of last.
    """

    class State(models.TextChoices):
        PLANNED = "planned", _("Planned")
        NOTICED = "noticed", _("Notice given")
        DONE = "done", _("Ended on time")
        CALLED_OFF = "called_off", _("Called off")
        OVERTAKEN = "overtaken", _("The key ended before")

    OPEN = (State.PLANNED, State.NOTICED)

    key = models.ForeignKey("keys.Key", on_delete=models.PROTECT, related_name="retirements")
    state = models.CharField(max_length=12, choices=State.choices, default=State.PLANNED)
    ends_at = models.DateTimeField()
    notice_at = models.DateTimeField()
    share = models.PositiveSmallIntegerField(default=100)
    replacement = models.ForeignKey(
        "keys.Key", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    asked_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    request_ref = models.CharField(max_length=12, blank=True)
    reason = models.TextField(blank=True, max_length=2000)
    short_notice = models.TextField(blank=True, max_length=2000)
    planned_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(state__in=["planned", "noticed"]), name="keys_retirement_one_open"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("notice_at")), name="keys_retirement_ends_after_notice"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["planned", "noticed"], closed_at__isnull=True)
                | (~Q(state__in=["planned", "noticed"]) & Q(closed_at__isnull=False)),
                name="keys_retirement_closed_has_time",
            ),
        ]
        indexes = [
            models.Index(
                fields=["ends_at"], name="keys_retirement_open", condition=Q(state__in=["planned", "noticed"])
            )
        ]

    def __str__(self) -> str:
        return f"{self.key_id} {self.state}"

    @property
    def is_short(self) -> bool:
        """Whether the partner has less than 30 days."""
        return is_short(self.ends_at, self.notice_at)


NOTICE: Final = timedelta(days=30)


def is_short(ends_at: datetime, planned_at: datetime) -> bool:
    """Whether less than 30 days of notice are given."""
    return ends_at.astimezone(UTC) - planned_at.astimezone(UTC) < NOTICE
