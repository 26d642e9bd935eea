"""To whom mails go, and what their templates are filled with: staff and contacts alike (N2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise, lazy

from accounts.models import User
from core import wording
from notifications.models import Message
from notifications.registry import Mail, RecipientGoneError
from partners.models import Contact

Fact = tuple[str | Promise, Any]

# Worded when the mail is rendered: only then is it known in whose language.
when_text = lazy(wording.when_text, str)

date_text = lazy(wording.date_text, str)

money_text = lazy(wording.money_text, str)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail goes to: a member of staff, or a partner's contact, who has no account."""

    address: str
    name: str
    language: str
    is_staff: bool


def recipient_of(ref: str) -> Recipient:
    """The person behind `ST-0001` or `CO-0001`. Raises RecipientGoneError for people who left."""
    person: User | Contact | None
    if ref.startswith("ST-"):
        person = User.objects.filter(public_id=ref, is_active=True).first()
    else:
        person = Contact.objects.filter(public_id=ref, is_active=True).first()
    if person is None:
        raise RecipientGoneError
    return Recipient(person.email, person.name, person.language, is_staff=isinstance(person, User))


def mail_to(message: Message, context: Mapping[str, Any]) -> Mail:
    """The mail to the message's recipient. `is_staff` is added: only staff can open the portal."""
    person = recipient_of(message.recipient_ref)
    return Mail(person.address, person.name, person.language, {**context, "is_staff": person.is_staff})


def page_url(name: str, *args: str) -> str:
    """The whole address of a page of the portal, by its URL name."""
    return f"{settings.PORTAL_URL}{reverse(name, args=args)}"
