"""What two terms differ in, in the words of the terms page, and which way each difference goes (R3, R5, A6).

A field without a rule in DIRECTION_OF is a mistake that a test finds. A difference that can't be told to be
less than before never counts as one that tightens.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from approvals.changes.terms import Fact, describe_terms
from core.addresses import Network, parse_network
from keys.models import EndOfLife
from keys.terms.terms import KeyTerms, says_the_same
from partners.models import LicenceLevel


class Direction(StrEnum):
    """Which way a difference goes: more is allowed, less is, or it is simply another."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    CHANGES = "changes"


DIRECTION_TEXT: dict[Direction, str | Promise] = {
    Direction.LOOSENS: _("loosens"),
    Direction.TIGHTENS: _("tightens"),
    Direction.CHANGES: _("changes"),
}


@dataclass(frozen=True, slots=True)
class TermChange:
    """One line of a comparison. `fields`: the names in KeyTerms; `old` and `new`: one text or several.

    `used`: what the key really uses of this limit, where somebody has to judge it.
    """

    fields: tuple[str, ...]
    section: str | Promise
    label: str | Promise
    old: tuple[str, ...]
    new: tuple[str, ...]
    direction: Direction
    is_code: bool = False
    used: str = ""

    @property
    def field(self) -> str:
        """The last of the fields: what the line is known by."""
        return self.fields[-1]

    @property
    def direction_text(self) -> str | Promise:
        """The direction in a word."""
        return DIRECTION_TEXT[self.direction]

    @property
    def added(self) -> tuple[str, ...]:
        """What only the new terms list."""
        return tuple(item for item in self.new if item not in self.old)

    @property
    def removed(self) -> tuple[str, ...]:
        """What only the old terms list."""
        return tuple(item for item in self.old if item not in self.new)


def changed_fields(old: KeyTerms, new: KeyTerms) -> dict[str, Direction]:
    """The fields that differ, in the order of KeyTerms, each with its direction. Pure."""
    pairs = ((field.name, getattr(old, field.name), getattr(new, field.name)) for field in fields(KeyTerms))
    return {
        name: DIRECTION_OF[name](before, after)
        for name, before, after in pairs
        if not says_the_same(before, after)
    }


def diff_terms(old: KeyTerms, new: KeyTerms) -> list[TermChange]:
    """The differences in the order of the terms page, in a constant number of queries; none for equal terms.

    Fields that the page shows in one line (a contract's first and last day) make one difference.
    """
    directions = changed_fields(old, new)
    if not directions:
        return []
    before, after = _facts_of(old), _facts_of(new)
    changes = []
    for shown in [*after, *(name for name in before if name not in after)]:
        section, fact = after.get(shown) or before[shown]
        names = tuple(name for name in (*fact.also, shown) if name in directions)
        if not names:
            continue
        changes.append(
            TermChange(
                fields=names,
                section=section,
                label=fact.label,
                old=_words(before.get(shown)),
                new=_words(after.get(shown)),
                direction=_worst(directions[name] for name in names),
                is_code=fact.is_code,
            )
        )
    return changes


def _facts_of(terms: KeyTerms) -> dict[str, tuple[str | Promise, Fact]]:
    return {fact.field: (section.title, fact) for section in describe_terms(terms) for fact in section.facts}


def _words(place: tuple[str | Promise, Fact] | None) -> tuple[str, ...]:
    if place is None:
        return ()
    _section, fact = place
    return fact.items or ((fact.value,) if fact.value else ())


def _worst(directions: Iterable[Direction]) -> Direction:
    found = set(directions)
    for direction in (Direction.LOOSENS, Direction.CHANGES):
        if direction in found:
            return direction
    return Direction.TIGHTENS


# --- which way ------------------------------------------------------------------------------------------


def _other(_old: object, _new: object) -> Direction:
    return Direction.CHANGES


def _by_size(size: Callable[[Any], Any]) -> Callable[[Any, Any], Direction]:
    def compare(old: Any, new: Any) -> Direction:
        before, after = size(old), size(new)
        if before == after:
            return Direction.CHANGES
        return Direction.LOOSENS if after > before else Direction.TIGHTENS

    return compare


def _zero_is_endless(limit: int) -> float:
    return limit or float("inf")


def _empty_is_endless(amount: str) -> Decimal:
    return Decimal(amount) if amount else Decimal("Infinity")


def _no_day_is_never(day: str) -> str:
    return day or "9999-12-31"


def _none_is_never(moment: str) -> datetime:
    return datetime.fromisoformat(moment) if moment else datetime.max.replace(tzinfo=UTC)


def _rank(level: str) -> int:
    # Without a contract there is no level: less than the lowest.
    return LicenceLevel.values.index(level) if level in LicenceLevel.values else -1


def _members(old: tuple[str, ...], new: tuple[str, ...]) -> Direction:
    """What is added opens more, whatever is taken away beside it; `*` is all."""
    if "*" in old or "*" in new:
        return _by_size(lambda items: "*" in items)(old, new)
    if set(new) - set(old):
        return Direction.LOOSENS
    return Direction.TIGHTENS if set(old) - set(new) else Direction.CHANGES


def _safeguards(old: tuple[object, ...], new: tuple[object, ...]) -> Direction:
    """Warnings and confirmations: one that is missing loosens."""
    if set(old) - set(new):
        return Direction.LOOSENS
    return Direction.TIGHTENS if set(new) - set(old) else Direction.CHANGES


def _addresses(old: tuple[str, ...], new: tuple[str, ...]) -> Direction:
    """By the addresses that are covered; an empty list is any address."""
    before, after = _networks(old), _networks(new)
    if before == after:
        return Direction.CHANGES
    return Direction.TIGHTENS if _lies_within(after, before) else Direction.LOOSENS


def _countries(old: tuple[str, ...], new: tuple[str, ...]) -> Direction:
    """An empty list is every country."""
    return Direction.TIGHTENS if new and (not old or set(new) < set(old)) else Direction.LOOSENS


def _networks(ranges: tuple[str, ...]) -> set[Network]:
    found = [parse_network(text) for text in ranges or ("0.0.0.0/0", "::/0")]
    v4 = [network for network in found if isinstance(network, IPv4Network)]
    v6 = [network for network in found if isinstance(network, IPv6Network)]
    return {*collapse_addresses(v4), *collapse_addresses(v6)}


def _lies_within(inner: set[Network], outer: set[Network]) -> bool:
    return all(any(_is_subnet(small, big) for big in outer) for small in inner)


def _is_subnet(small: Network, big: Network) -> bool:
    if isinstance(small, IPv4Network):
        return isinstance(big, IPv4Network) and small.subnet_of(big)
    return isinstance(big, IPv6Network) and small.subnet_of(big)


_limit = _by_size(_zero_is_endless)

DIRECTION_OF: dict[str, Callable[[Any, Any], Direction]] = {
    "name": _other,
    "partner": _other,
    "partner_kind": _other,
    "workspace": _other,
    "recipient": _other,
    "consent_contact": _other,
    "contract": _other,
    "monthly_amount_jpy": _other,
    "contract_starts_on": _other,
    "contract_ends_on": _other,
    "licence_level": _by_size(_rank),
    "terms_version": _other,
    "licence_checklist": _safeguards,
    "plan": _other,
    "products": _members,
    "scopes": _members,
    "model_names": _members,
    "feature_names": _members,
    "environment": _other,
    "purpose_category": _other,
    "purpose": _other,
    "sla_latency_ms": _other,
    "sla_success_percent": _other,
    "rpm": _limit,
    "rph": _limit,
    "burst": _limit,
    "concurrency": _limit,
    "monthly_budget_usd": _by_size(_empty_is_endless),
    "budget_thresholds": _safeguards,
    "suspend_at_budget": _by_size(lambda suspends: not suspends),
    "billing_contact": _other,
    "ip_ranges": _addresses,
    "countries": _countries,
    "rotation_days": _by_size(int),
    "expires_on": _by_size(_no_day_is_never),
    "auto_renew": _by_size(bool),
    "end_of_life": _by_size(lambda end: end == EndOfLife.RENEW),
    "retires_at": _by_size(_none_is_never),
    "replacement": _other,
}
