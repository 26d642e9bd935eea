"""Words of the catalogue in the reader's language, and masked keys: `{% load keys %}`."""

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.wording import is_japanese
from keys.models import ApiProduct, Key, Scope

register = template.Library()


@register.filter
def local_name(thing: ApiProduct | Scope) -> str:
    """The name of an API product or a scope in the reader's language."""
    return thing.name if is_japanese() else thing.name_en or thing.name


@register.simple_tag
def masked(key: Key, hint: str) -> SafeString | str:
    """`kb_live_…9f3a`: what may be shown of a key."""
    if not hint:
        return ""
    return format_html("<code>{}_{}_…{}</code>", settings.KEY_BRAND, key.environment, hint)


@register.filter
def per(count: int) -> str:
    """A limit as a number; 0 is none."""
    return f"{count:,}" if count else "—"
