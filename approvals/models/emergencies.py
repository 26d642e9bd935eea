"""What stands beside a request when something is wrong: receipts, doubts, withdrawn consents (A7, A9)."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class DecisionReceipt(models.Model):
    """The receipt of one decision, with the link "this was not me" that goes with it (A7).

    The token is derived from `nonce` like that of a step's link; only its hash is kept. `event` is the
    decision's event in the audit log, which knows from where the answer came.
    """

    decision = models.OneToOneField("approvals.Decision", on_delete=models.PROTECT, related_name="receipt")
    event = models.UUIDField()
    nonce = models.BinaryField(max_length=33)
    token_hash = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.decision_id}"


class Doubt(models.Model):
    """ "This was not me": the request is frozen until security has looked into it (A7)."""

    class Verdict(models.TextChoices):
        STANDS = "stands", _("The decision stands")
        AGAIN = "again", _("The decision is void, and its step is asked again")
        REJECTED = "rejected", _("The decision is void, and the request is rejected")

    request = models.ForeignKey("approvals.Request", on_delete=models.PROTECT, related_name="doubts")
    decision = models.OneToOneField("approvals.Decision", on_delete=models.PROTECT, related_name="doubt")
    # A copy of the decision's staff: the database holds who looks into it against it.
    accused = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    raised_at = models.DateTimeField()
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True)
    reason = models.TextField(max_length=2000, blank=True)
    looked_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    looked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(verdict="", looked_by__isnull=True, looked_at__isnull=True)
                | (~Q(verdict="") & ~Q(reason="") & Q(looked_by__isnull=False, looked_at__isnull=False)),
                name="approvals_doubt_verdict_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(accused__isnull=True) | Q(looked_by__isnull=True) | ~Q(looked_by=F("accused")),
                name="approvals_doubt_not_by_accused",
            ),
        ]
        indexes = [models.Index(fields=["raised_at"], name="approvals_doubt_open", condition=Q(verdict=""))]

    def __str__(self) -> str:
        return f"{self.request_id} {self.verdict or 'open'}"


class ConsentWithdrawal(models.Model):
    """A rights-holder takes a consent back, signed like the consent itself (A9). Never changed."""

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    decision = models.OneToOneField("approvals.Decision", on_delete=models.PROTECT, related_name="withdrawal")
    signed_name = models.CharField(max_length=120)
    signed_capacity = models.CharField(max_length=120)
    reason = models.TextField(blank=True, max_length=2000)
    withdrawn_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(signed_name="") & ~Q(signed_capacity=""), name="approvals_withdrawal_is_signed"
            )
        ]

    def __str__(self) -> str:
        return f"{self.decision_id}"


class Emergency(models.Model):
    """Break-glass: a key that security issued at once; the approvals run after it (A8).

    Broken by the request's requester, who by the four eyes decides none of its steps.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("The approvals are running")
        COMPLETED = "completed", _("Approved afterwards")
        LATE = "late", _("Not approved in time: the key is suspended")
        REFUSED = "refused", _("Not approved: the key is revoked")

    request = models.OneToOneField("approvals.Request", on_delete=models.PROTECT, related_name="emergency")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    reason = models.TextField(max_length=2000)
    incident = models.CharField(max_length=120, blank=True)
    broken_at = models.DateTimeField()
    due_at = models.DateTimeField()
    late_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="approvals_emergency_has_reason"),
            models.CheckConstraint(
                condition=Q(state__in=["running", "late"], ended_at__isnull=True)
                | Q(state__in=["completed", "refused"], ended_at__isnull=False),
                name="approvals_emergency_ended_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="approvals_emergency_due", condition=Q(state="running"))
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.state}"
