"""Who may see and change partners and what belongs to them."""

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission, Role
from core.errors import NotAllowed, NotFound
from partners.models import Contact, Contract, Partner, Workspace


def find_partner(user: User, number: str) -> Partner:
    """The partner with this number, for someone who may see partners. NotFound otherwise."""
    partner = Partner.objects.filter(public_id=number).first()
    if partner is None or not user.may(Permission.SEE_PARTNERS):
        raise NotFound(_("There is no such partner."))
    return partner


def find_contact(user: User, number: str) -> Contact:
    """The contact with this number. NotFound for a foreign one, or without permission."""
    contact = Contact.objects.select_related("partner").filter(public_id=number).first()
    if contact is None or not user.may(Permission.SEE_PARTNERS):
        raise NotFound(_("There is no such contact."))
    return contact


def find_contract(user: User, number: str) -> Contract:
    """The contract with this number. NotFound for a foreign one, or without permission."""
    contract = Contract.objects.select_related("partner").filter(public_id=number).first()
    if contract is None or not user.may(Permission.SEE_PARTNERS):
        raise NotFound(_("There is no such contract."))
    return contract


def find_workspace(user: User, number: str) -> Workspace:
    """The workspace with this number. NotFound for a foreign one, or without permission."""
    workspace = Workspace.objects.select_related("partner").filter(public_id=number).first()
    if workspace is None or not user.may(Permission.SEE_PARTNERS):
        raise NotFound(_("There is no such workspace."))
    return workspace


def require_may_edit(user: User) -> None:
    """NotAllowed unless one of the person's roles registers and changes partners."""
    if not user.may(Permission.EDIT_PARTNERS):
        raise NotAllowed(_("Your roles do not allow changing partners."))


def may_check_identity(user: User) -> bool:
    """Security checks who a partner is, and tech does as part of its approval step (A1)."""
    return user.has_role(Role.SECURITY) or user.has_role(Role.TECH)


def require_may_check_identity(user: User) -> None:
    """NotAllowed unless the person is of security or tech."""
    if not may_check_identity(user):
        raise NotAllowed(_("Security or tech records identity checks."))
