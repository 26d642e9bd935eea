"""The path as data: which roles there are, and the versions of the policy that lays their steps (A1, A2)."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class StepRole(models.TextChoices):
    """Who decides a step. All but the rights-holder are roles of staff (A1)."""

    PM = "pm", _("PM")
    RIGHTS_HOLDER = "rights_holder", _("Rights-holder")
    LEGAL = "legal", _("Legal")
    TECH = "tech", _("Tech")
    COO = "coo", _("COO")
    # A change that only tightens: one approval, by whichever of the two comes first (R3).
    PM_OR_SECURITY = "pm_or_security", _("PM or security")


class PolicyVersion(models.Model):
    """One version of the approval path: data, never changed once in force (A2). See approvals.policies.rules.

    The version in force is the one whose `in_force_from` is the latest past one. Versions without an author
    came with the product. `version` grows with every act: a form that carries an older one is stale (409).
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        PROPOSED = "proposed", _("Waits for a second person")
        IN_FORCE = "in_force", _("Put in force")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    number = models.PositiveIntegerField(unique=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    version = models.PositiveIntegerField(default=1)
    rules = models.JSONField()
    source = models.ForeignKey("self", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    author = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    reason = models.TextField(blank=True, max_length=2000)
    proposed_at = models.DateTimeField(null=True, blank=True)
    decider = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True, max_length=2000)
    in_force_from = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            # The second person (A2). What comes with the product has neither author nor decider.
            models.CheckConstraint(
                condition=Q(author__isnull=True) | Q(decider__isnull=True) | ~Q(author=F("decider")),
                name="approvals_policy_two_people",
            ),
            models.CheckConstraint(
                condition=Q(author__isnull=False) | Q(decider__isnull=True, state="in_force"),
                name="approvals_policy_has_author",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["in_force", "rejected"])
                | Q(author__isnull=True)
                | Q(decider__isnull=False, decided_at__isnull=False),
                name="approvals_policy_was_decided",
            ),
            models.CheckConstraint(
                condition=Q(state="in_force", in_force_from__isnull=False)
                | (~Q(state="in_force") & Q(in_force_from__isnull=True)),
                name="approvals_policy_in_force_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["proposed", "in_force", "rejected"])
                | Q(author__isnull=True)
                | ~Q(reason=""),
                name="approvals_policy_has_reason",
            ),
            models.CheckConstraint(
                condition=~Q(state="rejected") | ~Q(decision_reason=""),
                name="approvals_policy_rejection_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"
