"""Versions of the policy for their pages: lists, sentences, differences, and the dry run (A2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher

from django.conf import settings
from django.utils.translation import gettext

from accounts.models import User
from accounts.roles import Permission
from approvals.models import PolicyVersion, StepRole
from approvals.policies.findings import Line, lines_of
from approvals.policies.lint import House, lint
from approvals.policies.reader import Condition, Known, Rule
from approvals.policies.rules import STAFF_ROLES
from approvals.policies.selectors.in_force import current_policy, person_of, staff_who_decide
from approvals.policies.wording import asked_when, condition_of, demands
from core.errors import NotFound
from keys.models import Plan

State = PolicyVersion.State


def known_now() -> Known:
    """The plans that conditions may name, in one query."""
    rows = list(Plan.objects.order_by("position", "code").values_list("code", "name", "is_internal"))
    return Known(
        {code: name for code, name, _internal in rows},
        frozenset(code for code, _name, internal in rows if internal),
    )


def house_now() -> House:
    """This installation as the linter looks at it, in two queries."""
    everybody = list(User.objects.order_by("public_id"))
    active = [user for user in everybody if user.is_active]
    return House(
        staff=[person_of(user) for user in active],
        requesters={user.public_id for user in active if user.may(Permission.MAKE_REQUESTS)},
        known=known_now(),
        coo_threshold_jpy=settings.COO_THRESHOLD_JPY,
        names={user.public_id: user.name for user in everybody},
    )


# --- which versions ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A version with the state that pages show: `current` and `past` are both in force by their row."""

    policy: PolicyVersion
    look: str
    roles: list[str]


def find_policy(user: User, number: str) -> PolicyVersion:
    """The version `v3`. Drafts and what was refused are for those who see all requests; else NotFound."""
    text = number.removeprefix("v")
    found = None
    if number.startswith("v") and text.isascii() and text.isdigit() and len(text) < 9:
        found = (
            PolicyVersion.objects.select_related("author", "decider", "source").filter(number=text).first()
        )
    hidden = found is not None and found.state != State.IN_FORCE and not user.may(Permission.SEE_REQUESTS)
    if found is None or hidden:
        raise NotFound(gettext("There is no such version of the approval policy."))
    return found


def list_policies(user: User, *, now: datetime) -> list[PolicyRow]:
    """All versions that this person may see, the newest first, in two queries."""
    found = PolicyVersion.objects.select_related("author", "decider")
    if not user.may(Permission.SEE_REQUESTS):
        found = found.filter(state=State.IN_FORCE)
    current = current_policy(now)
    return [row_of(policy, current) for policy in found]


def row_of(policy: PolicyVersion, current: PolicyVersion) -> PolicyRow:
    """The version with its look and its roles in order."""
    look = str(policy.state)
    if policy.state == State.IN_FORCE:
        look = "current" if policy == current else "past"
    return PolicyRow(policy, look, [str(StepRole(step["role"]).label) for step in policy.rules["steps"]])


def count_policies_to_decide(user: User) -> int:
    """How many proposals wait for this person: the number in the navigation."""
    if not user.may(Permission.APPROVE_POLICY):
        return 0
    return PolicyVersion.objects.filter(state=State.PROPOSED).exclude(author=user).count()


# --- one version in words ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepText:
    """A step of a policy in words: `people` are those who could decide it today."""

    number: int
    role: str
    when: str
    demands: list[str]
    people: list[str]
    is_outsider: bool


def steps_in_words(policy: PolicyVersion) -> list[StepText]:
    """The steps of any version, checked or not: what was in force once is shown as it was. Three queries."""
    staff, names = staff_who_decide(), _names()
    plans = known_now().plans
    return [
        _text(number, rule, staff, names, plans) for number, rule in enumerate(loose_rules(policy), start=1)
    ]


def loose_rules(policy: PolicyVersion) -> list[Rule]:
    """The steps as dataclasses without a check."""
    return [
        Rule(
            role=step["role"],
            why=step.get("why", "rule"),
            when=tuple(condition_of(data) for data in step["when"]),
            n=step.get("n", 1),
            second_factor=step.get("second_factor", False),
            people=tuple(step.get("people", ())),
            deadline_hours=step.get("deadline_hours"),
        )
        for step in policy.rules["steps"]
    ]


def _text(
    number: int, rule: Rule, staff: Mapping[str, User], names: Mapping[str, str], plans: Mapping[str, str]
) -> StepText:
    roles = STAFF_ROLES.get(StepRole(rule.role), frozenset())
    return StepText(
        number=number,
        role=str(StepRole(rule.role).label),
        when=asked_when(rule.when, plans),
        demands=demands(rule, names),
        people=[user.name for user in staff.values() if not roles.isdisjoint(user.roles)]
        if not rule.people
        else [],
        is_outsider=not roles,
    )


def _names() -> dict[str, str]:
    return dict(User.objects.values_list("public_id", "name"))


def findings_of(policy: PolicyVersion) -> list[Line]:
    """What the linter says of the version today, in words."""
    house = house_now()
    rules = loose_rules(policy)
    return lines_of(lint(rules, house), rules, house)


# --- differences ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A step as it is and as it would be, in words; "" where there is none."""

    role: str
    before: str
    after: str


def differences(before: PolicyVersion, after: PolicyVersion) -> list[Difference]:
    """Step by step what changes, steps of the same role beside each other; empty when nothing does."""
    names, plans = _names(), known_now().plans
    old, new = ([(r, _whole(r, names, plans)) for r in loose_rules(version)] for version in (before, after))
    matcher = SequenceMatcher(None, [r.role for r, _t in old], [r.role for r, _t in new], autojunk=False)
    found: list[Difference] = []
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            pairs = [(old[a + i], new[c + i]) for i in range(b - a)]
            found += [Difference(_role(o[0]), o[1], n[1]) for o, n in pairs if o[1] != n[1]]
            continue
        found += [Difference(_role(rule), text, "") for rule, text in old[a:b]]
        found += [Difference(_role(rule), "", text) for rule, text in new[c:d]]
    return found


def _role(rule: Rule) -> str:
    return str(StepRole(rule.role).label)


def _whole(rule: Rule, names: Mapping[str, str], plans: Mapping[str, str]) -> str:
    return " ".join([asked_when(rule.when, plans), gettext(", ").join(demands(rule, names))]).strip()


def simple_code(rule: Rule) -> str:
    """The code of the sentence that says best why the step is asked; `rule`: its conditions say it."""
    narrowed = Condition("change", "is_not", "tightens")
    key = rule.role, tuple(condition for condition in rule.when if condition != narrowed)
    return _CODES.get(key, "rule")


_CODES: dict[tuple[str, tuple[Condition, ...]], str] = {
    ("pm", ()): "always",
    ("rights_holder", (Condition("partner_kind", "is", "rights_holder"),)): "partner_is_rights_holder",
    ("legal", (Condition("is_internal_without_contract", "is", False),)): "contract_reviewed",
    ("tech", ()): "identity_checked",
    ("coo", (Condition("monthly_amount_jpy", "more_than", 500_000),)): "amount_over_threshold",
    ("pm_or_security", (Condition("change", "is", "tightens"),)): "change_tightens",
}
