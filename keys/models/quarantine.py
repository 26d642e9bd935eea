"""What a key's row says about its quarantine (K6)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class QuarantineFields(models.Model):
    """Until when, why, and what is left meanwhile: set down when it begins, so that nothing widens it.

    `quarantine_addresses` are those from which the key was used before.
    """

    quarantined_until = models.DateTimeField(null=True, blank=True)
    quarantine_reason = models.CharField(max_length=500, blank=True)
    quarantine_scopes = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    quarantine_addresses = ArrayField(models.GenericIPAddressField(), default=list, blank=True)

    class Meta:
        abstract = True

    @staticmethod
    def quarantine_constraint() -> models.CheckConstraint:
        """No quarantine without a reason."""
        return models.CheckConstraint(
            condition=Q(quarantined_until=None, quarantine_reason="")
            | (Q(quarantined_until__isnull=False) & ~Q(quarantine_reason="")),
            name="keys_key_quarantine_has_reason",
        )
