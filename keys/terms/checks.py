"""Whether terms can be asked for, and where they ask for more than a plan gives unasked (R1, R2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core import countries
from keys.models import ApiProduct, Environment, Key, Plan, PurposeCategory, RotationClass, Scope
from keys.terms.terms import LICENCE_CHECKLIST, KeyTerms, end_of_day, office_day
from partners.models import Contact, Contract, LicenceLevel, Partner, Workspace

Problem = tuple[str, str | Promise]

SLA_LATENCY_MS = 500
SLA_SUCCESS_PERCENT = "99"
LONGEST_LIFE_DAYS = 366


@dataclass(frozen=True, slots=True)
class Registry:
    """The rows that terms name; None where nothing (active) has that name."""

    partner: Partner | None
    workspace: Workspace | None
    recipient: Contact | None
    consent_contact: Contact | None
    billing_contact: Contact | None
    contract: Contract | None
    plan: Plan | None
    products: dict[str, ApiProduct]
    scopes: dict[str, Scope]
    replacement: Key | None = None

    @classmethod
    def read(cls, terms: KeyTerms) -> "Registry":
        """All that the terms name, in a constant number of queries."""
        contacts = {
            contact.public_id: contact
            for contact in Contact.objects.filter(
                public_id__in=[terms.recipient, terms.consent_contact, terms.billing_contact],
                partner__public_id=terms.partner,
                is_active=True,
            )
        }
        return cls(
            partner=Partner.objects.filter(public_id=terms.partner, is_active=True).first(),
            workspace=Workspace.objects.filter(
                public_id=terms.workspace, partner__public_id=terms.partner, is_active=True
            ).first(),
            recipient=contacts.get(terms.recipient),
            consent_contact=contacts.get(terms.consent_contact),
            billing_contact=contacts.get(terms.billing_contact),
            contract=Contract.objects.filter(
                public_id=terms.contract, partner__public_id=terms.partner
            ).first(),
            plan=Plan.objects.filter(code=terms.plan).first(),
            products={p.code: p for p in ApiProduct.objects.filter(code__in=terms.products, is_active=True)},
            scopes={s.code: s for s in Scope.objects.filter(code__in=terms.scopes).select_related("product")},
            replacement=Key.objects.filter(
                public_id=terms.replacement, partner__public_id=terms.partner
            ).first()
            if terms.replacement
            else None,
        )


def find_problems(terms: KeyTerms, registry: Registry, *, now: datetime) -> list[Problem]:
    """`(field, sentence)` for each thing that must be mended before the request can be submitted."""
    return [
        *_people(terms, registry),
        *_contract(terms, registry),
        *_api(terms, registry),
        *_purpose(terms),
        *_limits(terms, registry),
        *_life(terms, registry, office_day(now)),
        *_countries(terms),
        *_retirement(terms, registry, now),
    ]


def _people(terms: KeyTerms, registry: Registry) -> Iterator[Problem]:
    if not terms.name:
        yield "name", _("Give the key a name that says what it is for.")
    if registry.partner is None:
        yield "partner", _("This partner is not active.")
    elif registry.partner.kind != terms.partner_kind:
        # The kind decides who must consent: terms that have another one would go another way (A1).
        yield "partner", _("The partner's kind was changed after this was written. Look at it again.")
    if registry.workspace is None:
        yield "workspace", _("Choose a workspace of this partner.")
    if registry.recipient is None:
        yield "recipient", _("Choose the contact who will receive the key.")
    elif Contact.Purpose.TECHNICAL not in registry.recipient.purposes:
        yield "recipient", _("This contact is not registered as one who receives keys.")
    if registry.partner is not None and registry.partner.needs_consent:
        contact = registry.consent_contact
        if contact is None or Contact.Purpose.CONSENT not in contact.purposes:
            yield (
                "consent_contact",
                _("A rights-holder's key needs the contact who gives the star's or the office's consent."),
            )
    if terms.monthly_budget_usd and registry.billing_contact is None:
        yield "billing_contact", _("A budget needs a contact who is told about the costs.")


def _contract(terms: KeyTerms, registry: Registry) -> Iterator[Problem]:
    internal = registry.plan is not None and registry.plan.is_internal
    partner = registry.partner
    if internal and partner is not None and partner.kind != Partner.Kind.INTERNAL:
        yield "plan", _("The Internal plan is for internal teams only.")
    if registry.contract is None:
        if not internal:
            yield "contract", _("Choose the contract that this key belongs to.")
        return
    contract = registry.contract
    if (
        terms.monthly_amount_jpy != contract.monthly_amount_jpy
        or terms.contract_starts_on != contract.starts_on.isoformat()
        or terms.contract_ends_on != contract.ends_on.isoformat()
        or terms.licence_level != contract.licence_level
        or terms.terms_version != contract.terms_version
    ):
        yield "contract", _("The contract was changed after this was written. Look at it again.")
    missing = [item for item in LICENCE_CHECKLIST if item not in terms.licence_checklist]
    if missing:
        yield "licence_checklist", _("Confirm every point of the data-licence checklist.")


def _api(terms: KeyTerms, registry: Registry) -> Iterator[Problem]:
    if not terms.products or len(registry.products) != len(terms.products):
        yield "products", _("Choose at least one API product.")
    if not terms.scopes:
        yield "scopes", _("Choose at least one scope.")
    foreign = [code for code in terms.scopes if not _belongs(code, terms, registry)]
    if foreign:
        yield (
            "scopes",
            format_lazy(_("Not a scope of the chosen API products: {scopes}"), scopes=", ".join(foreign)),
        )
    levels = LicenceLevel.values
    for product in registry.products.values():
        if registry.contract and levels.index(product.licence_level) > levels.index(terms.licence_level):
            yield (
                "products",
                format_lazy(
                    _("“{product}” needs a stricter data-licence level than the contract grants."),
                    product=product.name,
                ),
            )
    yield from _plan(terms, registry)


def _plan(terms: KeyTerms, registry: Registry) -> Iterator[Problem]:
    plan = registry.plan
    if plan is None:
        yield "plan", _("Choose a plan.")
        return
    chosen = list(registry.scopes.values())
    if plan.level == Plan.Level.READ_ONLY and any(scope.is_write for scope in chosen):
        yield "scopes", _("This plan is read-only: it can't have scopes that change data.")
    if plan.level != Plan.Level.ADMIN and any(scope.is_admin for scope in chosen):
        yield "scopes", _("Administrative scopes need a plan of the Admin level.")
    for field, names, known in (
        ("model_names", terms.model_names, {m for p in registry.products.values() for m in p.model_names}),
        (
            "feature_names",
            terms.feature_names,
            {f for p in registry.products.values() for f in p.feature_names},
        ),
    ):
        if not set(names) <= known:
            yield field, _("The chosen API products do not offer this.")


def _belongs(code: str, terms: KeyTerms, registry: Registry) -> bool:
    scope = registry.scopes.get(code)
    return scope is not None and scope.product.code in terms.products


def _purpose(terms: KeyTerms) -> Iterator[Problem]:
    if terms.environment not in Environment.values:
        yield "environment", _("Choose an environment.")
    if terms.purpose_category not in PurposeCategory.values:
        yield "purpose_category", _("Choose a purpose.")
    if len(terms.purpose.strip()) < 10:
        yield "purpose", _("Say in a sentence what the key is used for.")
    if terms.purpose_category == PurposeCategory.REVENUE:
        if not terms.sla_latency_ms:
            yield "sla_latency_ms", _("A revenue purpose needs the agreed response time.")
        if not terms.sla_success_percent:
            yield "sla_success_percent", _("A revenue purpose needs the agreed success rate.")


def _limits(terms: KeyTerms, registry: Registry) -> Iterator[Problem]:
    if terms.rpm < 1:
        yield "rpm", _("At least 1 request a minute.")
    if terms.rph < terms.rpm:
        yield "rph", _("The hourly limit can't be lower than the limit for a minute.")
    plan = registry.plan
    if plan is None:
        return
    if terms.rpm > plan.max_rpm:
        yield "rpm", format_lazy(_("This plan allows at most {n} a minute."), n=f"{plan.max_rpm:,}")
    if terms.rph > plan.max_rph:
        yield "rph", format_lazy(_("This plan allows at most {n} an hour."), n=f"{plan.max_rph:,}")


def _life(terms: KeyTerms, registry: Registry, today: date) -> Iterator[Problem]:
    if terms.rotation_days not in RotationClass.values:
        yield "rotation_days", _("Choose how often the key is rotated.")
    try:
        last = date.fromisoformat(terms.expires_on)
    except ValueError:
        yield "expires_on", _("Say when the key ends.")
        return
    if last <= today:
        yield "expires_on", _("The key must end after today.")
    elif registry.contract is not None and last > registry.contract.ends_on:
        yield (
            "expires_on",
            format_lazy(
                _("The contract ends on {day}; a key never outlives its contract."),
                day=registry.contract.ends_on.isoformat(),
            ),
        )
    elif (last - today).days > LONGEST_LIFE_DAYS:
        yield "expires_on", _("A key lives for a year at most; it can be renewed.")


def _countries(terms: KeyTerms) -> Iterator[Problem]:
    unknown = sorted(set(terms.countries) - countries.codes())
    if unknown:
        text = _("There is no country {codes}. Write codes of two letters, like JP.")
        yield "countries", format_lazy(text, codes=", ".join(unknown))
    elif terms.countries and not countries.can_be_told():
        yield "countries", _("This installation can't tell countries by address (GEOIP_FILE).")


def _retirement(terms: KeyTerms, registry: Registry, now: datetime) -> Iterator[Problem]:
    if terms.replacement and registry.replacement is None:
        yield "replacement", _("Choose a key of the same partner.")
    if not terms.retires_at:
        if terms.replacement:
            yield "retires_at", _("Say when the key that is replaced ends.")
        return
    ends_at = datetime.fromisoformat(terms.retires_at)
    if ends_at <= now:
        yield "retires_at", _("This time has passed.")
    try:
        last = date.fromisoformat(terms.expires_on)
    except ValueError:
        return
    if ends_at > end_of_day(last):
        yield "retires_at", _("The key has expired by then. A retirement can't be set later than its expiry.")


def find_excesses(terms: KeyTerms, registry: Registry) -> list[Problem]:
    """`(field, sentence)` where more is asked for than the plan's defaults: "start with less" (R2)."""
    plan = registry.plan
    if plan is None:
        return []
    excesses: list[Problem] = []
    for field, asked, usual in (
        ("rpm", terms.rpm, plan.default_rpm),
        ("rph", terms.rph, plan.default_rph),
        ("burst", terms.burst, plan.default_burst),
        ("concurrency", terms.concurrency, plan.default_concurrency),
    ):
        if asked > usual:
            text = _("{asked} is more than the plan's usual {usual}. Start with less and ask for more later.")
            excesses.append((field, format_lazy(text, asked=f"{asked:,}", usual=f"{usual:,}")))
    if any(scope.is_admin for scope in registry.scopes.values()):
        excesses.append(("scopes", _("An administrative scope is asked for. Is it really needed?")))
    if not terms.ip_ranges and terms.environment == Environment.LIVE:
        excesses.append(("ip_ranges", _("No IP range: the key would work from anywhere.")))
    if terms.rotation_days > plan.default_rotation_days:
        excesses.append(("rotation_days", _("Rotated less often than the plan's usual class.")))
    return excesses
