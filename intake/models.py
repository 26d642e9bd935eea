"""Mails that reached the request address, as they can be read, and what became of each (R4)."""

import zlib

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.sealing import unseal

PURPOSE = "intake.raw"


class ReceivedMail(models.Model):
    """One mail, kept once. Texts are masked (no keys, no link tokens); `raw` is the original, sealed.

    `found` are the labelled values as they were written (intake.fields), `attachments` what the mail says of
    its parts. The sender's address proves nothing: whoever writes a mail can write any address.
    """

    class Kind(models.TextChoices):
        REQUEST = "request", _("Request")
        UNREADABLE = "unreadable", _("Could not be read")
        BOUNCE = "bounce", _("Returned mail")
        AUTOMATIC = "automatic", _("Automatic answer")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for somebody")
        TAKEN = "taken", _("Taken over")
        SET_ASIDE = "set_aside", _("Set aside")
        FILED = "filed", _("Needs nobody")

    public_id = models.CharField(max_length=12, unique=True)
    identity = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    state = models.CharField(max_length=12, choices=State.choices)
    trouble = models.CharField(max_length=30, blank=True)
    notes = ArrayField(models.CharField(max_length=30), default=list, blank=True)
    via = models.CharField(max_length=10)
    received_at = models.DateTimeField()

    message_id = models.CharField(max_length=500, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    from_name = models.CharField(max_length=160, blank=True)
    from_address = models.CharField(max_length=254, blank=True)
    language = models.CharField(max_length=5, default="ja")
    text = models.TextField(blank=True)
    found = models.JSONField(default=dict, blank=True)
    attachments = models.JSONField(default=list, blank=True)
    raw = models.TextField(blank=True)
    n_bytes = models.PositiveBigIntegerField()

    partner = models.ForeignKey(
        "partners.Partner", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    matched_by = models.CharField(max_length=12, blank=True)
    contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    staff = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    answered_at = models.DateTimeField(null=True, blank=True)

    request = models.OneToOneField(
        "approvals.Request", on_delete=models.PROTECT, related_name="received_mail", null=True, blank=True
    )
    settled_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    settled_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    forgotten_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=(Q(state="taken") & Q(request__isnull=False))
                | (~Q(state="taken") & Q(request__isnull=True)),
                name="intake_taken_has_request",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "filed"], settled_at__isnull=True)
                | Q(state__in=["taken", "set_aside"], settled_at__isnull=False, settled_by__isnull=False),
                name="intake_settled_by_somebody",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="intake_state"),
            models.Index(fields=["from_address", "answered_at"], name="intake_answers"),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.subject}"

    @property
    def has_original(self) -> bool:
        """Whether the mail is kept as it arrived; without reading it, which may be ten megabytes."""
        is_dropped = self.forgotten_at or self.kind == self.Kind.BOUNCE or "raw_dropped" in self.notes
        return self.n_bytes > 0 and not is_dropped

    def original(self, limit: int) -> bytes:
        """Up to `limit` bytes of the mail as it arrived; `b""` where it is not kept (any more)."""
        if not self.raw:
            return b""
        return zlib.decompressobj().decompress(unseal(self.raw, purpose=PURPOSE), limit)
