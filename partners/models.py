"""Who keys are for: partners, their contacts, contracts, workspaces and identity checks."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Coalesce, NullIf
from django.utils.translation import gettext_lazy as _

# A key in one of these states never comes back (keys.models stands above this app: names only).
ENDED_KEY_STATES = ("revoked", "expired")


class LicenceLevel(models.TextChoices):
    """Data-licence level of DATA_LICENSE_AND_EXTERNAL_API_POLICY, from the freest to the strictest."""

    PUBLIC = "public", _("Level 1: public data")
    PARTNER = "partner", _("Level 2: partner data")
    RESTRICTED = "restricted", _("Level 3: restricted data")


class Partner(models.Model):
    """A company, an agency, a rights-holder or an internal team."""

    class Kind(models.TextChoices):
        COMPANY = "company", _("Company")
        AGENCY = "agency", _("Agency")
        RIGHTS_HOLDER = "rights_holder", _("Rights-holder")
        INTERNAL = "internal", _("Internal team")

    public_id = models.CharField(max_length=12, unique=True)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    name = models.CharField(_("name"), max_length=160)
    name_kana = models.CharField(_("name in kana or Latin letters"), max_length=160, blank=True)
    corporate_number = models.CharField(_("corporate number"), max_length=13, blank=True)
    website = models.URLField(_("website"), blank=True)
    note = models.TextField(_("note"), blank=True, max_length=2000)
    is_active = models.BooleanField(default=True)
    identity_checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]
        indexes = [
            # The orders of the list: see partners.selectors.
            models.Index(
                Coalesce(NullIf("name_kana", models.Value("")), "name"), "id", name="partners_partner_reading"
            ),
            models.Index(fields=["created_at", "id"], name="partners_partner_created"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["corporate_number"],
                condition=~models.Q(corporate_number=""),
                name="partners_corporate_number_once",
            ),
            models.CheckConstraint(
                condition=models.Q(corporate_number="") | models.Q(corporate_number__regex=r"^[0-9]{13}$"),
                name="partners_corporate_number_form",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def needs_consent(self) -> bool:
        """Whether the star or the office must consent (A1)."""
        return self.kind == self.Kind.RIGHTS_HOLDER


class Contact(models.Model):
    """A person at the partner; has no account, is reached by mail only."""

    class Purpose(models.TextChoices):
        TECHNICAL = "technical", _("Receives keys")
        BILLING = "billing", _("Billing")
        LEGAL = "legal", _("Contracts")
        CONSENT = "consent", _("Gives the rights-holder's consent")

    public_id = models.CharField(max_length=12, unique=True)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="contacts")
    name = models.CharField(_("name"), max_length=120)
    title = models.CharField(_("title"), max_length=120, blank=True)
    email = models.EmailField(_("e-mail address"))
    phone = models.CharField(_("phone"), max_length=30, blank=True)
    language = models.CharField(_("language"), max_length=5, default="ja")
    purposes = ArrayField(
        models.CharField(max_length=20, choices=Purpose.choices), verbose_name=_("what for"), default=list
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "email"], condition=models.Q(is_active=True), name="partners_contact_once"
            ),
            models.CheckConstraint(
                condition=models.Q(purposes__contained_by=["technical", "billing", "legal", "consent"]),
                name="partners_contact_purposes_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def purpose_words(self) -> list[str]:
        """What the person is for, in words."""
        return [str(self.Purpose(purpose).label) for purpose in self.purposes]


class Contract(models.Model):
    """What was agreed with a partner. Amounts are whole yen a month, without tax."""

    public_id = models.CharField(max_length=12, unique=True)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="contracts")
    title = models.CharField(_("title"), max_length=160)
    monthly_amount_jpy = models.PositiveBigIntegerField(_("monthly amount (JPY)"))
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("until"))
    licence_level = models.CharField(_("data-licence level"), max_length=20, choices=LicenceLevel.choices)
    terms_version = models.CharField(_("terms of use accepted"), max_length=40)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-starts_on", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_on__gte=models.F("starts_on")), name="partners_contract_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.title}"


class Workspace(models.Model):
    """A partner's project. A key works in its own workspace only; `code` is what a gateway sends."""

    public_id = models.CharField(max_length=12, unique=True)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="workspaces")
    code = models.SlugField(_("code"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=120)
    time_zone = models.CharField(_("time zone"), max_length=60, default="Asia/Tokyo")
    is_active = models.BooleanField(default=True)
    # Held by all of its keys together, beside each key's own; 0 and None are no limits.
    rpm = models.PositiveIntegerField(_("requests a minute"), default=0, db_default=0)
    rph = models.PositiveIntegerField(_("requests an hour"), default=0, db_default=0)
    monthly_budget_usd = models.DecimalField(
        _("monthly budget (USD)"), max_digits=12, decimal_places=2, null=True, blank=True
    )
    # Grows with each change that the verifier has to know; see keys.hotstore.publish.policy_of.
    revision = models.PositiveBigIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def has_limits(self) -> bool:
        """Whether its keys share any limit."""
        return bool(self.rpm or self.rph) or self.monthly_budget_usd is not None


class IdentityCheck(models.Model):
    """That security checked who the partner is, and by what: kept for each time it was done (A1)."""

    class Point(models.TextChoices):
        CORPORATE_NUMBER = "corporate_number", _("Corporate number and name match the public register")
        MAIL_DOMAIN = "mail_domain", _("The domain of the contact's address belongs to the partner")
        CALL_BACK = "call_back", _("The person in charge was confirmed by calling back a public number")
        SCREENING = "screening", _("Sanctions and anti-social forces lists were searched")
        TERMS_ON_FILE = "terms_on_file", _("NDA and terms of use are on file, signed")

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="identity_checks")
    checked_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    checked_at = models.DateTimeField()
    checklist = ArrayField(models.CharField(max_length=40))
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["-checked_at"]

    def __str__(self) -> str:
        return f"{self.partner} {self.checked_at:%Y-%m-%d}"

    @classmethod
    def points_for(cls, kind: str) -> list["IdentityCheck.Point"]:
        """The points that a partner of this kind must pass. A star and a team are in no company register."""
        point = cls.Point
        if kind == Partner.Kind.INTERNAL:
            return [point.MAIL_DOMAIN, point.TERMS_ON_FILE]
        if kind == Partner.Kind.RIGHTS_HOLDER:
            return [point.MAIL_DOMAIN, point.CALL_BACK, point.SCREENING, point.TERMS_ON_FILE]
        return list(point)
