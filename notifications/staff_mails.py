"""The mails about a person's own account. `accounts` stands below the outbox, so its mails are built here."""

from datetime import timedelta

from django.conf import settings

from accounts.links import password_link as link_for
from accounts.models import User
from notifications import registry
from notifications.models import Message
from notifications.registry import Mail


def staff_invited(message: Message) -> Mail | None:
    """The first link to set a password. Nobody needs it who has signed in or left meanwhile."""
    person = User.objects.filter(public_id=message.recipient_ref).first()
    return _mail(person) if person is not None and person.is_invited else None


def password_link(message: Message) -> Mail | None:
    """A link to set a new password, for someone who asked for it and is still here."""
    person = User.objects.filter(public_id=message.recipient_ref, is_active=True).first()
    return _mail(person) if person is not None else None


def register() -> None:
    """Called once, from `NotificationsConfig.ready`."""
    registry.register("staff_invited", staff_invited)
    registry.register("password_link", password_link)


def _mail(person: User) -> Mail:
    days = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT).days
    return Mail(
        address=person.email,
        name=person.name,
        language=person.language,
        context={"url": link_for(person), "days": days},
    )
