"""The operations on partners and what belongs to them, by noun."""

from partners.services.contacts import add_contact, change_contact
from partners.services.contracts import add_contract, change_contract
from partners.services.identity import record_identity_check
from partners.services.partners import change_partner, register_partner
from partners.services.workspaces import add_workspace, change_workspace

__all__ = [
    "add_contact",
    "add_contract",
    "add_workspace",
    "change_contact",
    "change_contract",
    "change_partner",
    "change_workspace",
    "record_identity_check",
    "register_partner",
]
