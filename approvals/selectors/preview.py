"""What a request would need if it were submitted as it is: shown while the form is filled (R2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise

from accounts.models import User
from approvals.bench import person_of
from approvals.models import PolicyVersion, StepRole
from approvals.policy import STAFF_ROLES, Facts, Person, PlannedStep, deciders, plan_path, unstaffed
from approvals.policy_wording import why_sentence
from keys.models import Plan, Scope
from keys.terms import KeyTerms
from keys.terms_check import Problem, Registry, find_excesses
from partners.models import Contact


@dataclass(frozen=True, slots=True)
class PreviewStep:
    """One approval to come: whose, why, by whom. `is_stuck`: nobody could decide it (A2)."""

    role: str
    label: str | Promise
    why: str | Promise
    people: list[str]
    n_needed: int
    needs_second_factor: bool
    is_stuck: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """The path to come, and where the terms ask for more than the plan gives unasked."""

    steps: list[PreviewStep]
    excesses: list[Problem]
    may_grow: bool
    """Whether the contract is not chosen yet, on which legal and the COO depend."""


def preview_path(
    terms: KeyTerms,
    registry: Registry,
    *,
    requester: User,
    now: datetime,
    policy: PolicyVersion | None = None,
    change: str = "none",
) -> Preview:
    """The approvals that these terms would need, in two queries; nothing is changed.

    By the policy in force, unless the request is bound to another version.
    """
    planned = plan_path((policy or current_policy(now)).rules, facts_of(terms, registry, change=change))
    staff = staff_who_decide()
    people = [person_of(user) for user in staff.values()]
    able = [
        deciders(people, role=step.role, requester=requester.public_id, decided=set(), named=step.people)
        if step.role in STAFF_ROLES
        else []
        for step in planned
    ]
    stuck = _unstaffed(planned, able)
    steps = [
        PreviewStep(
            role=step.role,
            label=StepRole(step.role).label,
            why=why_sentence(step.why, step.conditions),
            people=_names(able[place], staff, step, registry.consent_contact),
            n_needed=step.n_needed,
            needs_second_factor=step.needs_second_factor,
            is_stuck=place in stuck,
        )
        for place, step in enumerate(planned)
    ]
    internal = registry.plan is not None and registry.plan.is_internal
    return Preview(
        steps=steps,
        excesses=find_excesses(terms, registry),
        may_grow=registry.contract is None and not internal,
    )


def _names(
    able: Sequence[Person], staff: dict[str, User], step: PlannedStep, contact: Contact | None
) -> list[str]:
    if step.role == StepRole.RIGHTS_HOLDER:
        return [contact.name] if contact else []
    return [staff[person.ref].name for person in able]


def _unstaffed(planned: Sequence[PlannedStep], able: Sequence[Sequence[Person]]) -> set[int]:
    """The steps for which nobody would be left; a rights-holder's is decided by an outsider."""
    needs = [step.n_needed if step.role in STAFF_ROLES else 0 for step in planned]
    return unstaffed(needs, [[person.ref for person in people] for people in able])


def staff_who_decide() -> dict[str, User]:
    """Active staff with a role that decides steps, by number."""
    roles = sorted({role.value for roles in STAFF_ROLES.values() for role in roles})
    found = User.objects.filter(is_active=True, roles__overlap=roles).order_by("public_id")
    return {user.public_id: user for user in found}


def current_policy(now: datetime) -> PolicyVersion:
    """The policy version in force (A2)."""
    return PolicyVersion.objects.filter(in_force_from__lte=now).latest("in_force_from", "number")


def facts_of(terms: KeyTerms, registry: Registry, *, change: str = "none") -> Facts:
    """What the policy looks at, of these terms; `change` is the direction where a key is changed (R3)."""
    return facts_from(terms, registry.plan, registry.scopes, change=change)


def facts_from(
    terms: KeyTerms, plan: Plan | None, scopes: Mapping[str, Scope], *, change: str = "none"
) -> Facts:
    """The same, for whoever has read plan and scopes for many terms at once."""
    internal = plan is not None and plan.is_internal
    asked = [scopes[code] for code in terms.scopes if code in scopes]
    return Facts(
        partner_kind=terms.partner_kind,
        monthly_amount_jpy=terms.monthly_amount_jpy,
        is_internal_without_contract=internal and not terms.contract,
        plan=terms.plan,
        environment=terms.environment,
        licence_level=terms.licence_level,
        purpose_category=terms.purpose_category,
        n_scopes=len(terms.scopes),
        asks_write=any(scope.is_write or scope.is_admin for scope in asked),
        asks_admin=any(scope.is_admin for scope in asked),
        change=change,
    )
