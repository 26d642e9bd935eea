"""What became of the question behind a mail link that does not work any more (A3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from approvals.access import visible_requests
from approvals.decisions.selectors.deciding import masked
from approvals.models import Decision, Request, StepLink
from notifications.models import Message


@dataclass(frozen=True, slots=True)
class Outcome:
    """For a link's own addressee: their answer, else what others answered on the step, oldest first."""

    request: Request
    own: Decision | None
    others: Sequence[Decision]


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a receipt went to the registered address; `address` is masked."""

    address: str
    sent_at: datetime


def outcome_for(reader: User | AnonymousUser, link: StepLink) -> Outcome | None:
    """The outcome, if the link was sent to the reader and the reader may see its request; else None."""
    if not isinstance(reader, User) or reader.pk != link.staff_id:
        return None
    request = (
        visible_requests(reader)
        .filter(pk=link.step.request_id)
        .select_related("requester", "partner", "key")
        .first()
    )
    if request is None:
        return None
    decisions = list(link.step.decisions.select_related("staff", "contact", "on_behalf_of").order_by("id"))
    own = next((decision for decision in decisions if decision.staff_id == reader.pk), None)
    return Outcome(request, own, [decision for decision in decisions if decision.pk != getattr(own, "pk", 0)])


def receipt_sent(link: StepLink) -> Receipt | None:
    """The receipt of a contact's answer by this link, once its mail has left.

    Whoever holds the link knows the masked address from its first page, and learns no more than a date.
    """
    if link.contact is None:
        return None
    decision = Decision.objects.filter(via_link=link).first()
    if decision is None:
        return None
    mail = Message.objects.filter(dedupe_key=f"consent_receipt:{decision.uid}", sent_at__isnull=False).first()
    return Receipt(masked(link.contact.email), mail.sent_at) if mail and mail.sent_at else None
