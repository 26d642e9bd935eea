"""The mails about requests and their approvals: what each is filled with."""

from approvals.changes import mails as changes
from approvals.decisions.mails import consent, receipts, steps
from approvals.deputies import mails as deputies
from approvals.disputes import mails as emergencies
from approvals.emergencies import mails as break_glass
from approvals.path.services.lost_links import KINDS
from approvals.path.services.undeliverable import mark_undeliverable
from approvals.policies import mails as policies
from approvals.requests import mails as requests
from notifications import registry
from notifications.registry import Builder

# By the folder of their templates.
BUILDERS: dict[str, tuple[Builder, ...]] = {
    "approvals/requests": (
        requests.request_approved,
        requests.request_rejected,
        requests.request_changes_wanted,
        requests.request_paused,
        requests.request_sent_back,
        requests.request_expired,
        requests.request_withdrawn,
    ),
    "approvals/decisions": (
        steps.step_requested,
        steps.consent_requested,
        steps.step_reminder,
        steps.consent_reminder,
        steps.step_stuck,
        steps.step_escalated,
        consent.consent_code,
        consent.consent_receipt,
        receipts.decision_receipt,
    ),
    "approvals/disputes": (
        emergencies.decision_disputed,
        emergencies.doubt_cleared,
        emergencies.withdrawal_code,
        emergencies.withdrawal_receipt,
        emergencies.consent_withdrawn,
    ),
    "approvals/emergencies": (
        break_glass.emergency_issued,
        break_glass.emergency_late,
        break_glass.emergency_ended,
    ),
    "approvals/changes": (changes.change_news,),
    "approvals/deputies": (
        deputies.delegation_given,
        deputies.delegation_ended,
        deputies.standing_deputy_named,
        deputies.standing_deputy_ended,
    ),
    "approvals/policies": (policies.policy_proposed, policies.policy_decided),
}


def register_mails() -> None:
    """Tell the outbox of these mails. From `AppConfig.ready`."""
    for folder, builders in BUILDERS.items():
        registry.register(folder, *builders)
    for kind in KINDS:
        registry.on_undeliverable(kind, mark_undeliverable)
