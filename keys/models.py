"""The registry: API products, plans, keys, their secrets and deliveries, and daily use."""

import uuid
from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.quarantine_models import QuarantineFields
from keys.retirement_models import Retirement
from partners.models import LicenceLevel

__all__ = [
    "ApiProduct",
    "Delivery",
    "EndOfLife",
    "Environment",
    "Key",
    "KeyUseDay",
    "Plan",
    "PurposeCategory",
    "Retirement",
    "RotationClass",
    "Scope",
    "Secret",
    "UseBatch",
    "default_rate_limit",
]


class Environment(models.TextChoices):
    """Where a key works. One key has one environment."""

    LIVE = "live", _("Production")
    TEST = "test", _("Test")
    DEV = "dev", _("Development")


class PurposeCategory(models.TextChoices):
    """用途: what the key is used for. A revenue purpose makes the SLA fields required (R1)."""

    REVENUE = "revenue", _("Revenue (sales, licensing)")
    INTEGRATION = "integration", _("System integration")
    ANALYTICS = "analytics", _("Analysis and reports")
    RIGHTS_HOLDER = "rights_holder", _("A rights-holder's own use")
    INTERNAL = "internal", _("Internal operation")
    EVALUATION = "evaluation", _("Evaluation, trial")


class ApiProduct(models.Model):
    """An API that keys open."""

    code = models.SlugField(_("code"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=120)
    name_en = models.CharField(_("English name"), max_length=120)
    description = models.TextField(_("description"), blank=True)
    licence_level = models.CharField(_("data-licence level"), max_length=20, choices=LicenceLevel.choices)
    model_names = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    feature_names = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Scope(models.Model):
    """One permission of an API product, named `<product>:<what>`."""

    product = models.ForeignKey(ApiProduct, on_delete=models.PROTECT, related_name="scopes")
    code = models.CharField(_("code"), max_length=80, unique=True)
    name = models.CharField(_("name"), max_length=120)
    name_en = models.CharField(_("English name"), max_length=120)
    is_write = models.BooleanField(_("changes data"), default=False)
    is_admin = models.BooleanField(_("administers"), default=False)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


def default_rate_limit() -> int:
    """Requests a minute of a plan that names none: API_KEY_DEFAULT_RATE_LIMIT (S4)."""
    return int(settings.API_KEY_DEFAULT_RATE_LIMIT)


class Plan(models.Model):
    """An authorization level with default and maximum limits."""

    class Level(models.TextChoices):
        READ_ONLY = "read_only", _("Read-only")
        STANDARD = "standard", _("Standard")
        PREMIUM = "premium", _("Premium")
        ADMIN = "admin", _("Admin")

    code = models.SlugField(_("code"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=80)
    level = models.CharField(_("level"), max_length=20, choices=Level.choices)
    default_rpm = models.PositiveIntegerField(_("requests a minute"), default=default_rate_limit)
    default_rph = models.PositiveIntegerField(_("requests an hour"), default=1000)
    default_burst = models.PositiveIntegerField(_("burst"), default=20)
    default_concurrency = models.PositiveIntegerField(_("concurrent requests"), default=10)
    max_rpm = models.PositiveIntegerField(_("most requests a minute"))
    max_rph = models.PositiveIntegerField(_("most requests an hour"))
    default_rotation_days = models.PositiveSmallIntegerField(_("rotation (days)"), default=90)
    is_internal = models.BooleanField(_("for internal teams"), default=False)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "code"]

    def __str__(self) -> str:
        return self.name


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
    # Codes of Hold; see keys.services.status.hold_key.
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
    # A planned retirement in force (K9): its end, and from when on notice is given; see keys.retirement.
    retires_at = models.DateTimeField(null=True, blank=True)
    retiring_from = models.DateTimeField(null=True, blank=True)
    replacement = models.ForeignKey(
        "self", on_delete=models.PROTECT, related_name="replaces", null=True, blank=True
    )
    suspended_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField()
    # Number, name, partner, owner and products in one lower-case text; see keys.selectors.
    search_text = models.TextField(blank=True)

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
            models.Index(fields=["status", "environment", "-id"], name="keys_key_status_env"),
            models.Index(fields=["partner", "-id"], name="keys_key_partner"),
            models.Index(fields=["owner", "-id"], name="keys_key_owner"),
            models.Index(fields=["expires_at", "id"], name="keys_key_expires"),
            models.Index(
                fields=["quarantined_until"],
                name="keys_key_quarantined",
                condition=Q(quarantined_until__isnull=False),
            ),
            models.Index(
                Coalesce("retires_at", "expires_at"),
                name="keys_key_ends",
                condition=Q(status__in=["pending", "active", "retiring", "suspended"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.name}"

    @property
    def has_ended(self) -> bool:
        """Whether the key is revoked or expired: it never comes back."""
        return self.status in {self.Status.REVOKED, self.Status.EXPIRED}

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


class KeyUseDay(models.Model):
    """Use of one key on one day (Asia/Tokyo), added up from the verifier's counters: the sparkline's data.

    Peaks are of calls let through in a minute and in an hour. `minute` and `hour` (since 1970) are the latest
    counted, with what they came to so far: a batch may end in the middle of one.
    """

    key = models.ForeignKey(Key, on_delete=models.CASCADE, related_name="use_days")
    day = models.DateField()
    n_allowed = models.PositiveBigIntegerField(default=0)
    n_refused = models.PositiveBigIntegerField(default=0)
    by_code = models.JSONField(default=dict)
    peak_minute = models.PositiveIntegerField(default=0, db_default=0)
    peak_hour = models.PositiveIntegerField(default=0, db_default=0)
    minute = models.PositiveIntegerField(default=0, db_default=0)
    n_in_minute = models.PositiveIntegerField(default=0, db_default=0)
    hour = models.PositiveIntegerField(default=0, db_default=0)
    n_in_hour = models.PositiveIntegerField(default=0, db_default=0)
    cost_micros = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "day"], name="keys_use_day_once")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}"


class KeyOutcomeDay(models.Model):
    """How one key's calls ended on one day (Asia/Tokyo), as its gateways reported it (V7).

    `by_status`: calls by HTTP status; `by_latency`: calls by the upper bound in ms of their class (see
    keys.visits).
    """

    key = models.ForeignKey(Key, on_delete=models.CASCADE, related_name="outcome_days")
    day = models.DateField()
    by_status = models.JSONField(default=dict)
    by_latency = models.JSONField(default=dict)
    latency_ms_sum = models.PositiveBigIntegerField(default=0)
    latency_ms_max = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "day"], name="keys_outcome_day_once")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}"


class SeenAddress(models.Model):
    """An address from which one secret was used, or was tried and refused (V6).

    A secret has a bounded number of rows (keys.services.addresses); the row without an address counts the
    calls from all others. Times are right to the minute.
    """

    key = models.ForeignKey(Key, on_delete=models.PROTECT, related_name="seen_addresses")
    secret = models.ForeignKey(Secret, on_delete=models.PROTECT, related_name="seen_addresses")
    address = models.GenericIPAddressField(null=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    n_allowed = models.PositiveBigIntegerField(default=0)
    n_refused = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["secret", "address"], nulls_distinct=False, name="keys_seen_address_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.secret_id} {self.address or '*'}"


class UseBatch(models.Model):
    """A drained batch of counters, by id: a batch that comes twice is counted once (V6)."""

    uid = models.CharField(max_length=80, unique=True)
    drained_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.uid
