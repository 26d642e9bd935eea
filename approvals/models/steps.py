"""A request's approval steps, the mail links that lead to them and the codes of who has no account (A3)."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.models.policies import StepRole
from approvals.models.requests import Request, Revision
from partners.models import Contact


class Step(models.Model):
    """One approval in a request."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Not yet its turn")
        OPEN = "open", _("Waiting for a decision")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        CHANGES_WANTED = "changes_wanted", _("Changes wanted")
        STANDS = "stands", _("Stands from an earlier revision")
        CANCELLED = "cancelled", _("No longer needed")

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="steps")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="steps")
    position = models.PositiveSmallIntegerField()
    role = models.CharField(max_length=20, choices=StepRole.choices)
    reason = models.CharField(max_length=60)
    n_needed = models.PositiveSmallIntegerField(default=1)
    needs_second_factor = models.BooleanField(default=False)
    # From the policy's rule (A2): the only people asked, by number (none: all of the role); business hours
    # for an answer (None: the portal's own); when the rule asks for the step, to say why.
    people = ArrayField(models.CharField(max_length=12), default=list, blank=True)
    deadline_hours = models.PositiveSmallIntegerField(null=True, blank=True)
    conditions = models.JSONField(default=list, blank=True)
    contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="steps", null=True, blank=True
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    opened_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    stuck_at = models.DateTimeField(null=True, blank=True)
    # Not answered in time: since when those whom the people asked have named may decide, and since when the
    # role's deputies may (A5).
    escalated_at = models.DateTimeField(null=True, blank=True)
    deputies_at = models.DateTimeField(null=True, blank=True)
    undeliverable_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["revision", "position"], name="approvals_step_position_once"),
            models.UniqueConstraint(
                fields=["request"], condition=Q(state="open"), name="approvals_one_open_step"
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", opened_at__isnull=True)
                | Q(state__in=["open", "approved", "rejected", "changes_wanted"], opened_at__isnull=False)
                | Q(state__in=["stands", "cancelled"]),
                name="approvals_step_open_has_time",
            ),
            models.CheckConstraint(
                condition=(Q(role="rights_holder") & Q(contact__isnull=False))
                | (~Q(role="rights_holder") & Q(contact__isnull=True)),
                name="approvals_step_consent_has_contact",
            ),
            models.CheckConstraint(condition=Q(n_needed__gte=1), name="approvals_step_needs_somebody"),
        ]
        indexes = [
            models.Index(fields=["role", "state"], name="approvals_step_queue"),
            # What is open is little, whatever was decided in the years before.
            models.Index(fields=["due_at", "id"], name="approvals_step_open", condition=Q(state="open")),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.role}"


class StepLink(models.Model):
    """A personal link to a step, for one member of staff or one contact (A3).

    The token is an HMAC under LINK_SECRET of `nonce` and what the link is bound to; only its hash is kept.
    """

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    step = models.ForeignKey(Step, on_delete=models.PROTECT, related_name="links")
    staff = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    nonce = models.BinaryField(max_length=33)
    token_hash = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    died_at = models.DateTimeField(null=True, blank=True)
    n_renewals = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(staff__isnull=False, contact__isnull=True)
                | Q(staff__isnull=True, contact__isnull=False),
                name="approvals_link_one_recipient",
            )
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                name="approvals_link_due",
                condition=Q(used_at__isnull=True, died_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.step_id} {self.staff_id or self.contact_id}"

    @property
    def recipient(self) -> User | Contact:
        """Whose link it is."""
        person = self.staff or self.contact
        if person is None:
            raise ValueError("A link without a recipient breaks approvals_link_one_recipient.")
        return person


class LinkOpening(models.Model):
    """That a link was fetched: by a mail scanner or by a person, nobody can tell: it proves nothing (A3)."""

    link = models.ForeignKey(StepLink, on_delete=models.CASCADE, related_name="openings")
    opened_at = models.DateTimeField()
    user_agent = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.link_id} {self.opened_at:%Y-%m-%d %H:%M}"


class ConsentCode(models.Model):
    """An eight-digit code sent to the registered address of someone without an account (A3).

    The code itself is derived from `nonce` under LINK_SECRET when its mail is written; it stands nowhere.
    """

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    link = models.ForeignKey(StepLink, on_delete=models.PROTECT, related_name="codes")
    nonce = models.BinaryField(max_length=33)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    n_attempts = models.PositiveSmallIntegerField(default=0)
    passed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.link_id}"
