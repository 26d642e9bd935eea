"""Gateways: the machine clients that may ask the verifier (V8)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Gateway(models.Model):
    """A proxy or a service that asks about keys; `mode` shapes its answers, `fail_policy` its outages."""

    class Mode(models.TextChoices):
        STANDARD = "standard", _("Standard status codes")
        NGINX = "nginx", _("nginx auth_request (401 and 403 only)")

    class FailPolicy(models.TextChoices):
        OPEN = "open", _("Answer from the database with local limits")
        CLOSED = "closed", _("Refuse while the hot store is away")

    public_id = models.CharField(max_length=12, unique=True)
    name = models.CharField(_("name"), max_length=120)
    mode = models.CharField(_("mode"), max_length=12, choices=Mode.choices, default=Mode.STANDARD)
    fail_policy = models.CharField(
        _("when the hot store is away"), max_length=8, choices=FailPolicy.choices, default=FailPolicy.OPEN
    )
    ip_ranges = ArrayField(
        models.CharField(max_length=50), verbose_name=_("IP ranges"), default=list, blank=True
    )
    # Without it a place for concurrent calls would be held until its lease is over, whenever the call ended.
    reports_ends = models.BooleanField(_("reports when calls end"), default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class GatewayCredential(models.Model):
    """One credential of a gateway, shown once when made. Two may be live while one replaces the other."""

    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT, related_name="credentials")
    credential_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(max_length=32, unique=True)
    pepper_version = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.credential_id


class BlockedAddress(models.Model):
    """Addresses from which no key is answered for a time: false keys came from there (V3).

    `network` is a single address or a block of them, in canonical form.
    """

    # So many are looked through at each check.
    MOST = 200

    network = models.CharField(_("address or network"), max_length=50)
    reason = models.CharField(_("reason"), max_length=200)
    is_automatic = models.BooleanField(default=False)
    blocked_at = models.DateTimeField()
    until = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(until__gt=F("blocked_at")), name="verifier_blocked_for_a_time"
            ),
            models.UniqueConstraint(
                fields=["network"], condition=Q(lifted_at=None), name="verifier_blocked_once"
            ),
        ]

    def __str__(self) -> str:
        return self.network
