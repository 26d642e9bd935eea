"""Words of the catalogue in the reader's language, and masked keys: `{% load keys %}`."""

from datetime import date, datetime, timedelta

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString

from keys.catalogue import selectors as catalogue
from keys.models import Key
from keys.terms.terms import office_day

register = template.Library()


register.filter(catalogue.local_name)


@register.simple_tag
def masked(key: Key, hint: str) -> SafeString | str:
    """`kb_live_…9f3a`: what may be shown of a key."""
    if not hint:
        return ""
    return format_html("<code>{}_{}_…{}</code>", settings.KEY_BRAND, key.environment, hint)


@register.filter
def last_day_of(end: datetime) -> date:
    """The day, in Japan, with whose end something ends."""
    return office_day(end - timedelta(seconds=1))


@register.filter
def per(count: int) -> str:
    """A limit as a number; 0 is none."""
    return f"{count:,}" if count else "—"
