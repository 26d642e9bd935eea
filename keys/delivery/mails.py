"""The mails about the delivery of a key: one holds the link to collect it, none ever a key (K3)."""

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.links import token_of
from keys.delivery.services.delivery import PURPOSE
from keys.models import Delivery, Key
from keys.status.mails import find_key, key_facts, key_mail
from keys.terms.terms import last_day
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import date_text, mail_to, page_url, when_text


def delivery_link(message: Message) -> Mail | None:
    """To the recipient: the link that shows the key exactly once (K3)."""
    delivery = Delivery.objects.select_related("key__partner", "recipient").get(
        uid=message.context["delivery"]
    )
    if delivery.state != Delivery.State.WAITING or delivery.expires_at <= timezone.now():
        return None
    key = delivery.key
    expiry = (_("Last day of the key"), date_text(last_day(key)))
    ends = when_text(delivery.expires_at)
    return mail_to(
        message,
        {
            "key": key.public_id,
            "name": key.name,
            "partner": key.partner.name,
            "url": page_url("keys:delivery-collect", token_of(bytes(delivery.nonce), purpose=PURPOSE)),
            "link_ends": ends,
            "facts": key_facts(key, expiry),
        },
    )


def delivery_expired(message: Message) -> Mail | None:
    """To the owner: nobody collected the key."""
    key = find_key(message)
    return key_mail(message, key, (_("Status"), Key.Status(key.status).label))


def key_revealed(message: Message) -> Mail | None:
    """To the owner: the key was collected."""
    delivery = Delivery.objects.get(uid=message.context["delivery"])
    if delivery.revealed_at is None:
        return None
    return key_mail(message, find_key(message), collected=when_text(delivery.revealed_at))


BUILDERS = (delivery_link, delivery_expired, key_revealed)
