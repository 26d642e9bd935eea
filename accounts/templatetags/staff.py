"""What pages ask about the signed-in person: `{% load staff %}`."""

from typing import TYPE_CHECKING

from django import template
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.template.context import Context
from django.utils.safestring import SafeString
from django.utils.translation import get_language_info

from accounts.navigation import Link, links_for
from accounts.roles import Permission, Role

if TYPE_CHECKING:
    from accounts.models import User

register = template.Library()


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> list[Link]:
    """The links of the navigation: `{% navigation as links %}`. None for someone who is not signed in."""
    request: HttpRequest | None = context.get("request")
    if request is None or not request.user.is_authenticated:
        return []
    return links_for(request.user, request)


@register.filter
def may(user: "User | AnonymousUser", permission: str) -> bool:
    """`{% if user|may:"revoke_keys" %}`: shows or hides; the view behind checks again."""
    return not isinstance(user, AnonymousUser) and user.may(Permission(permission))


@register.filter
def role_text(role: str) -> str:
    """A role's name."""
    return str(Role(role).label)


@register.filter
def language_name(code: str) -> SafeString | str:
    """A language by its own name: `日本語`, `English`."""
    return str(get_language_info(code)["name_local"])
