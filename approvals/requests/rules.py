"""Which decisions hold when a request is submitted again, and which fall: pure functions over data (A6).

CONCERNS says which roles answer for a field of the terms. A field that is not in it concerns everybody, and
so does a role that is in no row: forgetting one asks somebody once too often, never once too little.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from approvals.models import StepRole
from keys.terms.terms import says_the_same

PM, RIGHTS_HOLDER, LEGAL, TECH, COO = (
    StepRole.PM,
    StepRole.RIGHTS_HOLDER,
    StepRole.LEGAL,
    StepRole.TECH,
    StepRole.COO,
)

# Not here, so everybody's: the partner and its kind, who consents, API products, scopes, the environment.
CONCERNS: dict[str, frozenset[StepRole]] = {
    "name": frozenset({PM}),
    "workspace": frozenset({PM, TECH}),
    "recipient": frozenset({PM, RIGHTS_HOLDER, TECH}),
    "contract": frozenset({RIGHTS_HOLDER, LEGAL, COO}),
    "monthly_amount_jpy": frozenset({RIGHTS_HOLDER, LEGAL, COO}),
    "contract_starts_on": frozenset({RIGHTS_HOLDER, LEGAL, COO}),
    "contract_ends_on": frozenset({RIGHTS_HOLDER, LEGAL, COO}),
    "licence_level": frozenset({RIGHTS_HOLDER, LEGAL}),
    "terms_version": frozenset({RIGHTS_HOLDER, LEGAL}),
    "licence_checklist": frozenset({LEGAL}),
    "plan": frozenset({PM, TECH}),
    "model_names": frozenset({PM, RIGHTS_HOLDER, LEGAL, TECH}),
    "feature_names": frozenset({PM, RIGHTS_HOLDER, LEGAL, TECH}),
    "purpose_category": frozenset({PM, RIGHTS_HOLDER, LEGAL, COO}),
    "purpose": frozenset({PM, RIGHTS_HOLDER, LEGAL, COO}),
    "sla_latency_ms": frozenset({PM, TECH}),
    "sla_success_percent": frozenset({PM, TECH}),
    "rpm": frozenset({PM, TECH}),
    "rph": frozenset({PM, TECH}),
    "burst": frozenset({PM, TECH}),
    "concurrency": frozenset({PM, TECH}),
    "monthly_budget_usd": frozenset({PM, COO}),
    "budget_thresholds": frozenset({PM}),
    "suspend_at_budget": frozenset({PM, TECH}),
    "billing_contact": frozenset({PM}),
    "ip_ranges": frozenset({TECH}),
    "countries": frozenset({TECH}),
    "rotation_days": frozenset({TECH}),
    "expires_on": frozenset({PM, RIGHTS_HOLDER, LEGAL, TECH}),
    "auto_renew": frozenset({PM, RIGHTS_HOLDER, LEGAL}),
    "end_of_life": frozenset({PM, TECH}),
    "retires_at": frozenset({PM, RIGHTS_HOLDER, LEGAL, TECH}),
    "replacement": frozenset({PM, TECH}),
}
LISTED = frozenset().union(*CONCERNS.values())


def concerning(role: str, fields: Collection[str]) -> list[str]:
    """Those of the fields that this role answers for, in their order."""
    if role not in LISTED:
        return list(fields)
    return [field for field in fields if field not in CONCERNS or role in CONCERNS[field]]


def moved_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The fields in which two revisions' terms differ, known or not; the order of a list is no difference."""
    return [name for name in {**old, **new} if not says_the_same(old.get(name), new.get(name))]


@dataclass(frozen=True, slots=True)
class Place:
    """A step as far as it matters for what may stand on it. `people`: the only ones asked, empty for all."""

    role: str
    n_needed: int
    needs_second_factor: bool = False
    people: tuple[str, ...] = ()
    contact: int | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval in force: on which step of the last revision it counts (from 0), and whose it is.

    `is_void`: security found that it was not genuine (A7), or its giver withdrew it since (A9).
    """

    place: int
    person: str
    is_void: bool = False


class Why(StrEnum):
    """Why an answer stands or falls when its request is submitted again."""

    STANDS = "stands"
    VOID = "void"
    DROPPED = "dropped"
    """Its step is not on the new path."""
    CHANGES = "changes"
    """Somebody on its step asked for changes."""
    MOVED = "moved"
    """Something differs that its role answers for."""
    OTHERWISE = "otherwise"
    """Its step is asked of somebody else, or asks for more than before."""
    ENOUGH = "enough"
    """Its step needs fewer people than before."""
    LOOK = "look"
    """Somebody has to look at every revision."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an answer. `place`: the step of the new path that is its step's, None where none is.

    `fields`: the moved fields that its role answers for.
    """

    why: Why
    place: int | None
    fields: tuple[str, ...]

    @property
    def stands(self) -> bool:
        """Whether it still counts, on the step `place`."""
        return self.why == Why.STANDS


def fates(
    old: Sequence[Place],
    new: Sequence[Place],
    approvals: Sequence[Approval],
    *,
    fields: Collection[str],
    asked_for_changes: Collection[int],
) -> list[Fate]:
    """What becomes of each approval, in their order.

    An approval stands when its step is asked for again, alike, none of the moved `fields` is its role's, and
    nobody on that step asked for changes (`asked_for_changes`: numbers of old steps). Somebody looks at every
    revision: where nothing would be left to ask, the last step is asked again.
    """
    next_place = _successors(old, new)
    found: list[Fate] = []
    for approval in approvals:
        before, place = old[approval.place], next_place.get(approval.place)
        moved = tuple(concerning(before.role, fields))
        n_standing = sum(fate.stands and fate.place == place for fate in found)
        why = _why(approval, before, None if place is None else new[place], moved, n_standing)
        if approval.place in asked_for_changes and why not in {Why.VOID, Why.DROPPED}:
            why = Why.CHANGES
        found.append(Fate(why, place, moved))
    if not _somebody_is_asked(new, found):
        last = len(new) - 1
        found = [replace(f, why=Why.LOOK) if f.stands and f.place == last else f for f in found]
    return found


def _why(
    approval: Approval, before: Place, after: Place | None, moved: Collection[str], n_standing: int
) -> Why:
    if approval.is_void:
        return Why.VOID
    if after is None:
        return Why.DROPPED
    if moved:
        return Why.MOVED
    if not _is_alike(before, after, approval.person):
        return Why.OTHERWISE
    return Why.ENOUGH if n_standing >= after.n_needed else Why.STANDS


def _successors(old: Sequence[Place], new: Sequence[Place]) -> dict[int, int]:
    """The new step of each old one: the same role's, the n-th for the n-th."""

    def keys(places: Sequence[Place]) -> list[tuple[str, int]]:
        return [
            (place.role, sum(other.role == place.role for other in places[:n]))
            for n, place in enumerate(places)
        ]

    where = {key: n for n, key in enumerate(keys(new))}
    return {n: where[key] for n, key in enumerate(keys(old)) if key in where}


def _is_alike(before: Place, after: Place, person: str) -> bool:
    return (
        before.contact == after.contact
        and before.needs_second_factor >= after.needs_second_factor
        and (not after.people or person in after.people)
    )


def _somebody_is_asked(new: Sequence[Place], found: Sequence[Fate]) -> bool:
    return any(
        sum(fate.stands and fate.place == n for fate in found) < place.n_needed for n, place in enumerate(new)
    )
