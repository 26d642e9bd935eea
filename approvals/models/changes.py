"""What a request to change a key adds to a request: the key, its basis, when it takes effect (R3)."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class KeyChange(models.Model):
    """A change of one key's terms, from its draft to the look at what it did.

    `base` are the key's terms that the change starts from and `base_digest` the digest of its settings then
    (keys.terms.settings): a key that was changed meanwhile is never overwritten. The new terms stand in
    the request's revisions.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In approval")
        SCHEDULED = "scheduled", _("Waits for its time")
        APPLIED = "applied", _("Applied")
        ROLLED_BACK = "rolled_back", _("Rolled back")
        FAILED = "failed", _("Could not be applied")
        CANCELLED = "cancelled", _("Cancelled before its time")
        CLOSED = "closed", _("Not approved")

    class Direction(models.TextChoices):
        TIGHTENS = "tightens", _("Only tightens")
        LOOSENS = "loosens", _("Loosens or changes something")

    request = models.OneToOneField("approvals.Request", on_delete=models.PROTECT, related_name="change")
    key = models.ForeignKey("keys.Key", on_delete=models.PROTECT, related_name="changes")
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    base = models.JSONField()
    base_digest = models.BinaryField(max_length=32)
    direction = models.CharField(max_length=8, choices=Direction.choices, blank=True)
    reactivates = models.BooleanField(default=False)
    why = models.TextField(blank=True, max_length=2000)
    short_notice = models.TextField(blank=True, max_length=2000)
    not_before = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    end_reason = models.TextField(blank=True, max_length=2000)
    look_due_at = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    looked_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    look_note = models.TextField(blank=True, max_length=2000)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Two open changes of one key would each be approved against settings that the other replaces.
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(state__in=["in_review", "scheduled"]),
                name="approvals_change_one_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["applied", "rolled_back"], applied_at__isnull=False)
                | (~Q(state__in=["applied", "rolled_back"]) & Q(applied_at__isnull=True)),
                name="approvals_change_applied_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="scheduled") | Q(not_before__isnull=False),
                name="approvals_change_scheduled_has_time",
            ),
            models.CheckConstraint(
                condition=Q(looked_at__isnull=True) | Q(looked_by__isnull=False),
                name="approvals_change_look_has_person",
            ),
        ]
        indexes = [
            models.Index(fields=["not_before"], name="approvals_change_due", condition=Q(state="scheduled")),
            models.Index(
                fields=["look_due_at"],
                name="approvals_change_look",
                condition=Q(looked_at__isnull=True, look_due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.state}"
