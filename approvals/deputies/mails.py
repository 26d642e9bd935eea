"""The mails about delegations: what each is filled with (A5)."""

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.models import DelegableRole, Delegation
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, page_url, when_text


def delegation_given(message: Message) -> Mail | None:
    """To the deputy: for whom, for which role, from when until when."""
    return _about(message)


def delegation_ended(message: Message) -> Mail | None:
    """To giver and deputy, unless they ended it themselves: it is over."""
    return _about(message)


def standing_deputy_named(message: Message) -> Mail | None:
    """To the deputy, and to who named them: for whose steps, of which roles."""
    return _about_standing(message)


def standing_deputy_ended(message: Message) -> Mail | None:
    """To both: the deputy decides nothing in this place any more."""
    return _about_standing(message)


def _about_standing(message: Message) -> Mail | None:
    giver = User.objects.get(public_id=message.context["giver"])
    deputy = User.objects.get(public_id=message.context["deputy"])
    roles = [role.label for role in DelegableRole if giver.has_role(role)]
    return mail_to(
        message,
        {
            "giver": giver.name,
            "deputy": deputy.name,
            "is_deputy": message.recipient_ref == deputy.public_id,
            "deputy_left": not deputy.is_active,
            "facts": [
                (_("Named by"), giver.name),
                (_("Standing deputy"), deputy.name),
                *([(_("Roles"), ", ".join(str(role) for role in roles))] if roles else []),
            ],
            "url": page_url("approvals:delegation-list"),
        },
    )


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
