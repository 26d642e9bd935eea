"""Whether a policy is safe: pure functions that say in words what would go wrong, before anything does (A2).

All combinations of facts that can occur are tried at the values on which a condition turns, so what is found
holds for every request, not for those of the past only. A *refusal* keeps a policy from being proposed and
from coming in force; a *warning* has to be read by the second person (docs/policies.md says which is which).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from approvals.models import StepRole
from approvals.policies.reader import FACTS, LARGEST_NUMBER, Known, Rule
from approvals.policies.rules import OPERATORS, STAFF_ROLES, Facts, Person, deciders, unstaffed
from partners.models import Partner

REFUSAL, WARNING = "refusal", "warning"
MOST_SCOPES = 1_000
# The order of A1. A step of another role stands where it likes.
ORDER = [StepRole.PM, StepRole.RIGHTS_HOLDER, StepRole.LEGAL, StepRole.TECH, StepRole.COO]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: a code of policy_findings.SENTENCES, how bad, at which step (from 0).

    `example` are facts of a request that it would happen to; `person` is the one it is about.
    """

    code: str
    level: str
    step: int | None = None
    example: Facts | None = None
    person: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What can occur: facts of a request, and the steps (from 0) that it would get."""

    facts: Facts
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class House:
    """The installation a policy is for: its staff, who of them may make requests, plans, threshold."""

    staff: Sequence[Person]
    requesters: Collection[str]
    known: Known
    coo_threshold_jpy: int
    names: Mapping[str, str] = field(default_factory=dict)


def lint(rules: Sequence[Rule], house: House) -> list[Finding]:
    """All that is wrong with well-formed rules, refusals first; each kind of trouble once a step."""
    found: dict[tuple[str, int | None, str], Finding] = {}
    reached = situations(rules, house)
    able = [_able(rule, house.staff) for rule in rules]
    trouble = [
        *_steps_alone(rules, able, reached),
        *(finding for case in reached for finding in _path(rules, case)),
        *(finding for case in reached for finding in _access(rules, case)),
        *_coo(rules, reached, house),
        *_people_of_paths(rules, able, reached, house),
    ]
    for finding in trouble:
        found.setdefault((finding.code, finding.step, finding.person), finding)
    return sorted(found.values(), key=lambda finding: finding.level != REFUSAL)


def is_refused(findings: Sequence[Finding]) -> bool:
    """Whether any of the findings keeps the policy from coming in force."""
    return any(finding.level == REFUSAL for finding in findings)


# --- what can occur ---------------------------------------------------------------------------------------


def situations(rules: Sequence[Rule], house: House) -> list[Situation]:
    """One request for each set of steps that can come out, by kind of change, of partner and of amount."""
    found: dict[tuple[Any, ...], Situation] = {}
    for world in _worlds(rules, house):
        # From each fact only values on which the steps differ; from all combinations only different outcomes.
        states: dict[tuple[Any, ...], dict[str, Any]] = {((1 << len(rules)) - 1,): {}}
        for values in world:
            grown: dict[tuple[Any, ...], dict[str, Any]] = {}
            for (mask, *tags), witness in states.items():
                for value, tag in values:
                    key = (mask & _holding(rules, value), *tags, tag)
                    grown.setdefault(key, witness | value)
            states = grown
        for key, witness in states.items():
            steps = tuple(place for place in range(len(rules)) if key[0] >> place & 1)
            facts = Facts(**witness)
            kind = facts.partner_kind == Partner.Kind.RIGHTS_HOLDER, facts.is_internal_without_contract
            over = facts.monthly_amount_jpy > house.coo_threshold_jpy
            found.setdefault((steps, facts.change, kind, over), Situation(facts, steps))
    return list(found.values())


Domain = list[tuple[dict[str, Any], Any]]


def _worlds(rules: Sequence[Rule], house: House) -> Iterator[list[Domain]]:
    """The facts' values where they hang together: only internal teams have internal plans and no contract."""
    plans, internal = list(house.known.plans), house.known.internal_plans
    kinds = [kind.value for kind in Partner.Kind if kind != Partner.Kind.INTERNAL]
    levels = [code for code, _label in FACTS["licence_level"].choices or ()]
    amounts = _amounts(rules, house.coo_threshold_jpy)
    outside = [plan for plan in plans if plan not in internal]
    yield _world(rules, house, kinds=kinds, plans=outside or [""], amounts=amounts, levels=levels)
    team = [Partner.Kind.INTERNAL.value]
    yield _world(rules, house, kinds=team, plans=plans or [""], amounts=amounts, levels=levels)
    if internal:
        yield _world(
            rules, house, kinds=team, plans=sorted(internal), amounts=[0], levels=[""], has_contract=False
        )


def _world(
    rules: Sequence[Rule],
    house: House,
    *,
    kinds: list[str],
    plans: list[str],
    amounts: list[int],
    levels: list[str],
    has_contract: bool = True,
) -> list[Domain]:
    threshold = house.coo_threshold_jpy
    choices = {name: [code for code, _l in kind.choices or ()] for name, kind in FACTS.items()}
    scopes = sorted({1, MOST_SCOPES, *(n for n in _turns(rules, "n_scopes") if 1 <= n <= MOST_SCOPES)})
    contract = [({"is_internal_without_contract": not has_contract}, None)]
    grants = [(False, False), (True, False), (True, True)]
    world: list[Domain] = [
        contract,
        _domain("plan", plans),
        _domain("environment", choices["environment"]),
        _domain("licence_level", levels),
        _domain("purpose_category", choices["purpose_category"]),
        _domain("n_scopes", scopes),
        [({"asks_write": write, "asks_admin": admin}, None) for write, admin in grants],
        [({"change": change}, change) for change in choices["change"]],
        [({"partner_kind": kind}, kind == Partner.Kind.RIGHTS_HOLDER) for kind in kinds],
        [({"monthly_amount_jpy": amount}, amount > threshold) for amount in amounts],
    ]
    return [_distinct(rules, domain) for domain in world]


def _domain(fact: str, values: Sequence[Any]) -> Domain:
    return [({fact: value}, None) for value in values]


def _distinct(rules: Sequence[Rule], domain: Domain) -> Domain:
    """Of values that no condition tells apart, the first."""
    found: dict[tuple[int, Any], tuple[dict[str, Any], Any]] = {}
    for value, tag in domain:
        found.setdefault((_holding(rules, value), tag), (value, tag))
    return list(found.values())


def _amounts(rules: Sequence[Rule], threshold: int) -> list[int]:
    turns = _turns(rules, "monthly_amount_jpy")
    return sorted({0, threshold, threshold + 1, LARGEST_NUMBER, *turns})


def _turns(rules: Sequence[Rule], fact: str) -> set[int]:
    """The numbers around those that conditions on the fact name."""
    named = {c.value for rule in rules for c in rule.when if c.fact == fact and isinstance(c.value, int)}
    return {n + step for n in named for step in (-1, 0, 1) if 0 <= n + step <= LARGEST_NUMBER}


def _holding(rules: Sequence[Rule], given: Mapping[str, Any]) -> int:
    """Which rules these facts leave standing, as a bit each; conditions on other facts aside."""
    mask = 0
    for place, rule in enumerate(rules):
        if all(OPERATORS[c.op](given[c.fact], c.value) for c in rule.when if c.fact in given):
            mask |= 1 << place
    return mask


# --- what is wrong ----------------------------------------------------------------------------------------


def _able(rule: Rule, staff: Sequence[Person]) -> list[str]:
    if StepRole(rule.role) not in STAFF_ROLES:
        return []
    found = deciders(staff, role=rule.role, requester="", decided=(), named=rule.people)
    return [person.ref for person in found]


def _steps_alone(
    rules: Sequence[Rule], able: Sequence[Sequence[str]], reached: Sequence[Situation]
) -> Iterator[Finding]:
    asked = {place for case in reached for place in case.steps}
    for place, rule in enumerate(rules):
        if place not in asked:
            yield Finding("never", REFUSAL, place)
        if StepRole(rule.role) not in STAFF_ROLES:
            continue
        if not able[place]:
            yield Finding("named_cannot" if rule.people else "nobody", REFUSAL, place)
        elif len(able[place]) < rule.n:
            yield Finding("too_few", REFUSAL, place)
        else:
            for ref in rule.people:
                if ref not in able[place]:
                    yield Finding("named_gone", WARNING, place, person=ref)


def _path(rules: Sequence[Rule], case: Situation) -> Iterator[Finding]:
    """What is wrong with the steps of one situation, whoever holds the roles."""
    roles = [StepRole(rules[place].role) for place in case.steps]
    facts = case.facts
    if not roles:
        yield Finding("no_step", REFUSAL, example=facts)
        return
    if not any(role in STAFF_ROLES for role in roles):
        yield Finding("no_staff", REFUSAL, example=facts)
    for at, place in enumerate(case.steps):
        if roles[at] in roles[:at]:
            yield Finding("twice", REFUSAL, place, facts)
    if StepRole.RIGHTS_HOLDER in roles and facts.partner_kind != Partner.Kind.RIGHTS_HOLDER:
        yield Finding("no_contact", REFUSAL, case.steps[roles.index(StepRole.RIGHTS_HOLDER)], facts)
    ranks = [ORDER.index(role) for role in roles if role in ORDER]
    if ranks != sorted(ranks):
        yield Finding("order", WARNING, example=facts)


def _access(rules: Sequence[Rule], case: Situation) -> Iterator[Finding]:
    """Who has to look at what gives access: a new key, or a change that loosens (A1, R3)."""
    facts, roles = case.facts, [StepRole(rules[place].role) for place in case.steps]
    if facts.change == "tightens" or not roles:
        return  # what only takes away needs one look, by whomever the policy says
    for role, code in ((StepRole.PM, "no_pm"), (StepRole.TECH, "no_tech")):
        if role not in roles:
            yield Finding(code, REFUSAL, example=facts)
    if facts.partner_kind == Partner.Kind.RIGHTS_HOLDER and StepRole.RIGHTS_HOLDER not in roles:
        yield Finding("no_consent", REFUSAL, example=facts)
    if not facts.is_internal_without_contract and StepRole.LEGAL not in roles:
        yield Finding("no_legal", WARNING, example=facts)


def _coo(rules: Sequence[Rule], reached: Sequence[Situation], house: House) -> Iterator[Finding]:
    """Above the installation's threshold every contract is asked of the COO, whatever a policy says (A1)."""
    above = [
        case
        for case in reached
        if case.facts.change != "tightens" and case.facts.monthly_amount_jpy > house.coo_threshold_jpy
    ]
    without = [case for case in above if all(rules[place].role != StepRole.COO for place in case.steps)]
    if without:
        code = "no_coo" if len(without) == len(above) else "less_coo"
        yield Finding(code, REFUSAL, example=without[0].facts)


def _people_of_paths(
    rules: Sequence[Rule], able: Sequence[Sequence[str]], reached: Sequence[Situation], house: House
) -> Iterator[Finding]:
    """Nobody decides two steps of one request, nor their own: is there somebody for each even so (A4)?"""
    for steps, facts in {case.steps: case.facts for case in reached}.items():
        places = [place for place in steps if StepRole(rules[place].role) in STAFF_ROLES]
        needs = [rules[place].n for place in places]
        if any(len(able[place]) < rules[place].n for place in places):
            continue  # said of the step itself
        short = unstaffed(needs, [able[place] for place in places])
        if short:
            yield Finding("same_person", REFUSAL, places[min(short)], facts)
            continue
        everybody = {ref for place in places for ref in able[place]}
        for ref in sorted(everybody & set(house.requesters)):
            left = [[other for other in able[place] if other != ref] for place in places]
            short = unstaffed(needs, left)
            if short:
                yield Finding("own_requests", WARNING, places[min(short)], facts, ref)


def mentioned(rules: Sequence[Rule], facts: Facts) -> dict[str, Any]:
    """Of an example's facts those that these rules look at, and what says which request it is."""
    looked_at = {condition.fact for rule in rules for condition in rule.when}
    shown = [f.name for f in fields(Facts) if f.name in looked_at | {"change", "partner_kind"}]
    known = asdict(facts)
    return {name: known[name] for name in shown}
