"""Changes of keys: begin one, cancel it before its time, roll it back, look at what it did (R3)."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import require, require_recent_second_factor, signed_in
from accounts.roles import Permission
from approvals.access import find_request, visible_requests
from approvals.changes.forms import LookForm, ReasonForm
from approvals.changes.selectors.changes import before_and_after, changes_of, difference_of
from approvals.changes.services.after import may_look, note_look, roll_back_change, why_no_rollback
from approvals.changes.services.applying import cancel_change, may_cancel
from approvals.models import KeyChange, Request
from core.actors import actor_of
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from core.htmx import vary_on_htmx, wants_piece
from keys.access import find_key

GET_OR_POST = ["GET", "HEAD", "POST"]


@require_http_methods(GET_OR_POST)
@require(Permission.SEE_REQUESTS, Permission.MAKE_REQUESTS)
def change_cancel(request: HttpRequest, number: str) -> HttpResponse:
    """Take an approved change back before its time."""
    user, change = signed_in(request), _find_change(request, number)
    if not may_cancel(user, change):
        raise NotAllowed(_("Only the requester or security may cancel this change."))
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        reason, now = form.cleaned_data["reason"], timezone.now()
        cancel_change(actor=actor_of(request), by=user, request=change.request, reason=reason, now=now)
        messages.success(request, gettext("The change is cancelled. The key stays as it is."))
        return redirect("approvals:request-detail", number)
    return _page(request, change, form, "approvals/change_cancel.html")


@require_http_methods(GET_OR_POST)
@require(Permission.ROLL_BACK_CHANGES)
@require_recent_second_factor
def change_roll_back(request: HttpRequest, number: str) -> HttpResponse:
    """Give the key the settings from before its last change: a dangerous act, with a reason."""
    user, change = signed_in(request), _find_change(request, number)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        reason, now = form.cleaned_data["reason"], timezone.now()
        try:
            roll_back_change(actor=actor_of(request), by=user, request=change.request, reason=reason, now=now)
        except Invalid as invalid:
            form.add_error(invalid.field, str(invalid.message))
        except Conflict as conflict:
            return _page(
                request, change, form, "approvals/change_roll_back.html", refusal=conflict.message, status=409
            )
        else:
            text = gettext("Key %(number)s has the settings from before the change again.")
            messages.success(request, text % {"number": change.key.public_id})
            return redirect("keys:key-detail", change.key.public_id)
    refusal = why_no_rollback(user, change, now=timezone.now())
    said = refusal.message if refusal else ""
    return _page(request, change, form, "approvals/change_roll_back.html", refusal=said)


@require_http_methods(GET_OR_POST)
@require(Permission.SEE_KEYS)
def change_look(request: HttpRequest, number: str) -> HttpResponse:
    """The look that is asked for some days after a change: use before and after it, and a note."""
    user, change = signed_in(request), _find_change(request, number)
    if not may_look(user, change):
        raise NotAllowed(_("This look is asked of the requester and the key's owner."))
    form = LookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        note, now = form.cleaned_data["note"], timezone.now()
        note_look(actor=actor_of(request), by=user, request=change.request, note=note, now=now)
        messages.success(request, gettext("Thank you. What you saw is noted on the request."))
        return redirect("approvals:request-detail", number)
    return _page(request, change, form, "approvals/change_look.html")


@require_safe
@require(Permission.SEE_KEYS)
def key_changes(request: HttpRequest, number: str) -> HttpResponse:
    """The history of a key's changes, for its page."""
    user = signed_in(request)
    key = find_key(user, number)
    changes = changes_of(key)
    seen = set(visible_requests(user).filter(change__in=changes).values_list("pk", flat=True))
    context = {"key": key, "changes": changes, "seen": seen}
    if wants_piece(request):
        return vary_on_htmx(render(request, "approvals/partials/_key_changes.html", context))
    page = context | {"piece": "approvals/partials/_key_changes.html"}
    return vary_on_htmx(render(request, "approvals/panel_page.html", page))


# --- pieces ---------------------------------------------------------------------------------------------


def _find_change(request: HttpRequest, number: str) -> KeyChange:
    """The change of a request that the person may see, or of a key that is theirs. NotFound otherwise."""
    user = signed_in(request)
    changes = KeyChange.objects.select_related(
        "key__partner", "key__workspace", "request__requester", "request__partner", "ended_by", "looked_by"
    ).exclude(state=KeyChange.State.DRAFT)
    change = changes.filter(request__public_id=number).first()
    if change is None:
        raise NotFound(_("There is no such request."))
    if change.key.owner_id != user.pk:
        find_request(user, number)
    return change


def _page(
    request: HttpRequest,
    change: KeyChange,
    form: ReasonForm | LookForm,
    template: str,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    record: Request = change.request
    revision = record.revisions.order_by("-number")[0]
    context = {
        "record": record,
        "change": change,
        "key": change.key,
        "form": form,
        "changes": difference_of(change, revision),
        "use": before_and_after(change, now=timezone.now()),
        **more,
    }
    return render(request, template, context, status=422 if form.errors and status == 200 else status)
