"""Issuing: from terms that were approved to a key that waits for its recipient (K1)."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict
from core.ids import next_public_id, refs
from keys.delivery.services.delivery import send_delivery
from keys.models import Key
from keys.secrets.form import new_family
from keys.status.names import set_names
from keys.terms.checks import Registry, find_problems
from keys.terms.terms import KeyTerms, end_of_day
from partners.models import Contact, Contract, Partner, Workspace


def issue_key(
    *,
    actor: Actor,
    terms: KeyTerms,
    owner: User,
    request_ref: str,
    decisions: Sequence[str],
    now: datetime,
    provisional_until: datetime | None = None,
) -> Key:
    """Make the key of an approved request and send its recipient the link (K1, K3).

    Runs inside the caller's transaction, after the last approval; with `provisional_until` before it (A8).
    `decisions` are the uids that allowed it and go into the event. Raises Conflict when the terms no longer
    hold (contract changed, partner inactive, day passed): then the approval is not recorded either.
    """
    hold(terms)
    registry = Registry.read(terms)
    problems = find_problems(terms, registry, now=now)
    if problems:
        raise Conflict(problems[0][1])
    # find_problems has made sure of these.
    assert registry.workspace
    assert registry.plan
    assert registry.partner
    assert registry.recipient
    key = Key(
        public_id=next_public_id("KB"),
        family=new_family(registry.workspace.public_id),
        name=terms.name,
        partner=registry.partner,
        workspace=registry.workspace,
        contract=registry.contract,
        recipient=registry.recipient,
        billing_contact=registry.billing_contact,
        owner=owner,
        plan=registry.plan,
        request_ref=request_ref,
        provisional_until=provisional_until,
        issued_at=now,
        changed_at=now,
        rotation_due_on=None,
        **plain_fields(terms),
    )
    set_names(key, products=registry.products.values())
    key.save(force_insert=True)
    key.products.set(registry.products.values())
    _record_issued(actor, key, terms, decisions, now)
    send_delivery(actor=actor, key=key, now=now)
    return key


def _record_issued(actor: Actor, key: Key, terms: KeyTerms, decisions: Sequence[str], now: datetime) -> None:
    record(
        Action.KEY_ISSUED,
        actor=actor,
        objects=refs(key, key.request_ref, terms.partner),
        payload={
            "request": key.request_ref,
            "partner": terms.partner,
            "environment": terms.environment,
            "scopes": terms.scopes,
            "expires_at": key.expires_at,
            "decisions": list(decisions),
        },
        now=now,
    )


def hold(terms: KeyTerms) -> None:
    """Lock what the terms lean on: who raises a contract or closes a workspace looks for running keys.

    Unlocked, such a change could commit between our look and our key, and neither would see the other. In the
    order of partners.services: partner, contact, contract, workspace.
    """
    people = [terms.recipient, terms.consent_contact, terms.billing_contact]
    for rows in (
        Partner.objects.filter(public_id=terms.partner),
        Contact.objects.filter(public_id__in=people),
        Contract.objects.filter(public_id=terms.contract),
        Workspace.objects.filter(public_id=terms.workspace),
    ):
        list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def plain_fields(terms: KeyTerms) -> dict[str, object]:
    """The key's own columns for these terms; what they name by number is not among them."""
    return {
        "environment": terms.environment,
        "purpose_category": terms.purpose_category,
        "purpose": terms.purpose,
        "scopes": list(terms.scopes),
        "model_names": list(terms.model_names),
        "feature_names": list(terms.feature_names),
        "ip_ranges": list(terms.ip_ranges),
        "countries": list(terms.countries),
        "rpm": terms.rpm,
        "rph": terms.rph,
        "burst": terms.burst,
        "concurrency": terms.concurrency,
        "monthly_budget_usd": Decimal(terms.monthly_budget_usd) if terms.monthly_budget_usd else None,
        "budget_thresholds": list(terms.budget_thresholds),
        "suspend_at_budget": terms.suspend_at_budget,
        "sla_latency_ms": terms.sla_latency_ms,
        "sla_success_percent": Decimal(terms.sla_success_percent) if terms.sla_success_percent else None,
        "rotation_days": terms.rotation_days,
        "auto_renew": terms.auto_renew,
        "end_of_life": terms.end_of_life,
        "expires_at": end_of_day(date.fromisoformat(terms.expires_on)),
    }
