"""Break-glass: security issues the key of a draft at once (A8)."""

from datetime import date

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from accounts.access import require, require_recent_second_factor, second_factor_at, signed_in
from accounts.roles import Permission
from approvals.access import find_request, require_requester
from approvals.changes.terms import describe_terms
from approvals.emergencies.forms import BreakGlassForm
from approvals.emergencies.services import ONLY_ADMIN_SCOPES, break_glass, capped
from approvals.models import Request
from approvals.requests.views.drafts import judged_form
from core.actors import actor_of
from core.errors import Conflict, Invalid
from keys.terms.checks import Registry
from keys.terms.terms import KeyTerms


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.BREAK_GLASS)
@require_recent_second_factor
def emergency_issue(request: HttpRequest, number: str) -> HttpResponse:
    """What would be issued, and why; POST issues it. A draft that could not be submitted goes back first."""
    user = signed_in(request)
    draft = find_request(user, number)
    require_requester(user, draft)
    if draft.state != Request.State.DRAFT or draft.kind != Request.Kind.NEW_KEY:
        return redirect("approvals:request-detail", number)
    judged = judged_form(draft)
    if not judged.is_valid():
        messages.warning(request, gettext("Something is still missing: fill in what is marked first."))
        return redirect(f"{reverse('approvals:request-edit', args=[number])}?check=1")
    form = BreakGlassForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        now = timezone.now()
        try:
            break_glass(
                actor=actor_of(request),
                by=user,
                request=draft,
                version=draft.version,
                terms=judged.terms,
                draft=draft.draft,
                second_factor_at=second_factor_at(request),
                now=now,
                **form.cleaned_data,
            )
        except Invalid as invalid:
            form.add_error(invalid.field if invalid.field in form.fields else None, str(invalid.message))
        except Conflict as conflict:
            messages.warning(request, str(conflict.message))
            return redirect("approvals:request-edit", number)
        else:
            messages.success(
                request,
                gettext("The key is issued; its recipient gets the link. The approvals have begun."),
            )
            return redirect("approvals:request-detail", number)
    return _page(request, draft, judged.terms, form)


def _page(request: HttpRequest, draft: Request, terms: KeyTerms, form: BreakGlassForm) -> HttpResponse:
    plan = Registry.read(terms).plan
    assert plan is not None  # the draft is whole
    small = capped(terms, plan, now=timezone.now())
    if not small.scopes:
        messages.warning(request, str(ONLY_ADMIN_SCOPES))
        return redirect("approvals:request-edit", draft.public_id)
    context = {
        "record": draft,
        "form": form,
        "sections": describe_terms(terms),
        "terms": terms,
        "small": small,
        "small_end": date.fromisoformat(small.expires_on),
        "full_end": date.fromisoformat(terms.expires_on),
        "hours": int(_hours()),
    }
    return render(request, "approvals/break_glass.html", context, status=422 if form.errors else 200)


def _hours() -> float:
    return settings.EMERGENCY_LIFETIME.total_seconds() / 3600
