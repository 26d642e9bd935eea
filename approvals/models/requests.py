"""A request and what was submitted of it."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from approvals.models.policies import PolicyVersion


class Request(models.Model):
    """申請: asks for a new key, or to change one: then it has a `change`.

    `draft` is the form as last saved; submitting makes a revision.

    `version` grows with every act on the request: a form that carries an older one is stale (409).
    """

    class Kind(models.TextChoices):
        NEW_KEY = "new_key", _("New key")
        CHANGE = "change", _("Change of a key")

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In review")
        CHANGES_WANTED = "changes_wanted", _("Changes wanted")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        EXPIRED = "expired", _("Expired without a decision")

    public_id = models.CharField(max_length=12, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.NEW_KEY)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.DRAFT)
    version = models.PositiveIntegerField(default=1)
    requester = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="requests")
    partner = models.ForeignKey("partners.Partner", on_delete=models.PROTECT, related_name="requests")
    title = models.CharField(max_length=120, blank=True)
    draft = models.JSONField(default=dict)
    policy = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, null=True, blank=True)
    key = models.OneToOneField(
        "keys.Key", on_delete=models.PROTECT, related_name="request", null=True, blank=True
    )
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # Somebody said of a decision "this was not me": nothing happens until security has looked (A7).
    frozen_at = models.DateTimeField(null=True, blank=True)
    # Security issued the key before the approvals (A8): only such a request has a key while it is in review.
    emergency_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # With this pair a decision's copy of the requester can't differ from the request's (A4).
            models.UniqueConstraint(fields=["id", "requester"], name="approvals_request_requester"),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(submitted_at__isnull=False) | Q(state="withdrawn"),
                name="approvals_request_submitted_has_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "in_review", "changes_wanted"], ended_at__isnull=True)
                | (~Q(state__in=["draft", "in_review", "changes_wanted"]) & Q(ended_at__isnull=False)),
                name="approvals_request_ended_has_time",
            ),
            models.CheckConstraint(
                condition=Q(kind="new_key", state="approved", key__isnull=False, emergency_at__isnull=True)
                | (Q(kind="new_key", key__isnull=True, emergency_at__isnull=True) & ~Q(state="approved"))
                | (Q(kind="new_key", key__isnull=False, emergency_at__isnull=False) & ~Q(state="draft"))
                | Q(kind="change", key__isnull=True, emergency_at__isnull=True),
                name="approvals_request_key_iff_approved",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="approvals_request_state"),
            models.Index(fields=["requester", "-id"], name="approvals_request_mine"),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.title}"

    @property
    def is_editable(self) -> bool:
        """Whether its requester has it on the desk: a draft, or sent back."""
        return self.state in {self.State.DRAFT, self.State.CHANGES_WANTED}


class Revision(models.Model):
    """What was submitted: decisions are bound to `digest`, the SHA-256 of the canonical terms (A6)."""

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveSmallIntegerField()
    terms = models.JSONField()
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["request", "number"], name="approvals_revision_number_once")
        ]

    def __str__(self) -> str:
        return f"{self.request_id}/{self.number}"
