"""What was decided, and what of it stands for a later revision (A4, A6)."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from approvals.models.deputies import Delegation
from approvals.models.requests import Request, Revision
from approvals.models.steps import Step, StepLink


class Decision(models.Model):
    """One person's answer on one step, bound to the digest of what was decided on. Never changed.

    But for one thing: when a later revision touches what it was about it has *fallen*, for good (A6). What a
    later revision leaves alone still stands: see Standing.
    """

    class Outcome(models.TextChoices):
        APPROVE = "approve", _("Approve")
        REJECT = "reject", _("Reject")
        CHANGES = "changes", _("Ask for changes")

    class Basis(models.TextChoices):
        OWN = "own", _("Own role")
        DELEGATION = "delegation", _("Delegation")
        ESCALATION = "escalation", _("Escalation")

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="decisions")
    requester_id_copy = models.BigIntegerField()
    step = models.ForeignKey(Step, on_delete=models.PROTECT, related_name="decisions")
    staff = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="decisions", null=True, blank=True
    )
    contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="decisions", null=True, blank=True
    )
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    reason = models.TextField(blank=True, max_length=2000)
    digest = models.BinaryField(max_length=32)
    checklist = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    signed_name = models.CharField(max_length=120, blank=True)
    signed_capacity = models.CharField(max_length=120, blank=True)
    # In whose place: nobody's, a person's who is away, or the role's, by escalation (A5).
    basis = models.CharField(max_length=10, choices=Basis.choices, default=Basis.OWN, db_default=Basis.OWN)
    on_behalf_of = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    delegation = models.ForeignKey(Delegation, on_delete=models.PROTECT, null=True, blank=True)
    via_link = models.ForeignKey(StepLink, on_delete=models.PROTECT, null=True, blank=True)
    decided_at = models.DateTimeField()
    fallen_at = models.DateTimeField(null=True, blank=True)
    fell_with = models.ForeignKey(
        Revision, on_delete=models.PROTECT, related_name="fallen", null=True, blank=True
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(staff__isnull=False, contact__isnull=True)
                | Q(staff__isnull=True, contact__isnull=False),
                name="approvals_decision_one_person",
            ),
            # Four eyes (A4): not on one's own request, not on two steps of one request. That nobody decides
            # for two roles, be it on two revisions, is kept by the trigger approvals_decision_open_step.
            models.CheckConstraint(
                condition=Q(staff__isnull=True) | ~Q(staff=F("requester_id_copy")),
                name="approvals_decision_not_own",
            ),
            models.UniqueConstraint(
                fields=["request", "staff"],
                condition=Q(fallen_at__isnull=True),
                name="approvals_decision_one_step_each",
            ),
            models.UniqueConstraint(
                fields=["request", "contact"],
                condition=Q(fallen_at__isnull=True),
                name="approvals_decision_one_consent_each",
            ),
            models.CheckConstraint(
                condition=Q(fallen_at__isnull=True, fell_with__isnull=True)
                | Q(fallen_at__isnull=False, fell_with__isnull=False),
                name="approvals_decision_fell_with_a_revision",
            ),
            models.CheckConstraint(
                condition=Q(basis="delegation", on_behalf_of__isnull=False, delegation__isnull=False)
                | (~Q(basis="delegation") & Q(on_behalf_of__isnull=True, delegation__isnull=True)),
                name="approvals_decision_in_whose_name",
            ),
            # Nor for a requester, whose deputy is no second pair of eyes (A4, A5).
            models.CheckConstraint(
                condition=Q(on_behalf_of__isnull=True) | ~Q(on_behalf_of=F("requester_id_copy")),
                name="approvals_decision_not_for_requester",
            ),
            models.CheckConstraint(
                condition=Q(outcome="approve") | ~Q(reason=""), name="approvals_reject_has_reason"
            ),
            models.CheckConstraint(
                condition=Q(contact__isnull=True) | (~Q(signed_name="") & ~Q(signed_capacity="")),
                name="approvals_consent_is_signed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step_id} {self.outcome}"


class Standing(models.Model):
    """That an approval of an earlier revision counts for a step of this one: bound to both digests (A6)."""

    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="standings")
    step = models.ForeignKey(Step, on_delete=models.PROTECT, related_name="standings")
    digest = models.BinaryField(max_length=32)
    carried_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["decision", "step"], name="approvals_standing_once")]

    def __str__(self) -> str:
        return f"{self.decision_id} {self.step_id}"
