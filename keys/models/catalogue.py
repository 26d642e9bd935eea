"""What keys open and by which level: API products with their scopes, plans, environments, purposes."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from partners.models import LicenceLevel


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
