"""Other workspaces in which a key may act: who let it, until when (V2)."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import require, require_recent_second_factor, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from core.errors import Conflict, Invalid, NotFound
from keys.access import find_key
from keys.models import Key, WorkspaceGrant
from keys.workspaces.forms import EndGrantForm, GrantForm
from keys.workspaces.services.grants import grant_workspace, take_back_grant


@require_safe
@require(Permission.SEE_KEYS)
def grant_list(request: HttpRequest, number: str) -> HttpResponse:
    """All grants of a key, those that have ended, too."""
    return _page(request, find_key(signed_in(request), number))


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.GRANT_WORKSPACES)
@require_recent_second_factor
def grant_add(request: HttpRequest, number: str) -> HttpResponse:
    """Let the key act in another workspace."""
    key = find_key(signed_in(request), number)
    form = GrantForm(request.POST if request.method == "POST" else None, key=key)
    said = _("The key may act there from now on. PMs and owners are told.")
    done = _act(request, key, form, partial(grant_workspace, key=key), said)
    context = {"form": form, "key": key}
    return done or render(request, "keys/grant_form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.GRANT_WORKSPACES)
@require_recent_second_factor
def grant_end(request: HttpRequest, number: str, uid: UUID) -> HttpResponse:
    """Take a grant back."""
    key = find_key(signed_in(request), number)
    grant = key.grants.select_related("workspace").filter(uid=uid).first()
    if grant is None:
        raise NotFound(_("There is no such grant."))
    form = EndGrantForm(request.POST if request.method == "POST" else None)
    said = _("The key is refused there from now on. PMs and owners are told.")
    done = _act(request, key, form, partial(take_back_grant, grant=grant), said)
    context = {"form": form, "key": key, "grant": grant}
    return done or render(request, "keys/grant_end.html", context, status=422 if form.errors else 200)


def _act(
    request: HttpRequest, key: Key, form: forms.Form, service: Callable[..., WorkspaceGrant], said: str
) -> HttpResponse | None:
    """Do what the form says; None while there is a form to show, with its errors."""
    if not form.is_valid():
        return None
    try:
        service(actor=actor_of(request), by=signed_in(request), now=timezone.now(), **form.cleaned_data)
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return None
    except Conflict as conflict:
        return _page(request, key, conflict)
    messages.success(request, said)
    return redirect("keys:grant-list", key.public_id)


def _page(request: HttpRequest, key: Key, conflict: Conflict | None = None) -> HttpResponse:
    now = timezone.now()
    grants: list[WorkspaceGrant] = list(
        key.grants.select_related("workspace", "granted_by", "taken_back_by").order_by("-id")
    )
    context = {
        "key": key,
        "running": [grant for grant in grants if grant.is_in_force(now)],
        "over": [grant for grant in grants if not grant.is_in_force(now)],
        "conflict": conflict.message if conflict else None,
    }
    return render(request, "keys/grant_list.html", context, status=409 if conflict else 200)
