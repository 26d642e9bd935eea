"""What several mails about requests say alike: which request, whose, and where it is."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from approvals.models import Request
from notifications.models import Message
from partners.mails import Fact, page_url


def find_request(message: Message) -> Request:
    """The request that a message names, with what these mails say of it."""
    return Request.objects.select_related("partner", "requester", "key__recipient").get(
        public_id=message.context["request"]
    )


def about(request: Request) -> dict[str, Any]:
    """What subject and first lines name: number, title, partner and requester."""
    return {
        "number": request.public_id,
        "title": request.title,
        "partner": request.partner.name,
        "requester": request.requester.name,
    }


def request_facts(request: Request) -> list[Fact]:
    """The lines that tell which request a mail is about."""
    return [
        (_("Request"), f"{request.public_id} {request.title}"),
        (_("Partner"), request.partner.name),
        (_("Requested by"), request.requester.name),
    ]


def request_url(request: Request) -> str:
    """The request's page, for staff."""
    return page_url("approvals:request-detail", request.public_id)
