"""What each kind of mail is called on the page of notifications."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

KINDS: dict[str, str | Promise] = {
    "account_secured": _("Account secured after “This was not me”"),
    "account_changed": _("Change of how somebody signs in"),
    "change_news": _("Change of a key: what became of it"),
    "consent_code": _("Confirmation code for consent"),
    "consent_receipt": _("Receipt of a consent decision"),
    "consent_requested": _("Request for consent"),
    "consent_reminder": _("Reminder about a consent"),
    "delegation_ended": _("Delegation ended"),
    "delegation_given": _("Delegation to a deputy"),
    "consent_withdrawn": _("Consent withdrawn"),
    "decision_disputed": _("“This was not me”"),
    "decision_receipt": _("Receipt of a decision"),
    "delivery_expired": _("Key not collected in time"),
    "delivery_link": _("Link to collect a key"),
    "emergency_ended": _("Emergency key approved or revoked"),
    "emergency_issued": _("Key issued in an emergency"),
    "emergency_late": _("Emergency key not approved in time"),
    "doubt_cleared": _("Doubt about an answer cleared up"),
    "key_expired": _("Key expired"),
    "key_expiring": _("Key ends soon"),
    "key_limits_fell": _("Limits lowered before the end"),
    "key_retired": _("Key ended as planned"),
    "key_quarantined": _("Key in quarantine"),
    "key_quarantine_ended": _("Quarantine of a key ended"),
    "key_retiring": _("Key is retiring"),
    "key_used_after_end": _("Key used after its end"),
    "key_reactivated": _("Key reactivated"),
    "key_revealed": _("Key collected"),
    "key_revoked": _("Key revoked"),
    "key_suspended": _("Key suspended"),
    "mail_received": _("Acknowledgement of a mail"),
    "password_link": _("Link to set a password"),
    "request_approved": _("Request approved"),
    "request_changes_wanted": _("Request sent back for changes"),
    "request_paused": _("Request taken back to be edited"),
    "request_sent_back": _("Request sent back by security"),
    "request_expired": _("Request expired"),
    "request_rejected": _("Request rejected"),
    "request_withdrawn": _("Request withdrawn"),
    "rotation_due": _("Rotation due"),
    "workspace_granted": _("Key may act in another workspace"),
    "workspace_grant_ended": _("Key no longer acts in another workspace"),
    "staff_invited": _("Invitation to the portal"),
    "step_escalated": _("Step not answered in time"),
    "step_reminder": _("Reminder about an approval"),
    "step_requested": _("Request for approval"),
    "step_stuck": _("Step that nobody can decide"),
    "withdrawal_code": _("Confirmation code for a withdrawal"),
    "withdrawal_receipt": _("Receipt of a withdrawn consent"),
    "policy_proposed": _("Approval policy: a second person is wanted"),
    "policy_decided": _("Approval policy: answer of the second person"),
}


def kind_text(kind: str) -> str:
    """The kind in words; its name for one that has none here."""
    return str(KINDS.get(kind, kind))
