"""The policy in force, and what it looks at (A1, A2)."""

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings

from accounts.models import User
from approvals.models import PolicyVersion
from approvals.policies.rules import STAFF_ROLES, Facts, Person, PlannedStep, whole_path
from keys.models import Plan, Scope
from keys.terms.terms import KeyTerms


def staff_who_decide() -> dict[str, User]:
    """Active staff with a role that decides steps, by number."""
    roles = sorted({role.value for roles in STAFF_ROLES.values() for role in roles})
    found = User.objects.filter(is_active=True, roles__overlap=roles).order_by("public_id")
    return {user.public_id: user for user in found}


def current_policy(now: datetime) -> PolicyVersion:
    """The policy version in force (A2)."""
    return PolicyVersion.objects.filter(in_force_from__lte=now).latest("in_force_from", "number")


def path_for(policy: PolicyVersion, facts: Facts) -> list[PlannedStep]:
    """The steps that a request of these facts gets under this version, and under the company's own rule."""
    return whole_path(policy.rules, facts, coo_threshold_jpy=settings.COO_THRESHOLD_JPY)


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


def person_of(user: User) -> Person:
    """What approvals.policies.rules knows of a member of staff."""
    return Person(ref=user.public_id, roles=user.roles, is_active=user.is_active)
