"""The page of one key (K5), and a new link for its recipient (K3)."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import require, signed_in
from accounts.models import User
from accounts.roles import Permission
from audit.selectors import timeline_of
from core.actors import actor_of
from core.errors import Conflict
from core.ids import ref
from keys.access import find_key
from keys.delivery.services.delivery import renew_delivery
from keys.life.forms import QuarantineEndForm, QuarantineForm
from keys.models import Key
from keys.registry.selectors.key_page import key_page
from keys.status.forms import ReactivateForm, RevokeForm, SuspendForm
from keys.terms.terms import last_day


@require_safe
@require(Permission.SEE_KEYS)
def key_detail(request: HttpRequest, number: str) -> HttpResponse:
    """One key, its state in words first, the danger zone last."""
    user = signed_in(request)
    return render_key(request, user, find_key(user, number))


@require_POST
@require(Permission.SEE_KEYS)
def redeliver(request: HttpRequest, number: str) -> HttpResponse:
    """Send the recipient a new link; the old one, and what it revealed, is worthless from now on."""
    user = signed_in(request)
    key = find_key(user, number)
    try:
        delivery = renew_delivery(actor=actor_of(request), by=user, key=key, now=timezone.now())
    except Conflict as conflict:
        return render_key(request, user, find_key(user, number), conflict=conflict)
    recipient = delivery.recipient
    messages.success(
        request,
        _("A new link is on its way to %(name)s (%(email)s).")
        % {"name": recipient.name, "email": recipient.email},
    )
    return redirect("keys:key-detail", number)


def render_key(
    request: HttpRequest, user: User, key: Key, *, conflict: Conflict | None = None
) -> HttpResponse:
    """The key's page as it stands now; with `conflict`, 409 and the sentence why nothing was done."""
    context: dict[str, Any] = {
        "it": key_page(user, key, now=timezone.now()),
        "key": key,
        "ends_on": last_day(key),
        "timeline": timeline_of(ref(key)),
        "conflict": conflict.message if conflict else "",
        "request_url": _url("approvals:request-detail", key.request_ref),
        "approvals_url": _url("approvals:key-approvals-panel", key.public_id) if key.request_ref else "",
        "changes_url": _url("approvals:key-changes-panel", key.public_id),
        "change_url": _change_url(user, key),
        "partner_url": _url("partners:partner-detail", key.partner.public_id),
        "new_request_url": _new_request_url(user, key),
        "replace_url": _replace_url(user, key),
        "quarantine_form": QuarantineForm(auto_id="quarantine_%s"),
        "quarantine_end_form": QuarantineEndForm(auto_id="quarantine_end_%s"),
        "suspend_form": SuspendForm(auto_id="suspend_%s"),
        "reactivate_form": ReactivateForm(auto_id="reactivate_%s"),
        "revoke_form": RevokeForm(auto_id="revoke_%s"),
    }
    return render(request, "keys/key_detail.html", context, status=409 if conflict else 200)


def _new_request_url(user: User, key: Key) -> str:
    """Where this person asks for another key once this one ended; `""` where that can't be."""
    if not (key.has_ended and key.partner.is_active and user.may(Permission.MAKE_REQUESTS)):
        return ""
    url = _url("approvals:request-new")
    return f"{url}?partner={key.partner.public_id}" if url else ""


def _replace_url(user: User, key: Key) -> str:
    """Where this person asks for the key that a retiring one is replaced by; `""` where that can't be."""
    if not (key.partner.is_active and user.may(Permission.MAKE_REQUESTS)):
        return ""
    return f"{_url('approvals:request-new')}?partner={key.partner.public_id}"


def _change_url(user: User, key: Key) -> str:
    """Where this person asks for other terms of this key; `""` where that can't be."""
    if key.has_ended or not key.partner.is_active or not user.may(Permission.MAKE_REQUESTS):
        return ""
    return _url("approvals:change-new", key.public_id)


def _url(name: str, *args: str) -> str:
    """A page of another app, by name only: an app above may not be imported, nor need it be there."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""
