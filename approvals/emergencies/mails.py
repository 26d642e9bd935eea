"""The mails of keys that were issued in an emergency (A8)."""

from django.utils.translation import gettext_lazy as _

from approvals.models import Emergency, Request
from approvals.path.mails import about
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, page_url, when_text


def emergency_issued(message: Message) -> Mail | None:
    """To PMs, legal, the COO, security and administrators: a key was issued before its approvals (A8)."""
    return _emergency_mail(message)


def emergency_late(message: Message) -> Mail | None:
    """To the same and the requester: the approvals were not complete in time, the key is suspended."""
    return _emergency_mail(message)


def emergency_ended(message: Message) -> Mail | None:
    """To the same: the key is an ordinary one from now on, or it was revoked."""
    return _emergency_mail(message)


def _emergency_mail(message: Message) -> Mail | None:
    request = Request.objects.select_related("partner", "requester", "key", "emergency").get(
        public_id=message.context["request"]
    )
    emergency = request.emergency
    assert request.key is not None  # approvals_request_key_iff_approved
    facts: list[Fact] = [
        (_("Request"), f"{request.public_id} {request.title}"),
        (_("Partner"), request.partner.name),
        (_("Key"), request.key.public_id),
        (_("Issued by"), request.requester.name),
        (_("Issued at"), when_text(emergency.broken_at)),
        (_("What the emergency is"), emergency.reason),
    ]
    if emergency.incident:
        facts.append((_("Incident"), emergency.incident))
    facts.append((_("Approvals wanted by"), when_text(emergency.due_at)))
    return mail_to(
        message,
        {
            **about(request),
            "facts": facts,
            "key": request.key.public_id,
            "completed": emergency.state == Emergency.State.COMPLETED,
            "url": page_url("approvals:request-detail", request.public_id),
        },
    )
