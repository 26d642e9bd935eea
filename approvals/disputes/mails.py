"""The mails of receipts, doubts, emergencies and withdrawn consents (A7-A9)."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals.decisions.mails.consent import code_context
from approvals.decisions.selectors.receipts import receipt_url
from approvals.models import ConsentCode, ConsentWithdrawal, Decision, Doubt, Request, StepRole
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, page_url, when_text


def decision_disputed(message: Message) -> Mail | None:
    """To security, the COO and administrators: an answer is not its person's; the request is frozen."""
    doubt = _find_doubt(message)
    if doubt.verdict:
        return None
    return mail_to(message, {**_about(doubt.request), "facts": _doubt_facts(doubt), "url": _look_url(doubt)})


def doubt_cleared(message: Message) -> Mail | None:
    """To the requester and to whose answer was in doubt: what security found."""
    doubt = _find_doubt(message)
    facts = [
        *_doubt_facts(doubt),
        (_("What security found"), Doubt.Verdict(doubt.verdict).label),
        (_("Reason"), doubt.reason),
    ]
    url = page_url("approvals:request-detail", doubt.request.public_id)
    return mail_to(message, {**_about(doubt.request), "facts": facts, "url": url})


def _find_doubt(message: Message) -> Doubt:
    return Doubt.objects.select_related(
        "request__partner", "request__requester", "decision__step", "decision__staff", "decision__contact"
    ).get(pk=message.context["doubt"])


def _doubt_facts(doubt: Doubt) -> list[Fact]:
    decision = doubt.decision
    person = decision.staff or decision.contact
    assert person is not None  # approvals_decision_one_person
    return [
        (_("Request"), f"{doubt.request.public_id} {doubt.request.title}"),
        (_("Partner"), doubt.request.partner.name),
        (_("Step"), StepRole(decision.step.role).label),
        (_("Recorded as the answer of"), person.name),
        (_("Answer"), Decision.Outcome(decision.outcome).label),
        (_("Answered at"), when_text(decision.decided_at)),
        (_("Reported at"), when_text(doubt.raised_at)),
    ]


def _look_url(doubt: Doubt) -> str:
    return page_url("approvals:doubt-look", doubt.request.public_id)


def _about(request: Request) -> dict[str, Any]:
    return {"number": request.public_id, "title": request.title, "partner": request.partner.name}


def withdrawal_code(message: Message) -> Mail | None:
    """To the contact: the eight digits that withdraw a consent. Not sent once they are worthless."""
    code = ConsentCode.objects.select_related("link__step__request").get(uid=message.context["code"])
    if code.passed_at or code.expires_at <= timezone.now():
        return None
    return mail_to(message, code_context(code))


def withdrawal_receipt(message: Message) -> Mail | None:
    """To the contact: that the consent is withdrawn, since when, and where that can be checked."""
    withdrawal = _find_withdrawal(message)
    facts: list[Fact] = [
        *_withdrawal_facts(withdrawal),
        (_("Digest of the terms"), bytes(withdrawal.decision.digest).hex()[:16]),
    ]
    request = withdrawal.decision.request
    return mail_to(message, {**_about(request), "facts": facts, "url": receipt_url(withdrawal.decision)})


def consent_withdrawn(message: Message) -> Mail | None:
    """To security, administrators, requester and owner: what stood on the consent has stopped."""
    withdrawal = _find_withdrawal(message)
    request = withdrawal.decision.request
    facts = _withdrawal_facts(withdrawal)
    if request.key is not None:
        facts.append((_("Key"), request.key.public_id))
    url = page_url("approvals:request-detail", request.public_id)
    return mail_to(message, {**_about(request), "facts": facts, "url": url})


def _find_withdrawal(message: Message) -> ConsentWithdrawal:
    return ConsentWithdrawal.objects.select_related(
        "decision__request__partner", "decision__request__key", "decision__step"
    ).get(uid=message.context["withdrawal"])


def _withdrawal_facts(withdrawal: ConsentWithdrawal) -> list[Fact]:
    request = withdrawal.decision.request
    facts: list[Fact] = [
        (_("Request"), f"{request.public_id} {request.title}"),
        (_("Partner"), request.partner.name),
        (_("Withdrawn at"), when_text(withdrawal.withdrawn_at)),
        (_("Name"), withdrawal.signed_name),
        (_("Capacity"), withdrawal.signed_capacity),
    ]
    if withdrawal.reason:
        facts.append((_("Reason"), withdrawal.reason))
    return facts
