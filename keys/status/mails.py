"""The mails that tell whoever holds a key what has become of it (K6), and what all mails about keys say."""

from typing import Any

from django.db.models import QuerySet
from django.utils.functional import lazy
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from keys.models import ApiProduct, Environment, Key
from keys.terms.terms import last_day
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, date_text, mail_to, page_url, when_text


def product_names(products: QuerySet[ApiProduct]) -> str:
    """The names of API products in the reader's language, in a row."""
    rows = list(products)

    def text() -> str:
        english = not (get_language() or "").startswith("ja")
        return ", ".join((row.name_en if english else "") or row.name for row in rows)

    return lazy(text, str)()


def key_facts(key: Key, *more: Fact) -> list[Fact]:
    """The lines that tell which key a mail is about."""
    return [
        (_("Key"), f"{key.public_id} {key.name}"),
        (_("Partner"), key.partner.name),
        (_("API products"), product_names(key.products.all())),
        (_("Environment"), Environment(key.environment).label),
        *more,
    ]


def find_key(message: Message) -> Key:
    """The key that a mail is about, with its people."""
    return Key.objects.select_related("partner", "recipient", "owner", "replacement").get(
        public_id=message.context["key"]
    )


def key_mail(message: Message, key: Key, *facts: Fact, **context: Any) -> Mail:
    """A mail about a key, with a link to its page for staff."""
    is_staff = message.recipient_ref.startswith("ST-")
    return mail_to(
        message,
        {
            "key": key.public_id,
            "name": key.name,
            "partner": key.partner.name,
            "recipient": key.recipient.name,
            "url": page_url("keys:key-detail", key.public_id) if is_staff else "",
            "facts": key_facts(key, *facts),
            **context,
        },
    )


def key_revoked(message: Message) -> Mail | None:
    """To recipient and owner: the key has ended. The reason's category only, no notes (K6)."""
    key = find_key(message)
    if key.status != Key.Status.REVOKED or key.ended_at is None:
        return None
    reason = (_("Reason"), Key.RevokeReason(key.revoke_reason).label)
    return key_mail(message, key, reason, at=when_text(key.ended_at))


def key_suspended(message: Message) -> Mail | None:
    """To recipient and owner: the key is stopped for now. Not sent when it runs again or has ended."""
    key = find_key(message)
    if key.status != Key.Status.SUSPENDED or key.suspended_at is None:
        return None
    # Why it is held is ours to know: the partner hears that it is stopped.
    why = [(_("Reason"), hold) for hold in key.holds] if message.recipient_ref.startswith("ST-") else []
    return key_mail(message, key, *why, at=when_text(key.suspended_at))


def key_reactivated(message: Message) -> Mail | None:
    """To recipient and owner: the key works again. Not sent when it was stopped once more."""
    key = find_key(message)
    if key.status not in {Key.Status.ACTIVE, Key.Status.RETIRING, Key.Status.PENDING}:
        return None
    return key_mail(message, key, at=when_text(key.changed_at))


def key_expired(message: Message) -> Mail | None:
    """To recipient and owner: the key has reached its end."""
    key = find_key(message)
    if key.status != Key.Status.EXPIRED:
        return None
    return key_mail(message, key, last_day=date_text(last_day(key)))


BUILDERS = (key_revoked, key_suspended, key_reactivated, key_expired)
