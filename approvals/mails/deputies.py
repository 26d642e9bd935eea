"""The mails about delegations: what each is filled with (A5)."""

from django.utils.translation import gettext_lazy as _

from approvals.models import Delegation
from keys.mails import Fact, mail_to, page_url, when_text
from notifications.models import Message
from notifications.registry import Mail


def delegation_given(message: Message) -> Mail | None:
    """To the deputy: for whom, for which role, from when until when."""
    return _about(message)


def delegation_ended(message: Message) -> Mail | None:
    """To giver and deputy, unless they ended it themselves: it is over."""
    return _about(message)


def _about(message: Message) -> Mail | None:
    delegation = Delegation.objects.select_related("giver", "deputy").get(
        public_id=message.context["delegation"]
    )
    facts: list[Fact] = [
        (_("Away"), delegation.giver.name),
        (_("Deputy"), delegation.deputy.name),
        (_("Role"), delegation.get_role_display()),
        (_("From"), when_text(delegation.starts_at)),
        (_("Until"), when_text(delegation.last_moment)),
    ]
    if delegation.note:
        facts.append((_("Remark"), delegation.note))
    return mail_to(
        message,
        {
            "giver": delegation.giver.name,
            "deputy": delegation.deputy.name,
            "role": delegation.get_role_display(),
            "facts": facts,
            "url": page_url("approvals:delegation-list"),
        },
    )
