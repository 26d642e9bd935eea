"""The request form in parts: one that is done folds to a line of what it says, and the rest is in sight."""

from collections.abc import Mapping
from dataclasses import dataclass

from approvals.changes.terms import NONE, Fact, describe_terms
from approvals.requests.form import RequestForm

FIELDS: Mapping[str, tuple[str, ...]] = {
    "people": ("name", "workspace", "recipient", "consent_contact"),
    "api": ("products", "scopes", "model_names", "feature_names"),
    "purpose": ("purpose_category", "purpose", "sla_latency_ms", "sla_success_percent", "environment"),
    "contract": ("contract", "licence_checklist"),
    "limits": ("plan", "rpm", "rph", "burst", "concurrency"),
    "budget": ("monthly_budget_usd", "billing_contact", "budget_thresholds", "suspend_at_budget"),
    "life": ("ip_ranges", "countries", "rotation_days", "expires_on", "end_of_life"),
}
# What its line says; a number or a day alone would say nothing, so these have their label with them.
SAID: Mapping[str, tuple[str, ...]] = {
    "people": ("name", "workspace", "recipient"),
    "api": ("products", "scopes"),
    "purpose": ("purpose_category", "environment", "purpose"),
    "contract": ("contract", "monthly_amount_jpy", "contract_ends_on"),
    "limits": ("plan", "rpm", "rph", "burst", "concurrency"),
    "budget": ("monthly_budget_usd", "billing_contact"),
    "life": ("ip_ranges", "expires_on", "rotation_days", "end_of_life"),
}
WITH_LABEL = frozenset(
    {"rpm", "rph", "burst", "concurrency", "monthly_budget_usd", "billing_contact", "expires_on"}
)
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `says` in a line what stands in it; it `is_done` when nothing in it is missing or wrong."""

    name: str
    says: str
    is_done: bool


def parts_of(judged: RequestForm) -> dict[str, Part]:
    """The parts of a form that was judged, by name; costs no query besides the judging."""
    sections = describe_terms(judged.terms, judged.registry)
    facts = {fact.field: fact for section in sections for fact in section.facts}
    return {
        name: Part(
            name=name,
            says=_line(facts, SAID[name]),
            is_done=not any(field in judged.errors for field in fields),
        )
        for name, fields in FIELDS.items()
    }


def _line(facts: Mapping[str, Fact], fields: tuple[str, ...]) -> str:
    said = (_words(facts[field]) for field in fields if field in facts)
    return " · ".join(words for words in said if words)[:LONGEST]


def _words(fact: Fact) -> str:
    text = ", ".join(fact.items) or fact.value
    if not text or text == NONE:
        return ""
    return f"{fact.label} {text}" if fact.field in WITH_LABEL else text
