"""The approvals page: the queue of open steps; beside it, how long steps took."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import require, signed_in
from accounts.roles import Permission
from approvals.decisions.selectors.numbers import step_numbers
from approvals.decisions.selectors.queue import list_steps, views_of
from approvals.models import StepRole

PERIODS = (30, 90, 365)


@require_safe
@require(Permission.SEE_REQUESTS)
def queue(request: HttpRequest) -> HttpResponse:
    """Mine, my team's, late, all: view, search and step in the address."""
    user, now = signed_in(request), timezone.now()
    views = views_of(user)
    view = request.GET.get("view", "")
    view = view if view in views else views[0]
    text, role = request.GET.get("q", "").strip(), request.GET.get("role", "")
    role = role if role in StepRole.values else ""
    cursor = request.GET.get("cursor", "")
    found = list_steps(user, view=view, text=text, role=role, cursor=cursor, now=now)
    context = {
        "found": found,
        "views": [(name, found.counts[name]) for name in views],
        "view": view,
        "text": text,
        "role": role,
        "role_label": StepRole(role).label if role else "",
        "roles": StepRole.choices,
    }
    return render(request, "approvals/queue.html", context)


@require_safe
@require(Permission.SEE_REQUESTS)
def numbers(request: HttpRequest) -> HttpResponse:
    """How long each role takes, and how much is late or sent back; the period in the address."""
    now = timezone.now()
    days = next((n for n in PERIODS if request.GET.get("days") == str(n)), PERIODS[0])
    context = {
        "numbers": step_numbers(since=now - timedelta(days=days), until=now, now=now),
        "days": days,
        "periods": PERIODS,
    }
    return render(request, "approvals/numbers.html", context)
