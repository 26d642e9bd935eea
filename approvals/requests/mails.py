"""What became of a request: to its requester, and to those who need not answer any more (R5, A5, A6)."""

from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from approvals.models import Decision, Request, StepRole
from approvals.path.mails import about, find_request, request_facts, request_url
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, date_text, mail_to, page_url, when_text


def request_approved(message: Message) -> Mail | None:
    """To the requester: the key was issued and is on its way to its recipient."""
    request = find_request(message)
    key = request.key
    if key is None:
        return None
    facts: list[Fact] = [
        *request_facts(request),
        (_("Key"), key.public_id),
        (_("Recipient"), key.recipient.name),
    ]
    return mail_to(
        message,
        {
            **about(request),
            "facts": facts,
            "key": key.public_id,
            "recipient": key.recipient.name,
            "url": page_url("keys:key-detail", key.public_id),
        },
    )


def request_rejected(message: Message) -> Mail | None:
    """To the requester: at which step, and why."""
    request = find_request(message)
    decision = Decision.objects.select_related("step").get(uid=message.context["decision"])
    role = StepRole(decision.step.role).label
    facts: list[Fact] = [
        *request_facts(request),
        (_("Step"), role),
        (_("Rejected at"), when_text(decision.decided_at)),
        (_("Reason"), decision.reason),
    ]
    return mail_to(message, {**about(request), "facts": facts, "role": role, "url": request_url(request)})


def request_changes_wanted(message: Message) -> Mail | None:
    """To the requester: who wants what changed, and where the form is. Not once it was answered (A6)."""
    request = find_request(message)
    decision = Decision.objects.select_related("step", "staff", "contact").get(
        uid=message.context["decision"]
    )
    if request.state != Request.State.CHANGES_WANTED or decision.fallen_at is not None:
        return None
    role, person = StepRole(decision.step.role).label, decision.staff or decision.contact
    name = person.name if person else ""
    facts: list[Fact] = [
        *request_facts(request),
        (_("Wanted by"), format_lazy("{} ({})", name, role)),
        (_("Wanted at"), when_text(decision.decided_at)),
        (_("Wanted changes"), decision.reason),
    ]
    url = page_url("approvals:request-edit", request.public_id)
    return mail_to(message, {**about(request), "facts": facts, "role": role, "person": name, "url": url})


def request_paused(message: Message) -> Mail | None:
    """To those who were asked and had not answered: the requester is editing it, and asks again (R5)."""
    request = find_request(message)
    return mail_to(message, {**about(request), "facts": request_facts(request)})


def request_sent_back(message: Message) -> Mail | None:
    """To those who were asked when security found another answer void: they need not answer now (A7)."""
    request = find_request(message)
    return mail_to(message, {**about(request), "facts": request_facts(request)})


def request_expired(message: Message) -> Mail | None:
    """To the requester and those who were asked last: nobody decided in time, which is never a yes (A5)."""
    request = find_request(message)
    facts = request_facts(request)
    if request.submitted_at is not None:
        submitted = timezone.localtime(request.submitted_at).date()
        facts.append((_("Submitted on"), date_text(submitted)))
    was_sent_back = request.decisions.filter(outcome=Decision.Outcome.CHANGES, fallen_at=None).exists()
    is_requester = message.recipient_ref == request.requester.public_id
    context = {**about(request), "facts": facts, "url": request_url(request), "is_requester": is_requester}
    context["was_sent_back"] = was_sent_back
    return mail_to(message, context)


def request_withdrawn(message: Message) -> Mail | None:
    """To those who were asked and had not answered: they need not any more (R5)."""
    request = find_request(message)
    return mail_to(message, {**about(request), "facts": request_facts(request)})
