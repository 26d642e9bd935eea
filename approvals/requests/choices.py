"""How the choices of the request form look: each with what it means (R1)."""

from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.mail_addresses import readable_address
from core.wording import date_text, money_text
from keys.models import ApiProduct, EndOfLife, Environment, Plan, PurposeCategory, Scope
from partners.models import Contact, Contract

PURPOSES = {
    PurposeCategory.REVENUE: _("The partner earns money with it; an SLA is agreed."),
    PurposeCategory.INTEGRATION: _("Their system talks to ours."),
    PurposeCategory.ANALYTICS: _("They count and compare."),
    PurposeCategory.RIGHTS_HOLDER: _("A star or an office looks at their own data."),
    PurposeCategory.INTERNAL: _("Our own teams' work."),
    PurposeCategory.EVALUATION: _("To look and try, with an end."),
}
ENVIRONMENTS = {
    Environment.LIVE: _("Real data, real customers."),
    Environment.TEST: _("Checks before a release."),
    Environment.DEV: _("While something is being built."),
}
ENDS = {
    EndOfLife.EXPIRE: _("Afterwards it refuses."),
    EndOfLife.RENEW: _("Up to the contract's end."),
    EndOfLife.REPLACE: _("A successor is asked for in time."),
}


@dataclass(frozen=True, slots=True)
class Tick:
    """One box below a product."""

    value: str
    name: str
    is_on: bool
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class ProductGroup:
    """An API product in the form."""

    product: ApiProduct
    name: str
    is_chosen: bool
    scopes: list[Tick]
    models: list[Tick]
    features: list[Tick]


def people(contacts: list[Contact]) -> list[tuple[str, Any]]:
    """Contacts with their addresses."""
    return [
        (contact.public_id, f"{contact.name} <{readable_address(contact.email)}>") for contact in contacts
    ]


def card(label: Any, text: Any) -> SafeString:
    """A choice and, below it, what it means."""
    return format_html("<span>{}<small>{}</small></span>", label, text)


def plan_card(plan: Plan) -> SafeString:
    """A plan with its limits, and its level unless the name says it already."""
    usual = gettext("%(rpm)s a minute, %(rph)s an hour; at most %(most)s a minute") % {
        "rpm": f"{plan.default_rpm:,}",
        "rph": f"{plan.default_rph:,}",
        "most": f"{plan.max_rpm:,}",
    }
    level = str(plan.get_level_display())
    spoken = {plan.level, level.casefold()}
    if spoken & {plan.name.casefold(), plan.name.casefold().replace("-", "_").replace(" ", "_")}:
        return card(plan.name, usual)
    return format_html("<span>{}<small>{}</small><small>{}</small></span>", plan.name, level, usual)


def contract_card(contract: Contract) -> SafeString:
    """A contract with all that the request takes over from it."""
    amount = gettext("%(amount)s a month") % {"amount": money_text(contract.monthly_amount_jpy)}
    period = f"{date_text(contract.starts_on)} – {date_text(contract.ends_on)}"
    terms = gettext("Terms of use %(version)s") % {"version": contract.terms_version}
    return format_html(
        '<span><b>{}</b> {}<small>{}</small><small>{} · {}</small><small class="mono">{}</small></span>',
        amount,
        contract.title,
        period,
        contract.get_licence_level_display(),
        terms,
        contract.public_id,
    )
