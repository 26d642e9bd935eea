"""Roles and permissions: one matrix in code, shown on a page and tested cell by cell (S2)."""

from typing import TYPE_CHECKING

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from accounts.models import User


class Role(TextChoices):
    """What a member of staff is for. A person may have several."""

    REQUESTER = "requester", _("Requester")
    PM = "pm", _("PM")
    LEGAL = "legal", _("Legal")
    TECH = "tech", _("Tech")
    SECURITY = "security", _("Security")
    COO = "coo", _("COO")
    OPS = "ops", _("Ops")
    AUDITOR = "auditor", _("Auditor")
    ADMIN = "admin", _("Admin")


class Permission(TextChoices):
    """What can be allowed. Deciding a step also needs that step's role (A1)."""

    SEE_KEYS = "see_keys", _("See the key registry")
    SEE_PARTNERS = "see_partners", _("See partners and contracts")
    EDIT_PARTNERS = "edit_partners", _("Register and change partners")
    SEE_REQUESTS = "see_requests", _("See all requests")
    MAKE_REQUESTS = "make_requests", _("Make requests")
    SEE_MAIL = "see_mail", _("See mails to the request address")
    DECIDE = "decide", _("Decide approval steps of one's role")
    EDIT_POLICY = "edit_policy", _("Write drafts of the approval policy")
    APPROVE_POLICY = "approve_policy", _("Put somebody else's draft of the approval policy in force")
    BREAK_GLASS = "break_glass", _("Issue a key in an emergency")
    CLEAR_DOUBTS = "clear_doubts", _("Look into answers reported as “not me”")
    SUSPEND_KEYS = "suspend_keys", _("Suspend and reactivate keys")
    REVOKE_KEYS = "revoke_keys", _("Revoke keys")
    REDELIVER_KEYS = "redeliver_keys", _("Send a delivery link again")
    ROLL_BACK_CHANGES = "roll_back_changes", _("Roll a change of a key back")
    LIMIT_WORKSPACES = "limit_workspaces", _("Limit what the keys of a workspace use together")
    GRANT_WORKSPACES = "grant_workspaces", _("Let a key act in another workspace of its partner")
    SEE_AUDIT = "see_audit", _("See the audit log")
    SEE_STAFF = "see_staff", _("See staff and their roles")
    MANAGE_STAFF = "manage_staff", _("Invite staff and change roles")
    SEE_GATEWAYS = "see_gateways", _("See gateways")
    MANAGE_GATEWAYS = "manage_gateways", _("Add gateways and rotate their credentials")
    SEE_MESSAGES = "see_messages", _("See notifications")
    RETRY_MESSAGES = "retry_messages", _("Send failed notifications again")
    EXPORT = "export", _("Export lists")


P = Permission
_READ = {P.SEE_KEYS, P.SEE_PARTNERS, P.SEE_REQUESTS, P.SEE_STAFF}

MATRIX: dict[Role, frozenset[Permission]] = {
    # Requesters see all keys and partners, but of the requests only their own.
    Role.REQUESTER: frozenset(
        {P.SEE_KEYS, P.SEE_PARTNERS, P.EDIT_PARTNERS, P.MAKE_REQUESTS, P.SEE_MAIL, P.SEE_STAFF}
    ),
    Role.PM: frozenset(
        _READ
        | {P.SEE_MAIL}
        | {P.EDIT_PARTNERS, P.MAKE_REQUESTS, P.DECIDE, P.SUSPEND_KEYS, P.REDELIVER_KEYS, P.EXPORT}
        | {P.ROLL_BACK_CHANGES, P.LIMIT_WORKSPACES}
    ),
    Role.LEGAL: frozenset(_READ | {P.DECIDE, P.SEE_AUDIT, P.EXPORT, P.EDIT_POLICY}),
    Role.TECH: frozenset(
        _READ
        | {P.DECIDE, P.SUSPEND_KEYS, P.REDELIVER_KEYS, P.SEE_GATEWAYS, P.MANAGE_GATEWAYS, P.SEE_MESSAGES}
        | {P.LIMIT_WORKSPACES}
    ),
    Role.SECURITY: frozenset(
        _READ
        | {P.EDIT_POLICY, P.APPROVE_POLICY}
        | {P.DECIDE, P.SUSPEND_KEYS, P.REVOKE_KEYS, P.REDELIVER_KEYS, P.SEE_AUDIT, P.SEE_GATEWAYS}
        # Security asks for keys to break the glass (A8); four eyes hold for its own requests, too.
        | {
            P.SEE_MESSAGES,
            P.SEE_MAIL,
            P.EXPORT,
            P.ROLL_BACK_CHANGES,
            P.LIMIT_WORKSPACES,
            P.GRANT_WORKSPACES,
            P.CLEAR_DOUBTS,
            P.MAKE_REQUESTS,
            P.BREAK_GLASS,
        }
    ),
    # The COO looks into doubts, too: security's own decisions may be among them.
    Role.COO: frozenset(
        _READ
        | {P.APPROVE_POLICY, P.CLEAR_DOUBTS}
        | {P.DECIDE, P.SUSPEND_KEYS, P.REVOKE_KEYS, P.SEE_AUDIT, P.EXPORT}
    ),
    # Ops can kill, not issue.
    Role.OPS: frozenset(
        _READ
        | {P.SUSPEND_KEYS, P.REVOKE_KEYS, P.SEE_AUDIT, P.SEE_GATEWAYS, P.SEE_MESSAGES, P.RETRY_MESSAGES}
        | {P.SEE_MAIL, P.EXPORT}
    ),
    # Auditors read all and change nothing.
    Role.AUDITOR: frozenset(_READ | {P.SEE_MAIL, P.SEE_AUDIT, P.SEE_GATEWAYS, P.SEE_MESSAGES, P.EXPORT}),
    # Administrators run the portal; they neither decide nor kill.
    Role.ADMIN: frozenset(
        _READ
        | {P.EDIT_POLICY, P.APPROVE_POLICY}
        | {P.MANAGE_STAFF, P.SEE_AUDIT, P.SEE_GATEWAYS, P.MANAGE_GATEWAYS}
        | {P.SEE_MESSAGES, P.RETRY_MESSAGES, P.SEE_MAIL}
    ),
}

SECOND_FACTOR_ROLES = frozenset({Role.TECH, Role.SECURITY, Role.COO, Role.ADMIN})


def permissions_of(roles: list[str]) -> frozenset[Permission]:
    """All that a person with these roles may do."""
    return frozenset().union(*(MATRIX[Role(role)] for role in roles))


def may(user: "User", permission: Permission) -> bool:
    """Whether an active member of staff has this permission through any of their roles."""
    return user.is_active and permission in permissions_of(user.roles)
