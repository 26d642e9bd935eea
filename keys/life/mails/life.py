"""The mails about days to come: a key ends, a rotation is due (K7, K8)."""

from datetime import date, datetime

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from keys.status.mails import find_key, key_mail
from keys.terms.terms import last_day, office_day
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import date_text


def key_expiring(message: Message) -> Mail | None:
    """To recipient and owner: the key will end. `days` are counted now, not when the mail was put in."""
    key = find_key(message)
    days = _days_until(last_day(key), timezone.now())
    if key.has_ended or days < 0:
        return None
    return key_mail(message, key, last_day=date_text(last_day(key)), days=days)


def rotation_due(message: Message) -> Mail | None:
    """To recipient and owner: the secret is to be replaced, soon or since long (K7)."""
    key = find_key(message)
    if key.has_ended or key.rotation_due_on is None:
        return None
    days = _days_until(key.rotation_due_on, timezone.now())
    return key_mail(
        message,
        key,
        (_("Replace by"), date_text(key.rotation_due_on)),
        due=date_text(key.rotation_due_on),
        days=days,
        days_late=max(-days, 0),
    )


def _days_until(day: date, now: datetime) -> int:
    return (day - office_day(now)).days


BUILDERS = (key_expiring, rotation_due)
