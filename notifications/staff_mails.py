"""The mails about a person's own account. `accounts` stands below the outbox, so its mails are built here."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from accounts.links import password_link as link_for
from accounts.models import User
from audit.actions import Action
from audit.models import Event
from core.wording import when_text
from notifications import registry
from notifications.models import Message
from notifications.registry import Mail

CHANGES = {
    Action.PASSWORD_CHANGED: _("The password of your account was changed."),
    Action.SECOND_FACTOR_ADDED: _("A second factor was added to your account."),
    Action.SECOND_FACTOR_REMOVED: _("A second factor was removed from your account."),
}


def staff_invited(message: Message) -> Mail | None:
    """The first link to set a password. Nobody needs it who has signed in or left meanwhile."""
    person = User.objects.filter(public_id=message.recipient_ref).first()
    return _mail(person) if person is not None and person.is_invited else None


def password_link(message: Message) -> Mail | None:
    """A link to set a new password, for someone who asked for it and is still here."""
    person = User.objects.filter(public_id=message.recipient_ref, is_active=True).first()
    return _mail(person) if person is not None else None


def account_secured(message: Message) -> Mail | None:
    """After "this was not me": what was done to the account; with a link where it lost its password (A7)."""
    person = User.objects.filter(public_id=message.recipient_ref, is_active=True).first()
    if person is None:
        return None
    if person.has_usable_password():
        return _mail(person, url=f"{settings.PORTAL_URL}{reverse('account_login')}")
    return _mail(person, lost_password=True)


def account_changed(message: Message) -> Mail | None:
    """Tells a person that how they sign in was changed. Can't be turned off."""
    person = User.objects.filter(public_id=message.recipient_ref, is_active=True).first()
    event = Event.objects.filter(uid=message.context["event"]).first()
    if person is None or event is None:
        return None
    with override(person.language):
        what = str(CHANGES[Action(event.action)])
        when = when_text(event.occurred_at)
    context = {"what": what, "when": when, "url": settings.PORTAL_URL + reverse("account_reset_password")}
    return Mail(address=person.email, name=person.name, language=person.language, context=context)


def register() -> None:
    """Called once, from `NotificationsConfig.ready`."""
    registry.register("accounts", staff_invited, password_link, account_secured, account_changed)


def _mail(person: User, **context: Any) -> Mail:
    days = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT).days
    return Mail(
        address=person.email,
        name=person.name,
        language=person.language,
        context={"url": link_for(person), "days": days} | context,
    )
