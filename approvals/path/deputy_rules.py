"""Who can be whose deputy: one rule for the service that names them and for the list to choose from (A5)."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import SECOND_FACTOR_ROLES, Permission, Role


def why_no_deputy(person: User, role: str, *, has_second_factor: bool) -> str | Promise:
    """Why somebody can't stand in for a role; empty where they can.

    A deputy decides, so one of their own roles decides steps, and they meet what the role demands.
    """
    if not person.may(Permission.DECIDE):
        return _("A deputy must be somebody who is here and whose own role decides approvals.")
    if role == Role.TECH and not (person.has_role(Role.TECH) or person.has_role(Role.SECURITY)):
        return _("Tech's step holds the identity check, so its deputy must be of tech or security.")
    if Role(role) in SECOND_FACTOR_ROLES and not has_second_factor:
        return _("This role demands a second factor, and this person has not set one up yet.")
    return ""
