"""Every action that the audit log knows, with the fields that its events may carry (L1).

An event with an unknown field is refused, so that a secret can't slip into the log by mistake.
"""

from enum import StrEnum


class Action(StrEnum):
    """What happened, in past tense, with a stable dotted name."""

    # accounts
    SIGNED_IN = "staff.signed_in"
    SIGN_IN_FAILED = "staff.sign_in_failed"
    SIGNED_OUT = "staff.signed_out"
    STAFF_INVITED = "staff.invited"
    STAFF_ROLES_CHANGED = "staff.roles_changed"
    STAFF_DEACTIVATED = "staff.deactivated"
    STAFF_PROFILE_CHANGED = "staff.profile_changed"
    PASSWORD_CHANGED = "staff.password_changed"  # noqa: S105 - an action's name
    SECOND_FACTOR_ADDED = "staff.second_factor_added"
    SECOND_FACTOR_REMOVED = "staff.second_factor_removed"
    RECOVERY_CODES_MADE = "staff.recovery_codes_made"
    RECOVERY_CODE_USED = "staff.recovery_code_used"
    SESSION_ENDED = "staff.session_ended"
    # partners
    PARTNER_REGISTERED = "partner.registered"
    PARTNER_CHANGED = "partner.changed"
    CONTACT_ADDED = "contact.added"
    CONTACT_CHANGED = "contact.changed"
    CONTRACT_ADDED = "contract.added"
    CONTRACT_CHANGED = "contract.changed"
    WORKSPACE_ADDED = "workspace.added"
    WORKSPACE_CHANGED = "workspace.changed"
    WORKSPACE_LIMITED = "workspace.limited"
    IDENTITY_CHECKED = "partner.identity_checked"
    # requests and approvals
    REQUEST_DRAFTED = "request.drafted"
    REQUEST_EDITED = "request.edited"
    REQUEST_SUBMITTED = "request.submitted"
    REQUEST_RESUBMITTED = "request.resubmitted"
    REQUEST_SENT_BACK = "request.sent_back"
    REQUEST_PULLED_BACK = "request.pulled_back"
    REQUEST_WITHDRAWN = "request.withdrawn"
    REQUEST_APPROVED = "request.approved"
    REQUEST_REJECTED = "request.rejected"
    REQUEST_EXPIRED = "request.expired"
    REQUEST_FROZEN = "request.frozen"
    EMERGENCY_ISSUED = "request.emergency_issued"
    EMERGENCY_LATE = "request.emergency_late"
    EMERGENCY_COMPLETED = "request.emergency_completed"
    EMERGENCY_REFUSED = "request.emergency_refused"
    REQUEST_DOUBT_CLEARED = "request.doubt_cleared"
    CHANGE_SCHEDULED = "request.change_scheduled"
    CHANGE_CANCELLED = "request.change_cancelled"
    CHANGE_FAILED = "request.change_failed"
    CHANGE_LOOKED_AT = "request.change_looked_at"
    STEP_OPENED = "step.opened"
    STEP_APPROVED = "step.approved"
    STEP_REJECTED = "step.rejected"
    STEP_CHANGES_WANTED = "step.changes_wanted"
    STEP_STANDS = "step.stands"
    STEP_FELL = "step.fell"
    STEP_ADDED = "step.added"
    STEP_DROPPED = "step.dropped"
    STEP_STUCK = "step.stuck"
    STEP_UNDELIVERABLE = "step.undeliverable"
    LINK_SENT = "link.sent"
    LINK_EXPIRED = "link.expired"
    LINK_RENEWED = "link.renewed"
    LINK_FOREIGN = "link.foreign"
    STEP_REMINDED = "step.reminded"
    STEP_ESCALATED = "step.escalated"
    DELEGATION_GIVEN = "delegation.given"
    DELEGATION_BEGAN = "delegation.began"
    DELEGATION_ENDED = "delegation.ended"
    STANDING_DEPUTY_NAMED = "deputy.standing_named"
    STANDING_DEPUTY_REMOVED = "deputy.standing_removed"
    DEPUTY_ADDED = "deputy.added"
    DEPUTY_REMOVED = "deputy.removed"
    CONSENT_CODE_SENT = "consent.code_sent"
    CONSENT_CODE_FAILED = "consent.code_failed"
    CONSENT_CODE_PASSED = "consent.code_passed"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    # the approval policy
    POLICY_DRAFTED = "policy.drafted"
    POLICY_EDITED = "policy.edited"
    POLICY_PROPOSED = "policy.proposed"
    POLICY_TAKEN_BACK = "policy.taken_back"
    POLICY_WITHDRAWN = "policy.withdrawn"
    POLICY_REJECTED = "policy.rejected"
    POLICY_PUT_IN_FORCE = "policy.put_in_force"
    # keys
    KEY_ISSUED = "key.issued"
    KEY_ACTIVATED = "key.activated"
    KEY_SUSPENDED = "key.suspended"
    KEY_REACTIVATED = "key.reactivated"
    KEY_REVOKED = "key.revoked"
    KEY_EXPIRED = "key.expired"
    KEY_CHANGED = "key.changed"
    KEY_ROLLED_BACK = "key.rolled_back"
    KEY_GRANTED = "key.granted"
    KEY_GRANT_ENDED = "key.grant_ended"
    KEY_FIRST_USED = "key.first_used"
    KEY_QUARANTINED = "key.quarantined"
    KEY_QUARANTINE_ENDED = "key.quarantine_ended"
    KEY_RETIREMENT_PLANNED = "key.retirement_planned"
    KEY_RETIREMENT_MOVED = "key.retirement_moved"
    KEY_RETIREMENT_CALLED_OFF = "key.retirement_called_off"
    KEY_RETIRING = "key.retiring"
    KEY_LIMITS_FELL = "key.limits_fell"
    KEY_RETIRED = "key.retired"
    DELIVERY_SENT = "delivery.sent"
    DELIVERY_OPENED = "delivery.opened"
    SECRET_REVEALED = "secret.revealed"  # noqa: S105 - an action's name
    SECRET_REVOKED = "secret.revoked"  # noqa: S105 - an action's name
    DELIVERY_EXPIRED = "delivery.expired"
    DELIVERY_RENEWED = "delivery.renewed"
    DELIVERY_CONFIRMED = "delivery.confirmed"
    DELIVERY_TESTED = "delivery.tested"
    # catalogue
    PRODUCT_ADDED = "product.added"
    PRODUCT_CHANGED = "product.changed"
    PLAN_CHANGED = "plan.changed"
    # gateways
    ADDRESS_BLOCKED = "address.blocked"
    ADDRESS_UNBLOCKED = "address.unblocked"
    GATEWAY_ADDED = "gateway.added"
    GATEWAY_CHANGED = "gateway.changed"
    GATEWAY_CREDENTIAL_ISSUED = "gateway.credential_issued"
    GATEWAY_CREDENTIAL_REVOKED = "gateway.credential_revoked"
    GATEWAY_DISABLED = "gateway.disabled"
    # notifications and exports
    MESSAGE_FAILED = "message.failed"
    MESSAGE_RETRIED = "message.retried"
    EXPORT_MADE = "export.made"
    # mails to the request address
    MAIL_RECEIVED = "mail.received"
    MAIL_TAKEN = "mail.taken"
    MAIL_SET_ASIDE = "mail.set_aside"
    MAIL_BROUGHT_BACK = "mail.brought_back"
    MAIL_FORGOTTEN = "mail.forgotten"


# Fields that any event may carry: numbers of things, states, reasons. `before`/`after` hold changed fields.
COMMON = frozenset({"before", "after", "reason", "note", "status", "number", "digest", "via"})

# What a plan to retire a key says.
PLAN = frozenset({"ends_at", "notice_at", "replacement", "short_notice", "request"})

FIELDS: dict[Action, frozenset[str]] = {
    Action.SIGNED_IN: frozenset({"methods"}),
    Action.SIGN_IN_FAILED: frozenset({"attempt"}),
    Action.STAFF_INVITED: frozenset({"roles"}),
    Action.STAFF_ROLES_CHANGED: frozenset({"added", "removed"}),
    Action.SECOND_FACTOR_ADDED: frozenset({"kind"}),
    Action.SECOND_FACTOR_REMOVED: frozenset({"kind"}),
    Action.PARTNER_REGISTERED: frozenset({"kind"}),
    Action.PARTNER_CHANGED: frozenset({"fields"}),
    Action.CONTACT_ADDED: frozenset({"purposes"}),
    Action.CONTACT_CHANGED: frozenset({"fields"}),
    Action.CONTRACT_ADDED: frozenset({"monthly_amount_jpy", "starts_on", "ends_on", "licence_level"}),
    Action.CONTRACT_CHANGED: frozenset({"fields"}),
    Action.WORKSPACE_ADDED: frozenset({"code"}),
    Action.WORKSPACE_CHANGED: frozenset({"fields"}),
    Action.WORKSPACE_LIMITED: frozenset({"fields"}),
    Action.IDENTITY_CHECKED: frozenset({"checklist"}),
    Action.REQUEST_DRAFTED: frozenset({"kind", "revision", "key"}),
    Action.REQUEST_EDITED: frozenset({"revision", "fields"}),
    Action.REQUEST_SUBMITTED: frozenset({"revision", "steps", "policy", "key", "change"}),
    Action.REQUEST_RESUBMITTED: frozenset({"revision", "steps", "policy", "key", "change"}),
    Action.REQUEST_SENT_BACK: frozenset({"step", "revision"}),
    Action.REQUEST_PULLED_BACK: frozenset({"revision"}),
    Action.REQUEST_APPROVED: frozenset({"revision", "key"}),
    Action.CHANGE_SCHEDULED: frozenset({"key", "not_before"}),
    Action.CHANGE_CANCELLED: frozenset({"key"}),
    Action.CHANGE_FAILED: frozenset({"key"}),
    Action.CHANGE_LOOKED_AT: frozenset({"key"}),
    Action.EMERGENCY_ISSUED: frozenset({"key", "incident", "due_at"}),
    Action.EMERGENCY_LATE: frozenset({"key"}),
    Action.EMERGENCY_COMPLETED: frozenset({"key"}),
    Action.EMERGENCY_REFUSED: frozenset({"key"}),
    Action.REQUEST_FROZEN: frozenset({"step", "recipient"}),
    Action.REQUEST_DOUBT_CLEARED: frozenset({"step", "due_at"}),
    Action.STEP_OPENED: frozenset({"step", "revision", "people", "due_at"}),
    Action.STEP_APPROVED: frozenset(
        {"step", "revision", "checklist", "capacity", "basis", "on_behalf_of", "delegation"}
    ),
    Action.STEP_REJECTED: frozenset({"step", "revision", "capacity", "basis", "on_behalf_of", "delegation"}),
    Action.STEP_REMINDED: frozenset({"step", "recipient", "hours"}),
    Action.STEP_ESCALATED: frozenset({"step", "people", "due_at"}),
    Action.DELEGATION_GIVEN: frozenset({"roles", "starts_at", "ends_at", "recipient"}),
    Action.DELEGATION_BEGAN: frozenset({"recipient", "ends_at"}),
    Action.DELEGATION_ENDED: frozenset({"recipient"}),
    Action.STANDING_DEPUTY_NAMED: frozenset({"roles", "recipient"}),
    Action.STANDING_DEPUTY_REMOVED: frozenset({"roles", "recipient"}),
    Action.DEPUTY_ADDED: frozenset({"roles"}),
    Action.DEPUTY_REMOVED: frozenset({"roles"}),
    Action.STEP_CHANGES_WANTED: frozenset(
        {"step", "revision", "capacity", "basis", "on_behalf_of", "delegation"}
    ),
    Action.STEP_STANDS: frozenset({"step", "revision", "since", "people"}),
    Action.STEP_FELL: frozenset({"step", "revision", "people", "fields"}),
    Action.STEP_ADDED: frozenset({"step", "revision", "note"}),
    Action.STEP_DROPPED: frozenset({"step", "revision"}),
    Action.STEP_STUCK: frozenset({"step"}),
    Action.STEP_UNDELIVERABLE: frozenset({"step"}),
    Action.LINK_SENT: frozenset({"step", "recipient", "expires_at"}),
    Action.LINK_EXPIRED: frozenset({"step", "recipient"}),
    Action.LINK_RENEWED: frozenset({"step", "recipient"}),
    Action.LINK_FOREIGN: frozenset({"step", "recipient", "link"}),
    Action.CONSENT_CODE_SENT: frozenset({"step"}),
    Action.CONSENT_CODE_FAILED: frozenset({"step", "attempt"}),
    Action.CONSENT_CODE_PASSED: frozenset({"step"}),
    Action.CONSENT_WITHDRAWN: frozenset({"capacity"}),
    Action.POLICY_DRAFTED: frozenset({"source"}),
    Action.POLICY_PROPOSED: frozenset({"warnings"}),
    Action.POLICY_PUT_IN_FORCE: frozenset({"warnings", "replaces"}),
    Action.KEY_ISSUED: frozenset({"request", "partner", "environment", "scopes", "expires_at", "decisions"}),
    Action.KEY_ACTIVATED: frozenset({"key_id"}),
    Action.KEY_REVOKED: frozenset({"reason_code"}),
    Action.KEY_SUSPENDED: frozenset({"reason_code"}),
    Action.KEY_CHANGED: frozenset({"fields", "request", "decisions"}),
    Action.KEY_ROLLED_BACK: frozenset({"fields", "request"}),
    Action.KEY_GRANTED: frozenset({"workspace", "ends_on"}),
    Action.KEY_GRANT_ENDED: frozenset({"workspace", "ends_at"}),
    Action.KEY_EXPIRED: frozenset({"expires_at"}),
    Action.KEY_FIRST_USED: frozenset({"key_id"}),
    Action.KEY_QUARANTINED: frozenset({"addresses"}),
    Action.KEY_QUARANTINE_ENDED: frozenset(),
    Action.KEY_RETIREMENT_PLANNED: PLAN,
    Action.KEY_RETIREMENT_MOVED: PLAN,
    Action.KEY_RETIREMENT_CALLED_OFF: PLAN,
    Action.KEY_RETIRING: frozenset({"ends_at", "replacement", "limits_percent"}),
    Action.KEY_LIMITS_FELL: frozenset({"ends_at", "limits_percent"}),
    Action.KEY_RETIRED: frozenset({"ends_at"}),
    Action.DELIVERY_SENT: frozenset({"recipient", "expires_at"}),
    Action.DELIVERY_OPENED: frozenset({"recipient"}),
    Action.SECRET_REVEALED: frozenset({"key_id", "recipient"}),
    Action.SECRET_REVOKED: frozenset({"key_id"}),
    Action.DELIVERY_EXPIRED: frozenset({"recipient"}),
    Action.DELIVERY_RENEWED: frozenset({"recipient", "attempt"}),
    Action.DELIVERY_CONFIRMED: frozenset({"recipient"}),
    Action.DELIVERY_TESTED: frozenset({"recipient", "key_id"}),
    Action.ADDRESS_BLOCKED: frozenset({"address", "ends_at"}),
    Action.ADDRESS_UNBLOCKED: frozenset({"address"}),
    Action.GATEWAY_ADDED: frozenset({"mode"}),
    Action.GATEWAY_CREDENTIAL_ISSUED: frozenset({"credential"}),
    Action.GATEWAY_CREDENTIAL_REVOKED: frozenset({"credential"}),
    Action.MESSAGE_FAILED: frozenset({"kind", "attempts"}),
    Action.MESSAGE_RETRIED: frozenset({"kind"}),
    Action.EXPORT_MADE: frozenset({"kind", "rows", "filters"}),
    Action.MAIL_RECEIVED: frozenset({"kind"}),
    Action.MAIL_TAKEN: frozenset({"kind"}),
}


def allowed_fields(action: Action) -> frozenset[str]:
    """The payload fields that an event of this action may carry."""
    return COMMON | FIELDS.get(action, frozenset())
