"""What each action is in words: one sentence, one icon, one tone (L3)."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action

Words = str | Promise
A = Action

# %(who)s acted; %(what)s is the main object (KB-0412); %(step)s and %(recipient)s come from the payload.
SENTENCES: dict[A, Words] = {
    A.SIGNED_IN: _("%(who)s signed in."),
    A.SIGN_IN_FAILED: _("A sign-in for %(what)s failed."),
    A.SIGNED_OUT: _("%(who)s signed out."),
    A.STAFF_INVITED: _("%(who)s invited %(what)s to the portal."),
    A.STAFF_ROLES_CHANGED: _("%(who)s changed the roles of %(what)s."),
    A.STAFF_DEACTIVATED: _("%(who)s closed the account of %(what)s."),
    A.STAFF_PROFILE_CHANGED: _("%(who)s changed the profile of %(what)s."),
    A.PASSWORD_CHANGED: _("%(who)s changed the password."),
    A.SECOND_FACTOR_ADDED: _("%(who)s added a second factor."),
    A.SECOND_FACTOR_REMOVED: _("%(who)s removed a second factor."),
    A.RECOVERY_CODES_MADE: _("%(who)s made new recovery codes."),
    A.RECOVERY_CODE_USED: _("%(who)s used a recovery code."),
    A.SESSION_ENDED: _("%(who)s ended a session."),
    A.PARTNER_REGISTERED: _("%(who)s registered partner %(what)s."),
    A.PARTNER_CHANGED: _("%(who)s changed partner %(what)s."),
    A.CONTACT_ADDED: _("%(who)s added contact %(what)s."),
    A.CONTACT_CHANGED: _("%(who)s changed contact %(what)s."),
    A.CONTRACT_ADDED: _("%(who)s added contract %(what)s."),
    A.CONTRACT_CHANGED: _("%(who)s changed contract %(what)s."),
    A.WORKSPACE_ADDED: _("%(who)s added workspace %(what)s."),
    A.WORKSPACE_CHANGED: _("%(who)s changed workspace %(what)s."),
    A.WORKSPACE_LIMITED: _("%(who)s changed the limits that the keys of workspace %(what)s share."),
    A.IDENTITY_CHECKED: _("%(who)s checked the identity of partner %(what)s."),
    A.REQUEST_DRAFTED: _("%(who)s started request %(what)s."),
    A.REQUEST_EDITED: _("%(who)s saved the draft of request %(what)s."),
    A.REQUEST_SUBMITTED: _("%(who)s submitted request %(what)s."),
    A.REQUEST_RESUBMITTED: _("%(who)s submitted request %(what)s again."),
    A.REQUEST_SENT_BACK: _("Request %(what)s was sent back to its requester."),
    A.REQUEST_PULLED_BACK: _("%(who)s took request %(what)s back to edit it."),
    A.REQUEST_WITHDRAWN: _("%(who)s withdrew request %(what)s."),
    A.REQUEST_APPROVED: _("Request %(what)s was approved in full."),
    A.REQUEST_REJECTED: _("Request %(what)s was rejected."),
    A.REQUEST_EXPIRED: _("Request %(what)s expired without a decision."),
    A.CHANGE_SCHEDULED: _("The change of request %(what)s was approved and waits for its time."),
    A.CHANGE_CANCELLED: _("%(who)s cancelled the approved change of request %(what)s before its time."),
    A.CHANGE_FAILED: _("The change of request %(what)s could not be applied at its time."),
    A.CHANGE_LOOKED_AT: _("%(who)s looked at what the change of request %(what)s did."),
    A.EMERGENCY_ISSUED: _("%(who)s issued the key of request %(what)s in an emergency."),
    A.EMERGENCY_LATE: _("The approvals of emergency request %(what)s were not complete in time."),
    A.EMERGENCY_COMPLETED: _("The approvals of emergency request %(what)s are complete."),
    A.EMERGENCY_REFUSED: _("Emergency request %(what)s ended without its approvals."),
    A.REQUEST_FROZEN: _("%(recipient)s reported the answer on the step “%(step)s” as not theirs."),
    A.REQUEST_DOUBT_CLEARED: _("%(who)s looked into the doubtful answer on the step “%(step)s”."),
    A.STEP_OPENED: _("The step “%(step)s” of request %(what)s was opened."),
    A.STEP_APPROVED: _("%(who)s approved the step “%(step)s” of request %(what)s."),
    A.STEP_REJECTED: _("%(who)s rejected the step “%(step)s” of request %(what)s."),
    A.STEP_CHANGES_WANTED: _("%(who)s asked for changes at the step “%(step)s” of request %(what)s."),
    A.STEP_STANDS: _("The approval of the step “%(step)s” still stands on the new revision of %(what)s."),
    A.STEP_FELL: _("The approval of the step “%(step)s” counts no more on the new revision of %(what)s."),
    A.STEP_ADDED: _("Request %(what)s needs the step “%(step)s” now, too."),
    A.STEP_DROPPED: _("The changed request %(what)s does not need the step “%(step)s” any more."),
    A.STEP_STUCK: _("Nobody may decide the step “%(step)s” of request %(what)s."),
    A.STEP_UNDELIVERABLE: _("The mail for the step “%(step)s” of request %(what)s came back."),
    A.LINK_SENT: _("A link for the step “%(step)s” of request %(what)s was sent to %(recipient)s."),
    A.LINK_EXPIRED: _("The link of %(recipient)s for the step “%(step)s” of request %(what)s expired."),
    A.LINK_RENEWED: _("A new link for the step “%(step)s” of request %(what)s was sent to %(recipient)s."),
    A.LINK_FOREIGN: _(
        "%(who)s opened the link of %(recipient)s for the step “%(step)s” of request %(what)s."
    ),
    A.STEP_REMINDED: _("%(recipient)s was reminded of the step “%(step)s” of request %(what)s."),
    A.STEP_ESCALATED: _("The step “%(step)s” of request %(what)s was escalated: nobody answered in time."),
    A.DELEGATION_GIVEN: _("%(who)s made %(recipient)s their deputy (%(what)s)."),
    A.DELEGATION_BEGAN: _("%(recipient)s began to stand in (%(what)s)."),
    A.DELEGATION_ENDED: _("%(recipient)s stopped standing in (%(what)s)."),
    A.STANDING_DEPUTY_NAMED: _("%(who)s named %(recipient)s as their standing deputy."),
    A.STANDING_DEPUTY_REMOVED: _("%(recipient)s is no longer the standing deputy of %(what)s."),
    A.DEPUTY_ADDED: _("%(who)s made %(what)s a deputy for escalated steps."),
    A.DEPUTY_REMOVED: _("%(who)s took %(what)s off the deputies for escalated steps."),
    A.CONSENT_CODE_SENT: _("A confirmation code for request %(what)s was sent to %(who)s."),
    A.CONSENT_CODE_FAILED: _("A wrong confirmation code was entered for request %(what)s."),
    A.CONSENT_CODE_PASSED: _("%(who)s entered the confirmation code for request %(what)s."),
    A.CONSENT_WITHDRAWN: _("%(who)s withdrew the consent to request %(what)s."),
    A.POLICY_DRAFTED: _("%(who)s began %(what)s of the approval policy."),
    A.POLICY_EDITED: _("%(who)s changed the draft %(what)s of the approval policy."),
    A.POLICY_PROPOSED: _("%(who)s proposed %(what)s of the approval policy."),
    A.POLICY_TAKEN_BACK: _("%(who)s took the proposal %(what)s of the approval policy back to change it."),
    A.POLICY_WITHDRAWN: _("%(who)s withdrew %(what)s of the approval policy."),
    A.POLICY_REJECTED: _("%(who)s rejected %(what)s of the approval policy."),
    A.POLICY_PUT_IN_FORCE: _("%(who)s put %(what)s of the approval policy in force."),
    A.KEY_ISSUED: _("Key %(what)s was issued."),
    A.KEY_ACTIVATED: _("Key %(what)s became active."),
    A.KEY_SUSPENDED: _("%(who)s suspended key %(what)s."),
    A.KEY_REACTIVATED: _("%(who)s reactivated key %(what)s."),
    A.KEY_REVOKED: _("%(who)s revoked key %(what)s."),
    A.KEY_EXPIRED: _("Key %(what)s expired."),
    A.KEY_CHANGED: _("%(who)s changed key %(what)s."),
    A.KEY_GRANTED: _("%(who)s let key %(what)s act in another workspace."),
    A.KEY_GRANT_ENDED: _("%(who)s ended that key %(what)s may act in another workspace."),
    A.KEY_ROLLED_BACK: _("%(who)s rolled key %(what)s back to its settings before the last change."),
    A.KEY_FIRST_USED: _("Key %(what)s was used for the first time."),
    A.KEY_QUARANTINED: _("%(who)s put key %(what)s into quarantine."),
    A.KEY_QUARANTINE_ENDED: _("The quarantine of key %(what)s ended."),
    A.KEY_RETIREMENT_PLANNED: _("The retirement of key %(what)s was planned."),
    A.KEY_RETIREMENT_MOVED: _("The planned retirement of key %(what)s was moved."),
    A.KEY_RETIREMENT_CALLED_OFF: _("The planned retirement of key %(what)s was called off."),
    A.KEY_RETIRING: _("Key %(what)s is retiring: notice was given."),
    A.KEY_LIMITS_FELL: _("The limits of key %(what)s fell, as its retirement planned."),
    A.KEY_RETIRED: _("Key %(what)s ended, as its retirement planned."),
    A.DELIVERY_SENT: _("The link to collect key %(what)s was sent to %(recipient)s."),
    A.DELIVERY_OPENED: _("The page to collect key %(what)s was opened."),
    A.SECRET_REVEALED: _("%(recipient)s collected key %(what)s."),
    A.SECRET_REVOKED: _("A secret of key %(what)s was revoked."),
    A.DELIVERY_EXPIRED: _("%(recipient)s did not collect key %(what)s in time."),
    A.DELIVERY_RENEWED: _("A new link to collect key %(what)s was sent to %(recipient)s."),
    A.DELIVERY_TESTED: _("%(recipient)s tested key %(what)s: every check would let it through."),
    A.DELIVERY_CONFIRMED: _("%(recipient)s confirmed that key %(what)s is stored safely."),
    A.PRODUCT_ADDED: _("%(who)s added API product %(what)s."),
    A.PRODUCT_CHANGED: _("%(who)s changed API product %(what)s."),
    A.PLAN_CHANGED: _("%(who)s changed plan %(what)s."),
    A.ADDRESS_BLOCKED: _("%(who)s blocked an address."),
    A.ADDRESS_UNBLOCKED: _("%(who)s lifted the block of an address."),
    A.GATEWAY_ADDED: _("%(who)s added gateway %(what)s."),
    A.GATEWAY_CHANGED: _("%(who)s changed gateway %(what)s."),
    A.GATEWAY_CREDENTIAL_ISSUED: _("%(who)s issued a credential for gateway %(what)s."),
    A.GATEWAY_CREDENTIAL_REVOKED: _("%(who)s revoked a credential of gateway %(what)s."),
    A.GATEWAY_DISABLED: _("%(who)s disabled gateway %(what)s."),
    A.MESSAGE_FAILED: _("A notification could not be delivered."),
    A.MESSAGE_RETRIED: _("%(who)s sent a failed notification again."),
    A.EXPORT_MADE: _("%(who)s exported a list."),
    A.MAIL_RECEIVED: _("Mail %(what)s arrived at the request address."),
    A.MAIL_TAKEN: _("%(who)s took mail %(what)s over as a draft."),
    A.MAIL_SET_ASIDE: _("%(who)s set mail %(what)s aside."),
    A.MAIL_BROUGHT_BACK: _("%(who)s brought mail %(what)s back."),
    A.MAIL_FORGOTTEN: _("The content of mail %(what)s was deleted after its time."),
}

STEPS: dict[str, Words] = {
    "pm": _("PM"),
    "rights_holder": _("Rights-holder"),
    "legal": _("Legal"),
    "tech": _("Tech"),
    "coo": _("COO"),
    "pm_or_security": _("PM or security"),
}

REASONS: dict[str, Words] = {
    "terms_violated": _("Terms violated"),
    "person_left": _("The person in charge left"),
    "leaked": _("Leaked"),
    "contract_ended": _("Contract ended"),
    "replaced": _("Replaced"),
    "unclaimed": _("Not collected in time"),
    "not_approved": _("Not approved"),
    "doubt": _("An approval is in doubt"),
    "late": _("Approvals not complete in time"),
    "consent": _("Consent withdrawn"),
    "anomaly": _("Anomaly"),
    "other": _("Other"),
}

# The groups of the filter.
GROUPS: dict[str, Words] = {
    "keys": _("Keys"),
    "requests": _("Requests and approvals"),
    "partners": _("Partners"),
    "policies": _("Approval policy"),
    "staff": _("Staff and sign-in"),
    "gateways": _("Gateways and API products"),
    "messages": _("Notifications and exports"),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What actions (`key.issued`) and references (`key:KB-0412`) of one kind have in common.

    The group and the icon of its actions, empty where there is none; and what such an object is called.
    """

    group: str
    icon: str
    word: Words = ""


KINDS: dict[str, Kind] = {
    "address": Kind("gateways", "ban"),
    "block": Kind("", "", _("Blocked address")),
    "consent": Kind("requests", "shield"),
    "contact": Kind("partners", "user", _("Contact")),
    "contract": Kind("partners", "terms", _("Contract")),
    "delegation": Kind("requests", "user", _("Delegation")),
    "delivery": Kind("keys", "handover"),
    "deputy": Kind("requests", "user"),
    "export": Kind("messages", "download"),
    "gateway": Kind("gateways", "gateway", _("Gateway")),
    "key": Kind("keys", "key", _("Key")),
    "link": Kind("requests", "send"),
    "list": Kind("", "", _("List")),
    "mail": Kind("requests", "inbox", _("Mail request")),
    "message": Kind("messages", "mail", _("Notification")),
    "partner": Kind("partners", "partner", _("Partner")),
    "plan": Kind("gateways", "gauge", _("Plan")),
    "policy": Kind("policies", "checklist", _("Approval policy")),
    "product": Kind("gateways", "code", _("API product")),
    "request": Kind("requests", "request", _("Request")),
    "secret": Kind("keys", "lock"),
    "staff": Kind("staff", "user", _("Staff")),
    "step": Kind("requests", "checklist"),
    "workspace": Kind("partners", "network", _("Workspace")),
}

ACTOR_KINDS: dict[str, Words] = {
    "staff": _("Staff"),
    "contact": _("Contact"),
    "gateway": _("Gateway"),
    "system": _("System"),
}

FIELD_WORDS: dict[str, Words] = {
    "added": _("Added"),
    "address": _("Address"),
    "addresses": _("Known addresses"),
    "quarantined_until": _("In quarantine until"),
    "basis": _("In whose place"),
    "delegation": _("Delegation"),
    "ends_at": _("Until"),
    "hours": _("Business hours"),
    "on_behalf_of": _("In place of"),
    "since": _("Stands since revision"),
    "starts_at": _("From"),
    "attempt": _("Attempt"),
    "attempts": _("Attempts"),
    "capacity": _("Capacity"),
    "checklist": _("Checklist"),
    "code": _("Code"),
    "credential": _("Credential"),
    "decisions": _("Decisions"),
    "digest": _("Digest of the terms"),
    "due_at": _("Due"),
    "ends_on": _("Until"),
    "environment": _("Environment"),
    "expires_at": _("Expires"),
    "fields": _("Fields"),
    "filters": _("Filters"),
    "incident": _("Incident"),
    "key": _("Key"),
    "key_id": _("Key ID of the secret"),
    "kind": _("Kind"),
    "licence_level": _("Data-licence level"),
    "limits_percent": _("Limits (%)"),
    "link": _("Link"),
    "methods": _("Methods"),
    "mode": _("Mode"),
    "monthly_amount_jpy": _("Monthly amount (JPY)"),
    "note": _("Remark"),
    "notice_at": _("Notice from"),
    "number": _("Number"),
    "partner": _("Partner"),
    "people": _("Asked"),
    "policy": _("Policy version"),
    "purposes": _("Purposes"),
    "reason": _("Reason"),
    "reason_code": _("Reason"),
    "recipient": _("Recipient"),
    "removed": _("Removed"),
    "replacement": _("Replaced by"),
    "replaces": _("Instead of"),
    "request": _("Request"),
    "revision": _("Revision"),
    "retires_at": _("Planned retirement"),
    "roles": _("Roles"),
    "rows": _("Rows"),
    "scopes": _("Scopes"),
    "short_notice": _("Why at short notice"),
    "source": _("Begun from"),
    "starts_on": _("From"),
    "status": _("Status"),
    "step": _("Step"),
    "steps": _("Steps"),
    "change": _("Direction"),
    "not_before": _("Not before"),
    "via": _("By way of"),
    "warnings": _("Warnings"),
    "workspace": _("Workspace"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """An icon of the sprite and a tone of core.badges."""

    icon: str
    tone: str


_LOOKS: dict[A, Look] = {
    A.SIGN_IN_FAILED: Look("alert", "warn"),
    A.STAFF_DEACTIVATED: Look("user-off", "mute"),
    A.IDENTITY_CHECKED: Look("shield-ok", "ok"),
    A.REQUEST_APPROVED: Look("ok", "ok"),
    A.REQUEST_REJECTED: Look("reject", "bad"),
    A.REQUEST_EXPIRED: Look("clock", "mute"),
    A.REQUEST_RESUBMITTED: Look("send", "info"),
    A.REQUEST_SENT_BACK: Look("undo", "warn"),
    A.REQUEST_PULLED_BACK: Look("undo", "mute"),
    A.REQUEST_WITHDRAWN: Look("undo", "mute"),
    A.EMERGENCY_ISSUED: Look("bolt", "bad"),
    A.EMERGENCY_LATE: Look("clock", "bad"),
    A.EMERGENCY_COMPLETED: Look("ok", "ok"),
    A.EMERGENCY_REFUSED: Look("reject", "bad"),
    A.REQUEST_FROZEN: Look("freeze", "bad"),
    A.CONSENT_WITHDRAWN: Look("undo", "bad"),
    A.STEP_OPENED: Look("current", "info"),
    A.STEP_APPROVED: Look("ok", "ok"),
    A.STEP_REJECTED: Look("reject", "bad"),
    A.STEP_CHANGES_WANTED: Look("undo", "warn"),
    A.STEP_STANDS: Look("ok", "ok"),
    A.STEP_FELL: Look("rotate", "warn"),
    A.STEP_ADDED: Look("plus", "info"),
    A.STEP_DROPPED: Look("skip", "mute"),
    A.STEP_STUCK: Look("alert", "bad"),
    A.STEP_UNDELIVERABLE: Look("mail-x", "bad"),
    A.CHANGE_SCHEDULED: Look("calendar", "info"),
    A.CHANGE_CANCELLED: Look("undo", "mute"),
    A.CHANGE_FAILED: Look("alert", "bad"),
    A.CHANGE_LOOKED_AT: Look("eye", "ok"),
    A.STEP_REMINDED: Look("bell", "info"),
    A.STEP_ESCALATED: Look("alert", "warn"),
    A.DELEGATION_ENDED: Look("user-off", "mute"),
    A.LINK_EXPIRED: Look("clock", "mute"),
    A.LINK_FOREIGN: Look("alert", "warn"),
    A.CONSENT_CODE_FAILED: Look("alert", "warn"),
    A.CONSENT_CODE_PASSED: Look("shield-ok", "ok"),
    A.KEY_ISSUED: Look("key", "ok"),
    A.KEY_ACTIVATED: Look("ok", "ok"),
    A.KEY_SUSPENDED: Look("pause", "warn"),
    A.KEY_REACTIVATED: Look("ok", "ok"),
    A.KEY_CHANGED: Look("edit", "info"),
    A.KEY_GRANTED: Look("lock", "warn"),
    A.KEY_ROLLED_BACK: Look("undo", "warn"),
    A.KEY_REVOKED: Look("ban", "bad"),
    A.KEY_EXPIRED: Look("clock", "mute"),
    A.KEY_QUARANTINED: Look("shield", "warn"),
    A.KEY_QUARANTINE_ENDED: Look("shield-ok", "ok"),
    A.KEY_RETIREMENT_PLANNED: Look("calendar", "info"),
    A.KEY_RETIREMENT_MOVED: Look("calendar", "warn"),
    A.KEY_RETIREMENT_CALLED_OFF: Look("undo", "warn"),
    A.KEY_RETIRING: Look("sunset", "warn"),
    A.KEY_LIMITS_FELL: Look("gauge", "warn"),
    A.KEY_RETIRED: Look("sunset", "mute"),
    A.SECRET_REVEALED: Look("eye", "ok"),
    A.SECRET_REVOKED: Look("key-off", "bad"),
    A.DELIVERY_EXPIRED: Look("clock", "warn"),
    A.GATEWAY_CREDENTIAL_REVOKED: Look("key-off", "bad"),
    A.GATEWAY_DISABLED: Look("pause", "warn"),
    A.MESSAGE_FAILED: Look("mail-x", "bad"),
}


def look_of(action: str) -> Look:
    """The icon and tone of an action, also of one that an older version wrote and this one does not know."""
    try:
        known = A(action)
    except ValueError:
        return Look("info", "mute")
    return _LOOKS.get(known) or Look(kind_of(known).icon, "mute")


def kind_of(action: A) -> Kind:
    """What an action has in common with others."""
    return KINDS[action.value.partition(".")[0]]


def word_of(kind: str) -> str:
    """What an object of this kind is called; the kind itself where it has no word."""
    known = KINDS.get(kind)
    return str(known.word) if known and known.word else kind


def label_of(action: str) -> str:
    """An action in words for a list to choose from: its sentence with nobody and nothing named in it."""
    blanks = dict.fromkeys(("who", "what", "step", "recipient"), "…")
    return (str(SENTENCES[A(action)]) % blanks).rstrip(".。")


def actions_in(group: str) -> list[str]:
    """The names of a group's actions; none for an unknown group."""
    return [action.value for action in A if kind_of(action).group == group]
