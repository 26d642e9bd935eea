"""Which steps a request needs, who may decide them, and why: pure functions over data (A1, A2, A4).

Rules are JSON: `{"steps": [{"role", "why", "when": [condition, …], "n": 1, "second_factor": false,
"people": ["ST-0001"], "deadline_hours": 16}, …]}`; the last four may be missing. A step is needed when all
its conditions hold; a condition is `{"fact", "op", "value"}`. Steps are asked in their order. What is not of
this form is refused by approvals.policies.reader before it can come in force.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from accounts.roles import Role
from approvals.models import StepRole

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda fact, value: bool(fact == value),
    "is_not": lambda fact, value: bool(fact != value),
    "more_than": lambda fact, value: bool(fact > value),
    "at_most": lambda fact, value: bool(fact <= value),
    "any_of": lambda fact, value: fact in value,
    "none_of": lambda fact, value: fact not in value,
}

# Any of these roles may decide such a step; a step that is not here is decided by an outsider.
STAFF_ROLES: dict[StepRole, frozenset[Role]] = {
    StepRole.PM: frozenset({Role.PM}),
    StepRole.LEGAL: frozenset({Role.LEGAL}),
    StepRole.TECH: frozenset({Role.TECH}),
    StepRole.COO: frozenset({Role.COO}),
    StepRole.PM_OR_SECURITY: frozenset({Role.PM, Role.SECURITY}),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions may look at. The amount is the contract's, in yen a month; 0 without a contract.

    `change`: `none` for a new key; for a change of one `tightens` (only) or `loosens` (something) (R3).
    `asks_write`, `asks_admin`: whether any of the scopes does more than read, or administers.
    """

    partner_kind: str
    monthly_amount_jpy: int
    is_internal_without_contract: bool
    plan: str
    environment: str
    licence_level: str
    purpose_category: str
    change: str = "none"
    n_scopes: int = 0
    asks_write: bool = False
    asks_admin: bool = False


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step that a request will need; `why` is a code with a sentence in approvals.wording.

    `people`: only these members of staff are asked; empty: all of the role. `deadline_hours`: business hours
    for an answer; None: the portal's own. `conditions`: when the policy asks for it, to say why.
    """

    role: str
    why: str
    n_needed: int = 1
    needs_second_factor: bool = False
    people: tuple[str, ...] = ()
    deadline_hours: int | None = None
    conditions: list[dict[str, Any]] = field(default_factory=list)


def plan_path(rules: Mapping[str, Any], facts: Facts) -> list[PlannedStep]:
    """The steps for these facts, in order. KeyError for an unknown fact or operator: such rules are wrong."""
    known = asdict(facts)
    return [
        PlannedStep(
            role=StepRole(step["role"]),
            why=step["why"],
            n_needed=step.get("n", 1),
            needs_second_factor=step.get("second_factor", False),
            people=tuple(step.get("people", ())),
            deadline_hours=step.get("deadline_hours"),
            conditions=[dict(condition) for condition in step["when"]],
        )
        for step in rules["steps"]
        if all(OPERATORS[c["op"]](known[c["fact"]], c["value"]) for c in step["when"])
    ]


def whole_path(rules: Mapping[str, Any], facts: Facts, *, coo_threshold_jpy: int) -> list[PlannedStep]:
    """The policy's steps and, behind them, the COO's where the company asks for it and the policy does not.

    The linter lets no policy come in force that leaves the COO out above the threshold (A1); a threshold that
    is lowered since is kept to even so, whatever version a request goes by.
    """
    planned = plan_path(rules, facts)
    is_above = facts.change != "tightens" and facts.monthly_amount_jpy > coo_threshold_jpy
    if not is_above or any(step.role == StepRole.COO for step in planned):
        return planned
    above = {"fact": "monthly_amount_jpy", "op": "more_than", "value": coo_threshold_jpy}
    return [
        *planned,
        PlannedStep(StepRole.COO, "company_threshold", needs_second_factor=True, conditions=[above]),
    ]


@dataclass(frozen=True, slots=True)
class Person:
    """What four eyes need to know of a member of staff."""

    ref: str
    roles: Collection[str]
    is_active: bool


def why_not(
    person: Person, *, role: str, requester: str, decided: Collection[str], named: Collection[str] = ()
) -> str:
    """Why this person may not decide a step of this role, as a code; `""` when they may (A1, A4).

    `decided` are the refs of those who decided another step of the request already; `named` the only ones
    whom the step asks, where the policy names people (they need the role all the same).
    """
    wanted = STAFF_ROLES.get(StepRole(role), frozenset())
    if not person.is_active or wanted.isdisjoint(person.roles):
        return "not_your_role"
    if named and person.ref not in named:
        return "not_named"
    if person.ref == requester:
        return "own_request"
    if person.ref in decided:
        return "decided_another_step"
    return ""


def bars(*, decided_role: str, has_fallen: bool, role: str) -> bool:
    """Whether a decision on a step keeps its maker from deciding a step of `role` of the same request.

    Nobody decides for two roles, whatever has fallen since; nor twice for one role while the first answer is
    in force (A4, A6).
    """
    return not has_fallen or decided_role != role


def deciders(
    people: Sequence[Person],
    *,
    role: str,
    requester: str,
    decided: Collection[str],
    named: Collection[str] = (),
) -> list[Person]:
    """Those of `people` who may decide a step of this role; none means that the step is stuck (A2)."""
    return [
        person
        for person in people
        if not why_not(person, role=role, requester=requester, decided=decided, named=named)
    ]


def unstaffed(needs: Sequence[int], able: Sequence[Sequence[str]]) -> set[int]:
    """The steps for which too few would be left, since nobody decides two steps of one request (A4).

    `needs` and `able` have an entry a step: how many people, and the refs of those who could. People are
    dealt to steps as well as they can be (Kuhn's matching), so that a step is named only when no order of
    deciding could staff it.
    """
    holder: dict[str, int] = {}

    def seat(place: int, seen: set[str]) -> bool:
        for ref in able[place]:
            if ref in seen:
                continue
            seen.add(ref)
            if ref not in holder or seat(holder[ref], seen):
                holder[ref] = place
                return True
        return False

    return {place for place, n in enumerate(needs) if not all(seat(place, set()) for _n in range(n))}
