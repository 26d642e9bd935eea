"""A key's secrets, and their way to the recipient (K1-K3)."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from keys.models.keys import Key


class Secret(models.Model):
    """One value of a key; `public_id` is the `key_id` in its text.

    Never stored in clear: an HMAC finds it, Argon2id over that proves it (K2).
    """

    class Status(models.TextChoices):
        LIVE = "live", _("Live")
        OVERLAP = "overlap", _("Overlap")
        RETIRED = "retired", _("Retired")
        REVOKED = "revoked", _("Revoked")

    key = models.ForeignKey(Key, on_delete=models.PROTECT, related_name="secrets")
    public_id = models.CharField("key_id", max_length=12, unique=True)
    digest = models.BinaryField(max_length=32, unique=True)
    pepper_version = models.PositiveSmallIntegerField()
    argon2_hash = models.CharField(max_length=200)
    hint = models.CharField(max_length=4)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.LIVE)
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    first_used_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(status="live"), name="keys_secret_one_live"),
            models.UniqueConstraint(
                fields=["key"], condition=Q(status="overlap"), name="keys_secret_one_overlap"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class Delivery(models.Model):
    """The way of one secret to its recipient: a link that reveals it exactly once (K3).

    The secret is made at the moment of the reveal, so nothing is kept sealed and nothing can leak before.
    `nonce` and the server's LINK_SECRET give the link's token; only its HMAC stands here.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Not yet revealed")
        REVEALED = "revealed", _("Revealed")
        CONFIRMED = "confirmed", _("Confirmed by the recipient")
        EXPIRED = "expired", _("Expired")
        REPLACED = "replaced", _("Replaced by another link")

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    key = models.ForeignKey(Key, on_delete=models.PROTECT, related_name="deliveries")
    recipient = models.ForeignKey("partners.Contact", on_delete=models.PROTECT, related_name="+")
    secret = models.OneToOneField(
        Secret, on_delete=models.PROTECT, related_name="delivery", null=True, blank=True
    )
    nonce = models.BinaryField(max_length=33)
    token_hash = models.BinaryField(max_length=32, unique=True)
    attempt = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    revealed_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(state="waiting"), name="keys_delivery_one_waiting"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["revealed", "confirmed"], secret__isnull=False)
                | Q(state__in=["waiting", "expired"], secret__isnull=True)
                | Q(state="replaced"),
                name="keys_delivery_reveal_has_secret",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} {self.state}"
