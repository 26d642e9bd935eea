"""Terms in full, for people: labels and names, not codes (A3: what is decided on is what is read)."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from approvals.wording import LICENCE_POINTS
from core.mail_addresses import readable_address
from core.wording import date_text, money_text, when_text
from keys.models import ApiProduct, EndOfLife, Environment, Key, PurposeCategory, RotationClass, Scope
from keys.terms.checks import Registry
from keys.terms.terms import KeyTerms
from partners.models import Contact, LicenceLevel, Partner

NONE = "—"


@dataclass(frozen=True, slots=True)
class Fact:
    """One term: `value` for one line, `items` for several. `field` is its name in KeyTerms.

    `also`: other fields that its line speaks of.
    """

    field: str
    label: str | Promise
    value: str = ""
    items: tuple[str, ...] = ()
    is_code: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Terms that belong together, in the order of the form."""

    title: str | Promise
    facts: list[Fact]


def describe_terms(terms: KeyTerms, registry: Registry | None = None) -> list[Section]:
    """All terms, in eight queries. What was removed since is shown by its number: terms are history."""
    registry = registry or Registry.read(terms)
    return [
        Section(_("Partner and contacts"), _people(terms, registry)),
        Section(_("API products and scopes"), _api(terms, registry)),
        Section(_("Purpose"), _purpose(terms)),
        Section(_("Contract and data licence"), _contract(terms, registry)),
        Section(_("Plan, limits and budget"), _limits(terms, registry)),
        Section(_("Addresses and life"), _life(terms, registry.replacement)),
    ]


NOTHING = Registry(None, None, None, None, None, None, None, {}, {})


def labels_of(fields: Collection[str], *several: KeyTerms) -> list[str | Promise]:
    """What the terms page calls these fields, each once, without a query; other fields by their name."""
    facts = [fact for terms in several for part in describe_terms(terms, NOTHING) for fact in part.facts]
    called: dict[str, str | Promise] = {
        name: fact.label for fact in facts for name in (*fact.also, fact.field)
    }
    called["change"] = _("Reason, time or restart")  # what a change of a key says beside its terms
    return list(dict.fromkeys(called.get(field, field) for field in fields))


def _people(terms: KeyTerms, registry: Registry) -> list[Fact]:
    partner, workspace = registry.partner, registry.workspace
    facts = [
        Fact("name", _("Name of the key"), terms.name),
        Fact("partner", _("Partner"), partner.name if partner else terms.partner),
        Fact("partner_kind", _("Kind of partner"), label_of(Partner.Kind, terms.partner_kind)),
        Fact("workspace", _("Workspace"), workspace.name if workspace else terms.workspace),
        Fact("recipient", _("Receives the key"), _person(registry.recipient, terms.recipient)),
    ]
    if terms.consent_contact:
        consents = _person(registry.consent_contact, terms.consent_contact)
        facts.append(Fact("consent_contact", _("Gives the rights-holder's consent"), consents))
    return facts


def _person(contact: Contact | None, number: str) -> str:
    if contact is None:
        return number or NONE
    name = f"{contact.name} ({contact.title})" if contact.title else contact.name
    return f"{name}, {readable_address(contact.email)}"


def _api(terms: KeyTerms, registry: Registry) -> list[Fact]:
    facts = [
        Fact("products", _("API products"), items=_names(terms.products, registry.products)),
        Fact("scopes", _("Scopes"), items=_scopes(terms.scopes, registry.scopes), is_code=False),
    ]
    if terms.model_names:
        facts.append(Fact("model_names", _("Models"), items=terms.model_names, is_code=True))
    if terms.feature_names:
        facts.append(Fact("feature_names", _("Features"), items=terms.feature_names, is_code=True))
    facts.append(Fact("environment", _("Environment"), label_of(Environment, terms.environment)))
    return facts


def _names(codes: Iterable[str], rows: dict[str, ApiProduct]) -> tuple[str, ...]:
    return tuple(name_of(rows[code]) if code in rows else code for code in codes)


def _scopes(codes: Iterable[str], rows: dict[str, Scope]) -> tuple[str, ...]:
    return tuple(f"{name_of(rows[code])} ({code})" if code in rows else code for code in codes)


def _purpose(terms: KeyTerms) -> list[Fact]:
    facts = [
        Fact("purpose_category", _("Purpose"), label_of(PurposeCategory, terms.purpose_category)),
        Fact("purpose", _("What exactly for"), terms.purpose),
    ]
    if terms.sla_latency_ms:
        facts.append(Fact("sla_latency_ms", _("Agreed response time"), f"{terms.sla_latency_ms:,} ms"))
    if terms.sla_success_percent:
        facts.append(Fact("sla_success_percent", _("Agreed success rate"), f"{terms.sla_success_percent} %"))
    return facts


def _contract(terms: KeyTerms, registry: Registry) -> list[Fact]:
    title = f"{terms.contract} {registry.contract.title}" if registry.contract else terms.contract
    period = f"{_day(terms.contract_starts_on)} – {_day(terms.contract_ends_on)}"
    confirmed = tuple(str(LICENCE_POINTS[point]) for point in terms.licence_checklist)
    facts = [
        Fact("monthly_amount_jpy", _("Monthly amount"), money_text(terms.monthly_amount_jpy)),
        Fact("contract_ends_on", _("Period"), period, also=("contract_starts_on",)),
        Fact("licence_level", _("Data-licence level"), label_of(LicenceLevel, terms.licence_level)),
        Fact("terms_version", _("Terms of use accepted"), terms.terms_version),
        Fact("licence_checklist", _("Confirmed"), items=confirmed),
    ]
    if terms.contract:
        return [Fact("contract", _("Contract"), title), *facts]
    return [Fact("contract", _("Contract"), gettext("None (internal team)")), *_filled(facts, terms)]


def _limits(terms: KeyTerms, registry: Registry) -> list[Fact]:
    facts = [
        Fact("plan", _("Plan"), registry.plan.name if registry.plan else terms.plan),
        Fact("rpm", _("Requests a minute"), _limit(terms.rpm)),
        Fact("rph", _("Requests an hour"), _limit(terms.rph)),
        Fact("burst", _("Burst"), _limit(terms.burst)),
        Fact("concurrency", _("At the same time"), _limit(terms.concurrency)),
    ]
    thresholds = ", ".join(f"{share} %" for share in terms.budget_thresholds)
    about_budget = [
        Fact("budget_thresholds", _("Warned at"), thresholds or NONE),
        Fact("suspend_at_budget", _("Suspended at the budget's end"), _yes(terms.suspend_at_budget)),
        Fact(
            "billing_contact", _("Told about costs"), _person(registry.billing_contact, terms.billing_contact)
        ),
    ]
    if not terms.monthly_budget_usd:
        nothing = Fact("monthly_budget_usd", _("Monthly budget"), gettext("None"))
        return [*facts, nothing, *_filled(about_budget, terms)]
    budget = money_text(Decimal(terms.monthly_budget_usd), "USD")
    return [*facts, Fact("monthly_budget_usd", _("Monthly budget"), budget), *about_budget]


def _filled(facts: list[Fact], terms: KeyTerms) -> list[Fact]:
    """Those that say something, though what they belong to is not there: no term is ever left out."""
    return [fact for fact in facts if any(getattr(terms, name) for name in (fact.field, *fact.also))]


def _life(terms: KeyTerms, replacement: Key | None) -> list[Fact]:
    addresses = (
        Fact("ip_ranges", _("Works from"), items=terms.ip_ranges, is_code=True)
        if terms.ip_ranges
        else Fact("ip_ranges", _("Works from"), gettext("Any address"))
    )
    countries = [Fact("countries", _("Works in"), items=terms.countries)] if terms.countries else []
    return [
        addresses,
        *countries,
        Fact("rotation_days", _("Rotation"), label_of(RotationClass, terms.rotation_days)),
        Fact("expires_on", _("Last day"), _day(terms.expires_on)),
        # `auto_renew` follows from it: two lines on one thing would only look like two answers.
        Fact(
            "end_of_life",
            _("At its end"),
            label_of(EndOfLife, terms.end_of_life),
            also=("auto_renew",),
        ),
        *_retirement(terms, replacement),
    ]


def _retirement(terms: KeyTerms, replacement: Key | None) -> list[Fact]:
    facts = []
    if terms.retires_at:
        ends_at = when_text(datetime.fromisoformat(terms.retires_at))
        facts.append(Fact("retires_at", _("Planned retirement"), ends_at))
    if terms.replacement:
        name = str(replacement) if replacement else terms.replacement
        facts.append(Fact("replacement", _("Replaced by"), name))
    return facts


def label_of(choices: Callable[[Any], Any], value: Any) -> str:
    """The label of a choice; the value itself where it is none."""
    try:
        return str(choices(value).label)
    except ValueError:
        return str(value) or NONE


def _limit(number: int) -> str:
    return f"{number:,}" if number else gettext("No limit")


def _yes(flag: bool) -> str:
    return gettext("Yes") if flag else gettext("No")


def _day(text: str) -> str:
    return date_text(date.fromisoformat(text)) if text else NONE


def name_of(row: ApiProduct | Scope) -> str:
    """The name in the reader's language."""
    return (row.name_en or row.name) if get_language() == "en" else row.name
