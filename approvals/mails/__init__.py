"""The mails about requests and their approvals: what each is filled with."""

from collections.abc import Callable

from approvals.mails import changes, consent, deputies, emergencies, policies, requests, steps
from approvals.services.lost_links import KINDS
from approvals.services.undeliverable import mark_undeliverable
from notifications import registry
from notifications.models import Message
from notifications.registry import Mail

BUILDERS: tuple[Callable[[Message], Mail | None], ...] = (
    steps.step_requested,
    steps.consent_requested,
    steps.step_reminder,
    steps.consent_reminder,
    steps.step_stuck,
    steps.step_escalated,
    consent.consent_code,
    consent.consent_receipt,
    requests.request_approved,
    requests.request_rejected,
    requests.request_changes_wanted,
    requests.request_paused,
    requests.request_sent_back,
    requests.request_expired,
    requests.request_withdrawn,
    changes.change_news,
    deputies.delegation_given,
    deputies.delegation_ended,
    deputies.standing_deputy_named,
    deputies.standing_deputy_ended,
    policies.policy_proposed,
    policies.policy_decided,
    emergencies.decision_receipt,
    emergencies.decision_disputed,
    emergencies.doubt_cleared,
    emergencies.withdrawal_code,
    emergencies.withdrawal_receipt,
    emergencies.consent_withdrawn,
    emergencies.emergency_issued,
    emergencies.emergency_late,
    emergencies.emergency_ended,
)


def register_mails() -> None:
    """Tell the outbox of these mails; each builder's name is its kind. From `AppConfig.ready`."""
    for builder in BUILDERS:
        registry.register(builder.__name__, builder)
    for kind in KINDS:
        registry.on_undeliverable(kind, mark_undeliverable)
