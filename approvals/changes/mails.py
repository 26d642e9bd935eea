"""The mails about a change of a key: what differs, and what became of it (R3)."""

from django.utils import translation
from django.utils.translation import gettext_lazy as _

from approvals.changes.selectors.changes import change_of, difference_of
from approvals.models import KeyChange, Request, Revision
from approvals.path.mails import about, find_request, request_url
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, recipient_of, when_text


def change_news(message: Message) -> Mail | None:
    """To requester, owner and recipient: what became of an approved change of a key (R3).

    Not sent where it is not true any more, for example a plan that was cancelled before the mail went out.
    """
    request, what = find_request(message), message.context["what"]
    change = change_of(request)
    if change is None or change.state != what:
        return None
    is_staff = message.recipient_ref.startswith("ST-")
    facts: list[Fact] = [
        (_("Key"), f"{change.key.public_id} {change.key.name}"),
        (_("Partner"), request.partner.name),
        *difference_facts(message, change, request.revisions.order_by("-number")[0]),
    ]
    if change.end_reason and is_staff:
        facts.append((_("Reason"), change.end_reason))
    at = change.not_before if what == "scheduled" else change.ended_at or change.applied_at
    return mail_to(
        message,
        {
            **about(request),
            "what": what,
            "key": change.key.public_id,
            "at": when_text(at) if at else "",
            "facts": facts,
            "url": request_url(request) if is_staff else "",
        },
    )


def change_facts(message: Message, request: Request, revision: Revision) -> list[Fact]:
    """What a change of a key is about, first of all; nothing for a new key (R3)."""
    change = change_of(request)
    if change is None:
        return []
    facts: list[Fact] = [(_("Key"), f"{change.key.public_id} {change.key.name}")]
    if change.reactivates:
        facts.append((_("Status"), _("Starts the suspended key again")))
    facts += difference_facts(message, change, revision)
    facts.append((_("Why it is to be changed"), change.why))
    if change.short_notice:
        facts.append((_("Why at short notice"), change.short_notice))
    if change.not_before:
        facts.append((_("Not before"), when_text(change.not_before)))
    return facts


def difference_facts(message: Message, change: KeyChange, revision: Revision) -> list[Fact]:
    """A line for each term that differs: what it is and what it is to be, in the reader's language."""
    with translation.override(recipient_of(message.recipient_ref).language):
        changes = difference_of(change, revision)
    return [(term.label, f"{_listed(term.old)} → {_listed(term.new)}") for term in changes]


def _listed(items: tuple[str, ...]) -> str:
    return ", ".join(items) or "—"
