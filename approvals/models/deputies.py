"""Who decides in another's place, and what was said about time: delegations, deputies, reminders (A5)."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class DelegableRole(models.TextChoices):
    """The staff's roles that decide steps (A1): what can be handed to a deputy."""

    PM = "pm", _("PM")
    LEGAL = "legal", _("Legal")
    TECH = "tech", _("Tech")
    SECURITY = "security", _("Security")
    COO = "coo", _("COO")


class Delegation(models.Model):
    """代理: for a time, `deputy` decides the steps of one of `giver`'s roles, in the giver's name.

    It is in force from `began_at` to `ended_at`, which the sweep writes (deputies.services.deputies), so
    readers need no clock; a decision looks at `starts_at` and `ends_at` as well.
    """

    public_id = models.CharField(max_length=12, unique=True)
    giver = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="delegations")
    deputy = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="stands_in_by")
    role = models.CharField(_("role"), max_length=20, choices=DelegableRole.choices)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(giver=F("deputy")), name="approvals_delegation_to_somebody_else"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="approvals_delegation_ends_after_start"
            ),
            models.UniqueConstraint(
                fields=["giver", "role"],
                condition=Q(began_at__isnull=False, ended_at__isnull=True),
                name="approvals_delegation_one_in_force",
            ),
        ]
        indexes = [
            models.Index(
                fields=["starts_at"],
                name="approvals_delegation_open",
                condition=Q(ended_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def state(self) -> str:
        """`planned`, `in_force` or `ended`: the badge's state."""
        if self.ended_at is not None:
            return "ended"
        return "planned" if self.began_at is None else "in_force"

    @property
    def last_moment(self) -> datetime:
        """Until when, as people say it: a day's end is still that day, not the next one's midnight."""
        return self.ended_at or self.ends_at - timedelta(minutes=1)


class RoleDeputy(models.Model):
    """Somebody who may decide a role's steps once they are escalated (A5)."""

    role = models.CharField(_("role"), max_length=20, choices=DelegableRole.choices)
    staff = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="deputy_for")
    added_at = models.DateTimeField()

    class Meta:
        ordering = ["role", "id"]
        constraints = [
            models.UniqueConstraint(fields=["role", "staff"], name="approvals_role_deputy_once"),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.staff_id}"


class StandingDeputy(models.Model):
    """Whom a person named for good: may decide their escalated steps before the role's deputies do (A5)."""

    giver = models.OneToOneField("accounts.User", on_delete=models.PROTECT, related_name="standing_deputy")
    deputy = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="standing_for")
    named_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(giver=F("deputy")), name="approvals_standing_deputy_is_somebody_else"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.giver_id} {self.deputy_id}"


class StepReminder(models.Model):
    """That somebody was reminded of a step after so many business hours: never twice for the same (A5)."""

    step = models.ForeignKey("approvals.Step", on_delete=models.CASCADE, related_name="reminders")
    person_ref = models.CharField(max_length=12)
    hours = models.PositiveSmallIntegerField()
    sent_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["step", "person_ref", "hours"], name="approvals_step_reminder_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step_id} {self.person_ref} {self.hours} h"
