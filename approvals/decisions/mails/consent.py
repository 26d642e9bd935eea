"""To a rights-holder's contact, who has no account: the code, and the receipt of an answer (A3)."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals.decisions.selectors.receipts import not_me_link, receipt_url, withdraw_url
from approvals.models import ConsentCode, Decision, Step
from approvals.path.mails import about
from core.links import code_of
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, when_text

CONSENT_WORDS = {
    Decision.Outcome.APPROVE: _("You consented."),
    Decision.Outcome.CHANGES: _("You asked for changes."),
    Decision.Outcome.REJECT: _("You did not consent."),
}


def consent_code(message: Message) -> Mail | None:
    """To the contact: the eight digits (A3). Not sent once they are worthless."""
    code = ConsentCode.objects.select_related("link__step__request").get(uid=message.context["code"])
    if code.passed_at or code.expires_at <= timezone.now() or code.link.step.state != Step.State.OPEN:
        return None
    return mail_to(message, code_context(code))


def code_context(code: ConsentCode) -> dict[str, Any]:
    """What a mail with eight digits is filled with."""
    digits = code_of(bytes(code.nonce))
    request = code.link.step.request
    return {
        "number": request.public_id,
        "title": request.title,
        "code": f"{digits[:4]} {digits[4:]}",
        "code_ends": when_text(code.expires_at),
    }


def consent_receipt(message: Message) -> Mail | None:
    """To the contact: what was answered, when, on which terms, and where that can be checked."""
    decision = Decision.objects.select_related("request__partner", "request__requester").get(
        uid=message.context["decision"]
    )
    request, digest = decision.request, bytes(decision.digest).hex()
    facts: list[Fact] = [
        (_("Your answer"), CONSENT_WORDS[Decision.Outcome(decision.outcome)]),
        (_("Answered at"), when_text(decision.decided_at)),
        (_("Request"), request.public_id),
        (_("Partner"), request.partner.name),
        (_("Name"), decision.signed_name),
        (_("Capacity"), decision.signed_capacity),
    ]
    if decision.reason:
        facts.append((_("Reason"), decision.reason))
    facts.append((_("Digest of the terms"), digest[:16]))
    return mail_to(
        message,
        {
            **about(request),
            "facts": facts,
            "digest": digest,
            "url": receipt_url(decision),
            "withdraw_url": withdraw_url(decision),
            **not_me_link(decision, now=timezone.now()),
        },
    )
