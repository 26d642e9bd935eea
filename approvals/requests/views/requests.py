"""Requests: the lists, one request's page, withdrawing and copying it, and panels for other pages."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import require, signed_in
from accounts.roles import Permission
from approvals.access import find_request, require_requester, visible_requests
from approvals.changes.selectors.page import change_context
from approvals.changes.terms import describe_terms
from approvals.models import ConsentWithdrawal, Doubt, Request
from approvals.requests.selectors.path import path_of
from approvals.requests.selectors.requests import VIEWS, list_requests, requests_of_partner
from approvals.requests.selectors.revisions import asked_for, compare
from approvals.requests.selectors.story import story_of
from approvals.requests.services.requests import copy_request, withdraw_request
from approvals.requests.services.revising import pull_back
from core.actors import actor_of
from core.errors import Conflict
from core.htmx import vary_on_htmx, wants_piece
from keys.access import find_key
from keys.terms.terms import KeyTerms
from partners.access import find_partner


@require_safe
@require(Permission.SEE_REQUESTS, Permission.MAKE_REQUESTS)
def request_list(request: HttpRequest) -> HttpResponse:
    """What I asked for, what is in review, what has ended: views in the address.

    What waits for one's decision stands in the queue and nowhere else; its old address here leads there.
    """
    user = signed_in(request)
    view, text = request.GET.get("view", ""), request.GET.get("q", "").strip()
    if view == "waiting" and user.may(Permission.DECIDE):
        return redirect(f"{reverse('approvals:queue')}?{urlencode({'view': 'mine', 'q': text})}")
    if view not in VIEWS:
        only_makes = user.may(Permission.MAKE_REQUESTS) and not user.may(Permission.SEE_REQUESTS)
        view = "mine" if only_makes else "review"
    state = request.GET.get("state", "")
    state = state if state in Request.State.values else ""
    found = list_requests(user, view=view, text=text, state=state, cursor=request.GET.get("cursor", ""))
    context = {
        "found": found,
        "view": view,
        "text": text,
        "state": state,
        "state_label": Request.State(state).label if state else "",
        "states": Request.State.choices,
    }
    return render(request, "approvals/request_list.html", context)


@require_safe
@require(Permission.SEE_REQUESTS, Permission.MAKE_REQUESTS)
def request_detail(request: HttpRequest, number: str) -> HttpResponse:
    """One request: its state in words, its path, its terms, what happened."""
    record = find_request(signed_in(request), number)
    if record.state == Request.State.DRAFT:
        return redirect("approvals:request-edit", number=number)
    return _detail_page(request, record)


def _detail_page(
    request: HttpRequest, record: Request, *, status: int = 200, conflict: object = ""
) -> HttpResponse:
    user = signed_in(request)
    revisions = list(record.revisions.all())
    revision = revisions[-1] if revisions else None
    path = path_of(record, user)
    context = {
        "record": record,
        "revision": revision,
        "sections": describe_terms(KeyTerms.from_json(revision.terms)) if revision else [],
        "digest": bytes(revision.digest).hex() if revision else "",
        "path": path,
        "current": next((line for line in path if line.step.state == "open"), None),
        "is_mine": record.requester == user,
        "story": story_of(record, reader=user),
        "conflict": conflict,
        **change_context(user, record, revision, now=timezone.now()),
        "revisions": revisions,
        "comparison": compare(revisions, request.GET.get("old", ""), request.GET.get("new", "")),
        "asked_for": asked_for(record),
        "withdrawn": ConsentWithdrawal.objects.filter(decision__request=record).first(),
        "voided": record.doubts.exclude(verdict__in=["", Doubt.Verdict.STANDS])
        .filter(decision__fallen_at=None)
        .last(),
    }
    return render(request, "approvals/request_detail.html", context, status=status)


@require_http_methods(["GET", "POST"])
@require(Permission.MAKE_REQUESTS)
def request_withdraw(request: HttpRequest, number: str) -> HttpResponse:
    """Take one's own request back, after a question."""
    user = signed_in(request)
    record = find_request(user, number)
    require_requester(user, record)
    if request.method != "POST":
        return render(request, "approvals/request_withdraw.html", {"record": record})
    try:
        withdraw_request(
            actor=actor_of(request),
            by=user,
            request=record,
            version=_version(request),
            now=timezone.now(),
        )
    except Conflict as conflict:
        record = find_request(user, number)
        if record.state == Request.State.DRAFT:
            raise
        return _detail_page(request, record, status=409, conflict=conflict.message)
    messages.success(request, gettext("%(number)s is withdrawn.") % {"number": number})
    return redirect("approvals:request-list")


@require_POST
@require(Permission.MAKE_REQUESTS)
def request_pull_back(request: HttpRequest, number: str) -> HttpResponse:
    """Take one's own request out of review to edit it."""
    user = signed_in(request)
    record = find_request(user, number)
    try:
        pull_back(
            actor=actor_of(request), by=user, request=record, version=_version(request), now=timezone.now()
        )
    except Conflict as conflict:
        return _detail_page(request, find_request(user, number), status=409, conflict=conflict.message)
    messages.success(request, gettext("The request is back with you. Nobody is asked until you submit it."))
    return redirect("approvals:request-edit", number=number)


@require_POST
@require(Permission.MAKE_REQUESTS)
def request_copy(request: HttpRequest, number: str) -> HttpResponse:
    """A new draft with the terms of a request that has ended."""
    user = signed_in(request)
    copy = copy_request(
        actor=actor_of(request), by=user, request=find_request(user, number), now=timezone.now()
    )
    messages.success(request, gettext("This is a new draft with the same terms. Check the dates."))
    return redirect("approvals:request-edit", number=copy.public_id)


def _version(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


# --- panels of other pages ---------------------------------------------------------------------------------


@require_safe
@require(Permission.SEE_KEYS)
def key_approvals(request: HttpRequest, number: str) -> HttpResponse:
    """The decisions that made a key, for its page (K5)."""
    user = signed_in(request)
    key = find_key(user, number)
    record = visible_requests(user).filter(key=key).select_related("requester", "partner").first()
    context: dict[str, Any] = {"key": key, "record": record, "path": path_of(record, user) if record else []}
    return _panel(request, "approvals/partials/_key_approvals.html", context)


@require_safe
@require(Permission.SEE_REQUESTS, Permission.MAKE_REQUESTS)
def partner_requests(request: HttpRequest, number: str) -> HttpResponse:
    """The latest requests of a partner, for its page."""
    user = signed_in(request)
    partner = find_partner(user, number)
    context: dict[str, Any] = {"partner": partner, "rows": requests_of_partner(user, partner.pk)}
    return _panel(request, "approvals/partials/_partner_requests.html", context)


def _panel(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A piece for htmx; without JavaScript the link behind it shows the same on a page of its own."""
    if wants_piece(request):
        return vary_on_htmx(render(request, template, context))
    return vary_on_htmx(render(request, "approvals/panel_page.html", context | {"piece": template}))
