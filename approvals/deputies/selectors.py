"""Data for the page of absences and deputies (A5)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator
from django.db.models import Count, Q, QuerySet

from accounts.access import SECOND_FACTORS
from accounts.models import User
from accounts.roles import Permission
from approvals.models import DelegableRole, Delegation, RoleDeputy, StandingDeputy
from approvals.path.bench import DECIDING_ROLES
from approvals.path.deputy_rules import why_no_deputy

SHOWN_AFTER_END = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class DelegationRow:
    """A delegation, and whether the reader may end it."""

    delegation: Delegation
    may_end: bool


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role and who may decide its steps once they are escalated."""

    role: str
    label: str
    deputies: list[User]


@dataclass(frozen=True, slots=True)
class DeputiesPage:
    """The reader's own delegations, given and received; everybody's for those who may see them."""

    mine: list[DelegationRow]
    others: list[DelegationRow] | None
    roles: list[RoleRow]
    stands_for: list[User]


def possible_deputies() -> QuerySet[User]:
    """Active staff whose own roles decide approvals, by name."""
    return User.objects.filter(is_active=True, roles__overlap=DECIDING_ROLES).order_by("name", "public_id")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who could stand in for some of the roles; `barred` are the names of the others."""

    user: User
    barred: list[str]


def candidates(roles: Collection[str]) -> list[Candidate]:
    """Those of the possible deputies who could be one for at least one of the roles, in two queries."""
    factors = set(Authenticator.objects.filter(type__in=SECOND_FACTORS).values_list("user_id", flat=True))
    found = []
    for user in possible_deputies():
        barred = [
            str(DelegableRole(role).label)
            for role in roles
            if why_no_deputy(user, role, has_second_factor=user.pk in factors)
        ]
        if len(barred) < len(roles):
            found.append(Candidate(user, barred))
    return found


def visible_delegations(user: User) -> QuerySet[Delegation]:
    """Those that one gave or received; all of them for those who may see the audit log. With `n_decided`."""
    found = Delegation.objects.select_related("giver", "deputy").annotate(n_decided=Count("decision"))
    return found if user.may(Permission.SEE_AUDIT) else found.filter(Q(giver=user) | Q(deputy=user))


def deputies_page(user: User, *, now: datetime) -> DeputiesPage:
    """Everything of the page, in three queries. `stands_for`: whose standing deputy the reader is.

    What ended long ago stands in the audit log only.
    """
    recent = Q(ended_at=None) | Q(ended_at__gte=now - SHOWN_AFTER_END)
    rows = [
        DelegationRow(row, row.ended_at is None and may_end(user, row))
        for row in visible_delegations(user).filter(recent)[:200]
    ]
    mine = [row for row in rows if user.pk in {row.delegation.giver_id, row.delegation.deputy_id}]
    others = [row for row in rows if row not in mine] if user.may(Permission.SEE_AUDIT) else None
    deputies = list(RoleDeputy.objects.select_related("staff").order_by("id"))
    roles = [
        RoleRow(role.value, str(role.label), [deputy.staff for deputy in deputies if deputy.role == role])
        for role in DelegableRole
    ]
    named = StandingDeputy.objects.filter(deputy=user, giver__is_active=True).select_related("giver")
    return DeputiesPage(mine, others, roles, [one.giver for one in named])


def may_end(user: User, delegation: Delegation) -> bool:
    """The two people, and administrators."""
    return user.pk in {delegation.giver_id, delegation.deputy_id} or user.may(Permission.MANAGE_STAFF)
