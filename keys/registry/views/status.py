"""The danger zone: quarantine, suspend, reactivate, revoke (K6). Each is a dialog and a page of its own."""

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import require, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from core.errors import Conflict, Invalid
from keys.access import find_key
from keys.life.forms import QuarantineEndForm, QuarantineForm
from keys.life.services.quarantine import end_quarantine, quarantine_key
from keys.models import Key
from keys.registry.selectors.key_page import key_page
from keys.registry.views.detail import render_key
from keys.rights import lifecycle
from keys.status.forms import ReactivateForm, RevokeForm, SuspendForm
from keys.status.services import reactivate_key, revoke_key, suspend_key

GET_OR_POST = ["GET", "HEAD", "POST"]
Service = Callable[..., Key]


@require_http_methods(GET_OR_POST)
@require(Permission.SUSPEND_KEYS)
def suspend(request: HttpRequest, number: str) -> HttpResponse:
    """Stop a key for a while: a reason and one click."""
    said = _(
        "%(number)s is suspended. Its calls are refused from now on; you can start it again at any time."
    )
    return _act(request, number, SuspendForm, suspend_key, "keys/key_suspend.html", said, _runs)


@require_http_methods(GET_OR_POST)
@require(Permission.SUSPEND_KEYS)
def reactivate(request: HttpRequest, number: str) -> HttpResponse:
    """End a suspension."""
    said = _("%(number)s runs again.")
    return _act(
        request, number, ReactivateForm, reactivate_key, "keys/key_reactivate.html", said, _is_suspended
    )


@require_http_methods(GET_OR_POST)
@require(Permission.SUSPEND_KEYS)
def quarantine(request: HttpRequest, number: str) -> HttpResponse:
    """Narrow a key for some hours: a reason, an end, and what will be left."""
    said = _("%(number)s is in quarantine: it may only read, a tenth as often, from known addresses.")
    return _act(request, number, QuarantineForm, quarantine_key, "keys/key_quarantine.html", said, _runs)


@require_http_methods(GET_OR_POST)
@require(Permission.SUSPEND_KEYS)
def quarantine_end(request: HttpRequest, number: str) -> HttpResponse:
    """End a quarantine before its time."""
    said = _("The quarantine of %(number)s has ended.")
    return _act(
        request,
        number,
        QuarantineEndForm,
        end_quarantine,
        "keys/key_quarantine_end.html",
        said,
        _is_quarantined,
    )


@require_http_methods(GET_OR_POST)
@require(Permission.REVOKE_KEYS)
def revoke(request: HttpRequest, number: str) -> HttpResponse:
    """End a key for ever: reason, note, and its number typed by hand."""
    said = _("%(number)s is revoked. Its calls are refused from now on, for ever.")
    return _act(request, number, RevokeForm, revoke_key, "keys/key_revoke.html", said, _has_not_ended)


def _runs(key: Key) -> bool:
    return lifecycle.can(key, Key.Status.SUSPENDED)


def _is_suspended(key: Key) -> bool:
    return key.status == Key.Status.SUSPENDED


def _is_quarantined(key: Key) -> bool:
    return key.is_quarantined


def _has_not_ended(key: Key) -> bool:
    return lifecycle.can(key, Key.Status.REVOKED)


def _act(
    request: HttpRequest,
    number: str,
    form_class: type[forms.Form],
    service: Service,
    template: str,
    said: str,
    possible: Callable[[Key], bool],
) -> HttpResponse:
    """Show the form, or do it: 422 with the form's errors, 409 with the key as it stands now.

    Where it is not `possible` now there is no form to show: to the key's page.
    """
    user = signed_in(request)
    key = find_key(user, number)
    form = form_class(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            service(actor=actor_of(request), by=user, key=key, now=timezone.now(), **form.cleaned_data)
        except Invalid as invalid:
            form.add_error(invalid.field, str(invalid.message))
        except Conflict as conflict:
            return render_key(request, user, find_key(user, number), conflict=conflict)
        else:
            messages.success(request, said % {"number": number})
            return redirect("keys:key-detail", number)
    elif request.method != "POST" and not possible(key):
        # A link from an hour ago: the key's page says what it is now.
        messages.info(request, _("Nothing to do: here is what %(number)s is now.") % {"number": number})
        return redirect("keys:key-detail", number)
    context = {"form": form, "key": key, "it": key_page(user, key, now=timezone.now())}
    return render(request, template, context, status=422 if form.errors else 200)
