"""The registry's entry: the key."""

from datetime import UTC, datetime, timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.models.catalogue import ApiProduct, Environment, Plan, PurposeCategory
from keys.models.quarantine import QuarantineFields

HOUR = timedelta(hours=1)
NEVER_USED = datetime(1970, 1, 1, tzinfo=UTC)
# For conditions of indexes: what lists show unless they are asked for ended keys, too.
LIVE = Q(ended_at__isnull=True)


class RotationClass(models.IntegerChoices):
    """How often a key's secret is replaced (K7)."""

    IMPORTANT = 60, _("60 days (important)")
    NORMAL = 90, _("90 days (normal)")
    LONG = 180, _("180 days (longest)")


class EndOfLife(models.TextChoices):
    """What happens at a key's end."""

    EXPIRE = "expire", _("Ends on its day")
    RENEW = "renew", _("Is renewed while the contract covers it")
    REPLACE = "replace", _("Is replaced by a new key")


class Key(QuarantineFields):
    """APIキー: the registry entry. It outlives its secrets; its number never changes.

    `family` is the eight characters that every `key_id` of this key begins with: the verifier's records of
    all its secrets share a place and so share limits exactly. `revision` grows with each change and lets the
    hot store refuse older news (V4). Limits are whole requests; 0 is "no limit of this kind".
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("Awaiting delivery")
        ACTIVE = "active", _("Active")
        RETIRING = "retiring", _("Retiring")
        SUSPENDED = "suspended", _("Suspended")
        REVOKED = "revoked", _("Revoked")
        EXPIRED = "expired", _("Expired")

    class RevokeReason(models.TextChoices):
        TERMS_VIOLATED = "terms_violated", _("Terms violated")
        PERSON_LEFT = "person_left", _("The person in charge left")
        LEAKED = "leaked", _("Leaked")
        CONTRACT_ENDED = "contract_ended", _("Contract ended")
        REPLACED = "replaced", _("Replaced")
        UNCLAIMED = "unclaimed", _("Not collected in time")
        ANOMALY = "anomaly", _("Anomaly")
        NOT_APPROVED = "not_approved", _("Not approved")
        OTHER = "other", _("Other")

    class Hold(models.TextChoices):
        """Why a key may not run, whoever would start it: what stands behind it is missing or in doubt."""

        DOUBT = "doubt", _("An approval of this key is in doubt: security is looking into it.")
        LATE = "late", _("It was issued in an emergency, and its approvals were not complete in time.")
        CONSENT = "consent", _("The rights-holder has withdrawn the consent that this key was issued on.")

    public_id = models.CharField(max_length=12, unique=True)
    family = models.CharField(max_length=8, unique=True)
    name = models.CharField(_("name"), max_length=120)
    status = models.CharField(_("status"), max_length=12, choices=Status.choices, default=Status.PENDING)
    status_reason = models.CharField(max_length=500, blank=True)
    revoke_reason = models.CharField(max_length=20, choices=RevokeReason.choices, blank=True)
    revision = models.PositiveBigIntegerField(default=1)

    partner = models.ForeignKey("partners.Partner", on_delete=models.PROTECT, related_name="keys")
    workspace = models.ForeignKey("partners.Workspace", on_delete=models.PROTECT, related_name="keys")
    contract = models.ForeignKey(
        "partners.Contract", on_delete=models.PROTECT, related_name="keys", null=True, blank=True
    )
    recipient = models.ForeignKey("partners.Contact", on_delete=models.PROTECT, related_name="keys")
    owner = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="owned_keys")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="keys")
    products = models.ManyToManyField(ApiProduct, related_name="keys")
    environment = models.CharField(_("environment"), max_length=8, choices=Environment.choices)
    purpose_category = models.CharField(_("purpose"), max_length=20, choices=PurposeCategory.choices)
    purpose = models.TextField(_("what exactly for"))
    request_ref = models.CharField(max_length=12, blank=True)
    # Codes of Hold; see keys.status.services.hold_key.
    held_for = ArrayField(models.CharField(max_length=12), default=list, blank=True)
    # Issued in an emergency: until when the approvals have to be complete (A8). None: an ordinary key.
    provisional_until = models.DateTimeField(null=True, blank=True)

    scopes = ArrayField(models.CharField(max_length=80), default=list)
    model_names = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    feature_names = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    ip_ranges = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    countries = ArrayField(models.CharField(max_length=2), default=list, blank=True)
    rpm = models.PositiveIntegerField(_("requests a minute"))
    rph = models.PositiveIntegerField(_("requests an hour"))
    burst = models.PositiveIntegerField(_("burst"), default=0)
    concurrency = models.PositiveIntegerField(_("concurrent requests"), default=0)
    monthly_budget_usd = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    budget_thresholds = ArrayField(models.PositiveSmallIntegerField(), default=list, blank=True)
    suspend_at_budget = models.BooleanField(default=False)
    billing_contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="billed_keys", null=True, blank=True
    )
    sla_latency_ms = models.PositiveIntegerField(null=True, blank=True)
    sla_success_percent = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)

    rotation_days = models.PositiveSmallIntegerField(choices=RotationClass.choices)
    rotation_due_on = models.DateField(null=True, blank=True)
    auto_renew = models.BooleanField(default=False)
    end_of_life = models.CharField(max_length=10, choices=EndOfLife.choices, default=EndOfLife.EXPIRE)
    issued_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    # A planned retirement in force (K9): its end, and from when on notice is given; see rights.retirement.
    retires_at = models.DateTimeField(null=True, blank=True)
    retiring_from = models.DateTimeField(null=True, blank=True)
    replacement = models.ForeignKey(
        "self", on_delete=models.PROTECT, related_name="replaces", null=True, blank=True
    )
    suspended_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField()
    # Number, name, partner, owner and products in one lower-case text; see keys.status.names.
    search_text = models.TextField(blank=True)
    # What the registry is sorted by (docs/decisions/0009): names as keys.status.names wrote them last, and
    # the hour of the last use, the first one of all for keys that were never used. By the hour, because each
    # change of an indexed column writes a row's every index anew, and `last_used_at` changes each minute.
    partner_name = models.CharField(max_length=160, blank=True, default="", db_default="")
    owner_name = models.CharField(max_length=120, blank=True, default="", db_default="")
    used_hour = models.GeneratedField(
        expression=Coalesce(
            Func(Value(HOUR), "last_used_at", Value(NEVER_USED), function="date_bin"), Value(NEVER_USED)
        ),
        output_field=models.DateTimeField(),
        db_persist=True,
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["revoked", "expired"], ended_at__isnull=False)
                | (~Q(status__in=["revoked", "expired"]) & Q(ended_at__isnull=True)),
                name="keys_key_ended_has_time",
            ),
            models.CheckConstraint(
                condition=(Q(status="revoked") & ~Q(revoke_reason=""))
                | (~Q(status="revoked") & Q(revoke_reason="")),
                name="keys_key_revoked_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(status="suspended", suspended_at__isnull=False)
                | (~Q(status="suspended") & Q(suspended_at__isnull=True)),
                name="keys_key_suspended_has_time",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("issued_at")), name="keys_key_expires_after_issue"
            ),
            models.CheckConstraint(
                condition=Q(rotation_days__in=[60, 90, 180]), name="keys_key_rotation_class"
            ),
            models.CheckConstraint(
                condition=Q(retires_at=None, retiring_from=None)
                | Q(retires_at__gt=F("retiring_from"), retires_at__lte=F("expires_at")),
                name="keys_key_retires_before_expiry",
            ),
            models.CheckConstraint(
                condition=~Q(status="retiring") | Q(retires_at__isnull=False),
                name="keys_key_retiring_has_end",
            ),
            QuarantineFields.quarantine_constraint(),
            # Whoever writes: what is held does not run (A7-A9).
            models.CheckConstraint(
                condition=Q(held_for=[]) | Q(status__in=["suspended", "revoked", "expired"]),
                name="keys_key_held_never_runs",
            ),
            # One approved request makes one key, whatever runs twice (A10).
            models.UniqueConstraint(
                fields=["request_ref"], condition=~Q(request_ref=""), name="keys_key_request_once"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "id"], name="keys_key_status"),
            models.Index(fields=["expires_at", "id"], name="keys_key_expires"),
            # Each order of the registry: for the keys that have not ended, among which ended ones of many
            # years would have to be passed over, and for all.
            models.Index(fields=["partner_name", "id"], name="keys_key_partner_name"),
            models.Index(fields=["owner_name", "id"], name="keys_key_owner_name"),
            models.Index(fields=["used_hour", "id"], name="keys_key_used"),
            models.Index(fields=["id"], name="keys_live", condition=LIVE),
            models.Index(fields=["expires_at", "id"], name="keys_live_expires", condition=LIVE),
            models.Index(fields=["partner_name", "id"], name="keys_live_partner_name", condition=LIVE),
            models.Index(fields=["owner_name", "id"], name="keys_live_owner_name", condition=LIVE),
            models.Index(fields=["used_hour", "id"], name="keys_live_used", condition=LIVE),
            # Ended keys stand together at one end of these two.
            models.Index(fields=["expires_at", "id"], name="keys_ended_expires", condition=~LIVE),
            models.Index(fields=["used_hour", "id"], name="keys_ended_used", condition=~LIVE),
            models.Index(fields=["suspended_at", "id"], name="keys_held", condition=~Q(held_for=[])),
            # Saved views, home, the sweep of ended keys, and the counts of a partner's page.
            models.Index(fields=["rotation_due_on"], name="keys_live_rotation", condition=LIVE),
            models.Index(Coalesce("retires_at", "expires_at"), "id", name="keys_live_ends", condition=LIVE),
            models.Index(fields=["partner", "id"], name="keys_live_partner", condition=LIVE),
            models.Index(fields=["owner", "id"], name="keys_live_owner", condition=LIVE),
            models.Index(fields=["contract"], name="keys_live_contract", condition=LIVE),
            models.Index(fields=["workspace"], name="keys_live_workspace", condition=LIVE),
            models.Index(
                fields=["quarantined_until"],
                name="keys_key_quarantined",
                condition=Q(quarantined_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.name}"

    @property
    def has_ended(self) -> bool:
        """Whether the key is revoked or expired: it never comes back."""
        return self.status in {self.Status.REVOKED, self.Status.EXPIRED}

    @property
    def is_quarantined(self) -> bool:
        """Whether a quarantine was begun and not ended yet, be it by the sweep that ends what is due."""
        return self.quarantined_until is not None and not self.has_ended

    @property
    def ends_at(self) -> datetime:
        """When the key ends as things stand: at its planned retirement, else at its expiry."""
        return self.retires_at or self.expires_at

    @property
    def holds(self) -> list[str | Promise]:
        """Why it may not run, in words; empty for a key that somebody may start again."""
        return [self.Hold(code).label for code in self.held_for]

    @property
    def why_suspended(self) -> list[str | Promise]:
        """Why it stands still, in words: what holds it, what somebody typed, or that all of it is settled."""
        settled = _(
            "What it was stopped for is settled. Somebody may start it again, and says why that is safe."
        )
        return self.holds or [self.status_reason or settled]
