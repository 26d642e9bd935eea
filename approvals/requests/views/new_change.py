"""Asking for a change of a key (R3)."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.access import require, signed_in
from accounts.roles import Permission
from approvals.changes.services.changing import open_change_of
from approvals.changes.views import GET_OR_POST
from approvals.requests.services.change_drafts import ChangeIsOpen, start_change
from core.actors import actor_of
from keys.access import find_key


@require_http_methods(GET_OR_POST)
@require(Permission.MAKE_REQUESTS)
def change_new(request: HttpRequest, number: str) -> HttpResponse:
    """Begin a change of this key: a draft with its present terms. One open change for a key."""
    user = signed_in(request)
    key = find_key(user, number)
    context: dict[str, Any] = {"key": key, "open": open_change_of(key)}
    if request.method != "POST":
        return render(request, "approvals/change_new.html", context)
    try:
        draft = start_change(actor=actor_of(request), by=user, key=key, now=timezone.now())
    except ChangeIsOpen as conflict:
        context |= {"conflict": conflict.message, "open": open_change_of(key)}
        return render(request, "approvals/change_new.html", context, status=409)
    url = reverse("approvals:request-edit", args=[draft.public_id])
    return redirect(f"{url}#retirement" if request.POST.get("about") == "retirement" else url)
