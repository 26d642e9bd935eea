"""The mails about a quarantine: it began, it ended (K6)."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from keys.status.mails import find_key, key_mail
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import when_text


def key_quarantined(message: Message) -> Mail | None:
    """To recipient and owner: the key may do less for a while. Why is told to staff only."""
    key = find_key(message)
    if key.quarantined_until is None or key.has_ended:
        return None
    is_staff = message.recipient_ref.startswith("ST-")
    why: list[tuple[Any, Any]] = [(_("Reason"), key.quarantine_reason)] if is_staff else []
    return key_mail(message, key, *why, until=when_text(key.quarantined_until))


def key_quarantine_ended(message: Message) -> Mail | None:
    """To recipient and owner: the key may do again what it might before. Not sent when it was begun anew."""
    key = find_key(message)
    if key.quarantined_until is not None or key.has_ended:
        return None
    return key_mail(message, key)


BUILDERS = (key_quarantined, key_quarantine_ended)
