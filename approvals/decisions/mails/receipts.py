"""To whoever decided: a receipt, with a link that says "this was not me" (A7)."""

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals.decisions.selectors.receipts import not_me_link
from approvals.models import Decision, StepRole
from audit.models import Event
from audit.services import read_where
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, when_text


def decision_receipt(message: Message) -> Mail | None:
    """To a member of staff: what they answered, on what, when and from where, or somebody in their name."""
    decision = Decision.objects.select_related("request__partner", "step", "receipt").get(
        uid=message.context["decision"]
    )
    event = Event.objects.filter(uid=decision.receipt.event).first()
    address = read_where(event).get("ip", "") if event else ""
    by_link = decision.via_link_id is not None
    facts: list[Fact] = [
        (_("Request"), f"{decision.request.public_id} {decision.request.title}"),
        (_("Partner"), decision.request.partner.name),
        (_("Step"), StepRole(decision.step.role).label),
        (_("Your answer"), Decision.Outcome(decision.outcome).label),
        (_("Answered at"), when_text(decision.decided_at)),
        (_("By way of"), _("the link in the mail") if by_link else _("the portal")),
    ]
    if address:
        facts.append((_("From the address"), address))
    if decision.reason:
        facts.append((_("Reason"), decision.reason))
    facts.append((_("Digest of the terms"), bytes(decision.digest).hex()[:16]))
    return mail_to(
        message,
        {
            "number": decision.request.public_id,
            "title": decision.request.title,
            "facts": facts,
            "digest": bytes(decision.digest).hex(),
            **not_me_link(decision, now=timezone.now()),
        },
    )
