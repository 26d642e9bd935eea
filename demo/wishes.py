"""What the demo's partners want keys for, and what becomes of each key: planned once, from a fixed seed."""

import random
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from demo.calendar import in_office
from demo.places import Place, Site
from demo.purposes import STAR_USES, TEAM_USES, USES, Use
from keys.models import Key
from keys.status.services import NOT_FOR_PEOPLE
from keys.terms.terms import LICENCE_CHECKLIST, KeyTerms, office_day
from partners.models import Contract

Reason = Key.RevokeReason


PORTAL_AGE = timedelta(days=92)
ENVIRONMENTS = ("live", "live", "live", "test", "live", "dev")
SUFFIX = {"live": "", "test": "（検証）", "dev": "（開発）"}
SUFFIX_EN = {"live": "", "test": " (test)", "dev": " (dev)"}


@dataclass(slots=True)
class Wish:
    """One key that somebody will ask for at `asked_at`, and its fate."""

    place: Place
    use: Use
    environment: str
    asked_at: datetime
    days: int
    fate: str = "lives"
    reason: str = ""
    stops_at: str = ""
    rotation_days: int = 180
    busy: float = 1.0
    is_quick: bool = False

    def was_moved_over(self, now: datetime) -> bool:
        """Whether the key is older than the portal: it came from the register that the portal replaced."""
        return now - self.asked_at > PORTAL_AGE


def plan_wishes(
    places: tuple[Place, ...], *, now: datetime, rng: random.Random, every: int = 1
) -> list[Wish]:
    """All keys of the last six months: about 130 (or one in `every`), each with its fate."""
    wishes = []
    for place in places:
        uses = _uses_of(place)
        for number in range(place.n_keys):
            oldest = _signed_since(place) if place.deals else 178
            age = oldest - (oldest - 9) * (number + rng.random() * 0.8) / place.n_keys
            asked_at = in_office(now - timedelta(days=age, minutes=rng.randrange(600)))
            wishes.append(
                Wish(
                    place=place,
                    use=uses[number % len(uses)],
                    environment=ENVIRONMENTS[(number + len(place.name)) % len(ENVIRONMENTS)],
                    asked_at=asked_at,
                    days=rng.choice((180, 270, 365)),
                    # Older than a class allows would be late: the portal's first users chose the long one.
                    rotation_days=180 if age > 75 else rng.choice((60, 90, 90)),
                    busy=rng.lognormvariate(0, 1.1),
                )
            )
    wishes = wishes[::every]
    _give_fates(wishes, now=now, rng=rng)
    return sorted(wishes, key=lambda wish: wish.asked_at)


def _signed_since(place: Place) -> int:
    return min(178, -min(deal.first for deal in place.deals) - 3)


def _uses_of(place: Place) -> tuple[Use, ...]:
    if place.kind == "internal":
        return TEAM_USES
    if place.kind == "rights_holder":
        return STAR_USES
    if any(deal.level == "restricted" for deal in place.deals):
        return USES
    return tuple(use for use in USES if not use.restricted)


def _give_fates(wishes: list[Wish], *, now: datetime, rng: random.Random) -> None:
    """Not every key lives: some are revoked, for each reason there is, some expire or are never collected."""
    old = [wish for wish in wishes if (now - wish.asked_at).days > 45]
    rng.shuffle(old)
    asked_here = [wish for wish in old if not wish.was_moved_over(now)]
    answers = ["rejected"] * 6 + ["withdrawn"] * 3 + ["ignored"] * 2
    for wish, answer in zip(asked_here, answers, strict=False):
        wish.fate = answer
    fates = [
        *(("expires", "") for _ in range(9)),
        *(("revoked", reason.value) for reason in Reason if reason not in NOT_FOR_PEOPLE for _ in range(2)),
        *(("unclaimed", "") for _ in range(3)),
        *(("suspended", "") for _ in range(5)),
        *(("unused", "") for _ in range(4)),
        *(("stopped_once", "") for _ in range(3)),
        *(("late", "") for _ in range(3)),
    ]
    others = [wish for wish in old if wish.fate == "lives"]
    for wish, (fate, reason) in zip(others, fates, strict=False):
        wish.fate, wish.reason = fate, reason
        if fate == "expires":
            wish.days = 30
        elif fate == "late":
            wish.rotation_days = 60
            wish.days = 365
    recent = sorted(wishes, key=lambda wish: wish.asked_at)[-7:]
    for number, wish in enumerate(recent):
        # Decided within hours, so that the links of those that wait are not older than three days.
        wish.fate, wish.reason, wish.is_quick = "waits" if number % 3 == 0 else "lives", "", True
        wish.asked_at = now - timedelta(hours=64 - 7 * number, minutes=13 * number)


def terms_of(wish: Wish, site: Site, *, now: datetime) -> KeyTerms | None:
    """The wish as terms that can be submitted now; None where no contract covers it any more."""
    contract = _contract_for(site, wish.use, now)
    internal = wish.place.kind == "internal"
    if contract is None and not internal:
        return None
    last = office_day(now) + timedelta(days=wish.days)
    if contract is not None:
        last = min(last, contract.ends_on)
    if last <= office_day(now) + timedelta(days=1):
        return None
    terms = KeyTerms(
        **_who(wish, site),
        **_agreed(contract),
        **_what(wish),
        **_how_much(wish, internal=internal),
        rotation_days=wish.rotation_days,
        expires_on=last.isoformat(),
        auto_renew=False,
        end_of_life="expire",
    )
    revenue = wish.use.category == "revenue"
    if site.billing is None or wish.environment != "live" or not (revenue or wish.use.restricted):
        return terms
    return replace(
        terms,
        monthly_budget_usd="1200.00" if revenue else "400.00",
        budget_thresholds=(50, 80, 90, 100),
        suspend_at_budget=not revenue,
        billing_contact=site.billing.public_id,
    )


def _who(wish: Wish, site: Site) -> dict[str, Any]:
    english = wish.place.language == "en"
    suffix = (SUFFIX_EN if english else SUFFIX)[wish.environment]
    return {
        "name": (wish.use.name_en if english else wish.use.name) + suffix,
        "partner": site.partner.public_id,
        "partner_kind": site.partner.kind,
        "workspace": site.workspaces[len(wish.use.scopes) % len(site.workspaces)].public_id,
        "recipient": site.technical.public_id,
        "consent_contact": site.consent.public_id if site.consent else "",
        "purpose": wish.use.purpose_en if english else wish.use.purpose,
    }


def _agreed(contract: Contract | None) -> dict[str, Any]:
    return {
        "contract": contract.public_id if contract else "",
        "monthly_amount_jpy": contract.monthly_amount_jpy if contract else 0,
        "contract_starts_on": contract.starts_on.isoformat() if contract else "",
        "contract_ends_on": contract.ends_on.isoformat() if contract else "",
        "licence_level": contract.licence_level if contract else "",
        "terms_version": contract.terms_version if contract else "",
        "licence_checklist": LICENCE_CHECKLIST if contract else (),
    }


def _what(wish: Wish) -> dict[str, Any]:
    use, live = wish.use, wish.environment == "live"
    return {
        "products": tuple(dict.fromkeys(scope.partition(":")[0] for scope in use.scopes)),
        "scopes": use.scopes,
        "model_names": use.models,
        "feature_names": use.features,
        "environment": wish.environment,
        "purpose_category": use.category,
        "ip_ranges": (wish.place.network,) if live else (),
    }


def _how_much(wish: Wish, *, internal: bool) -> dict[str, Any]:
    revenue = wish.use.category == "revenue"
    plan = "internal" if internal else "premium" if revenue else "partner"
    rpm, rph = {"partner": (100, 1_000), "premium": (300, 10_000), "internal": (200, 5_000)}[plan]
    return {
        "plan": plan,
        "sla_latency_ms": 500 if revenue else None,
        "sla_success_percent": "99" if revenue else "",
        "rpm": rpm,
        "rph": rph,
        "burst": 60 if revenue else 20,
        "concurrency": 30 if revenue else 10,
        "monthly_budget_usd": "",
        "budget_thresholds": (),
        "suspend_at_budget": False,
        "billing_contact": "",
    }


def _contract_for(site: Site, use: Use, now: datetime) -> Contract | None:
    """The first contract in force that covers the use's data and lasts another fortnight."""
    today: date = office_day(now)
    fit = [
        contract
        for contract in site.contracts
        if contract.starts_on <= today <= contract.ends_on - timedelta(days=14)
        and (contract.licence_level == "restricted" or not use.restricted)
    ]
    return fit[0] if fit else None
