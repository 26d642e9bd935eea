"""Leave to act in another workspace (V2)."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from keys.models.keys import Key


class WorkspaceGrant(models.Model):
    """That a key may act in another workspace of its partner, until `ends_at` or until it is taken back (V2).

    Its limits stay those of the key and of its own workspace.
    """

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    key = models.ForeignKey(Key, on_delete=models.PROTECT, related_name="grants")
    workspace = models.ForeignKey("partners.Workspace", on_delete=models.PROTECT, related_name="grants")
    reason = models.CharField(_("reason"), max_length=500)
    granted_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    granted_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    taken_back_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    taken_back_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(_("reason"), max_length=500, blank=True)
    # Of one that ended by its date: when people were told (keys.end_grants).
    end_told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["ends_at"],
                name="keys_grant_running",
                condition=Q(taken_back_at=None, end_told_at=None),
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("granted_at")), name="keys_grant_ends_later"),
            models.CheckConstraint(
                condition=Q(taken_back_at__isnull=True, taken_back_by__isnull=True)
                | Q(taken_back_at__isnull=False, taken_back_by__isnull=False),
                name="keys_grant_taken_back_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} {self.workspace_id}"

    def is_in_force(self, now: datetime) -> bool:
        """Whether the key may act there now."""
        return self.taken_back_at is None and now < self.ends_at
