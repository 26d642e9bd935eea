"""A key's settings as terms: what a change starts from, and whether the key still has them (R3)."""

import hashlib
from typing import Any

import rfc8785
from django.utils.translation import gettext_lazy as _

from core.errors import Conflict
from keys.models import Key
from keys.terms.terms import LICENCE_CHECKLIST, KeyTerms, last_day, office_minute

# A key is made for one partner, workspace and environment: for another one a new key is needed.
FIXED = ("partner", "partner_kind", "workspace", "environment")

# What stands in the key's own row. The contract's figures are the contract's, the consent is the request's.
SETTINGS = (
    "name",
    "recipient",
    "contract",
    "plan",
    "products",
    "scopes",
    "model_names",
    "feature_names",
    "purpose_category",
    "purpose",
    "sla_latency_ms",
    "sla_success_percent",
    "rpm",
    "rph",
    "burst",
    "concurrency",
    "monthly_budget_usd",
    "budget_thresholds",
    "suspend_at_budget",
    "billing_contact",
    "ip_ranges",
    "countries",
    "rotation_days",
    "expires_on",
    "auto_renew",
    "end_of_life",
    "retires_at",
    "replacement",
)


def terms_of(key: Key, *, consent_contact: str = "") -> KeyTerms:
    """The key's present terms, in the form in which they are asked for.

    `consent_contact` is the contact who gives the rights-holder's consent: a key does not keep it.
    """
    contract, percent = key.contract, key.sla_success_percent
    budget = key.monthly_budget_usd
    return KeyTerms(
        name=key.name,
        partner=key.partner.public_id,
        partner_kind=key.partner.kind,
        workspace=key.workspace.public_id,
        recipient=key.recipient.public_id,
        consent_contact=consent_contact,
        contract=contract.public_id if contract else "",
        monthly_amount_jpy=contract.monthly_amount_jpy if contract else 0,
        contract_starts_on=contract.starts_on.isoformat() if contract else "",
        contract_ends_on=contract.ends_on.isoformat() if contract else "",
        licence_level=contract.licence_level if contract else "",
        terms_version=contract.terms_version if contract else "",
        licence_checklist=LICENCE_CHECKLIST if contract else (),
        plan=key.plan.code,
        products=tuple(sorted(product.code for product in key.products.all())),
        scopes=tuple(key.scopes),
        model_names=tuple(key.model_names),
        feature_names=tuple(key.feature_names),
        environment=key.environment,
        purpose_category=key.purpose_category,
        purpose=key.purpose,
        sla_latency_ms=key.sla_latency_ms,
        sla_success_percent=f"{percent.normalize():f}" if percent is not None else "",
        rpm=key.rpm,
        rph=key.rph,
        burst=key.burst,
        concurrency=key.concurrency,
        monthly_budget_usd=f"{budget:.2f}" if budget is not None else "",
        budget_thresholds=tuple(key.budget_thresholds),
        suspend_at_budget=key.suspend_at_budget,
        billing_contact=key.billing_contact.public_id if key.billing_contact else "",
        ip_ranges=tuple(key.ip_ranges),
        countries=tuple(key.countries),
        rotation_days=key.rotation_days,
        expires_on=last_day(key).isoformat(),
        auto_renew=key.auto_renew,
        end_of_life=key.end_of_life,
        retires_at=office_minute(key.retires_at) if key.retires_at else "",
        replacement=key.replacement.public_id if key.replacement else "",
    )


def settings_of(terms: KeyTerms) -> dict[str, Any]:
    """The part of terms that a key itself keeps; lists whose order says nothing are sorted."""
    plain = terms.to_json()
    kept = [name for name in SETTINGS if name in plain]
    return {name: sorted(plain[name]) if isinstance(plain[name], list) else plain[name] for name in kept}


def digest_of_settings(terms: KeyTerms) -> bytes:
    """SHA-256 of the settings' canonical JSON (RFC 8785): equal for equal settings."""
    return hashlib.sha256(rfc8785.dumps(settings_of(terms))).digest()


def require_unchanged(key: Key, terms: KeyTerms, based_on: bytes) -> None:
    """Conflict when a key has ended, or has other settings than a change was based on."""
    if key.has_ended:
        raise Conflict(
            _("Key %(number)s is “%(status)s” now: it can't be changed any more.")
            % {"number": key.public_id, "status": key.get_status_display()}
        )
    if digest_of_settings(terms) != bytes(based_on):
        raise Conflict(
            _(
                "Key %(number)s was changed after this change was begun, so it can't be applied as it is. "
                "Ask for it again, based on the key as it is now."
            )
            % {"number": key.public_id}
        )
