"""Staff decide a step: by the link of their mail, once signed in, or from inside the portal (A3, A4, A10)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import (
    ask_second_factor,
    has_recent_second_factor,
    require,
    second_factor_at,
    sign_in_first,
    signed_in,
)
from accounts.models import User
from accounts.roles import Permission
from accounts.second_factor import SecondFactorNeeded
from approvals.access import find_request
from approvals.decisions.forms import DecisionForm
from approvals.decisions.selectors.consequences import consequences_of
from approvals.decisions.selectors.deciding import decision_page, open_step_of
from approvals.decisions.selectors.queue import place_in_queue
from approvals.decisions.services.answers import wants_second_factor
from approvals.decisions.services.deciding import decide_as_staff
from approvals.decisions.services.links import find_link, note_foreign, note_opening, renew_link, state_of
from approvals.decisions.views.mail_pages import dead_link, speak_as, wanted_answer
from approvals.models import Decision, Request, Step, StepLink
from approvals.path.access import require_may_decide, why_may_not_decide
from approvals.path.services.undeliverable import ask_again
from approvals.requests.selectors.path import path_of
from approvals.requests.selectors.warnings import find_warnings
from approvals.wording import FROZEN
from core.actors import actor_of
from core.errors import Conflict, Invalid, NotFound
from core.private import private
from keys.terms.checks import Registry
from keys.terms.terms import KeyTerms

METHODS = ["GET", "HEAD", "POST"]
KEPT_ANSWER = "approvals.answer"


@private
@require_http_methods(METHODS)
def link_decide(request: HttpRequest, token: str) -> HttpResponse:
    """Where a mail's Approve and Reject lead. The link only finds the step: its holder signs in to decide."""
    now = timezone.now()
    link = _find_staff_link(token)
    if link is None:
        return dead_link(request, "unknown", status=404)
    if request.method != "POST":
        note_opening(link, user_agent=request.headers.get("User-Agent", ""), now=now)
    if not request.user.is_authenticated:
        speak_as(request, link.recipient.language)
    state = state_of(link, now=now)
    is_holder = request.user.is_authenticated and request.user.pk == link.staff_id
    if request.user.is_authenticated and not is_holder:
        note_foreign(actor=actor_of(request), link=link, now=now)
    if state != "open" and not (is_holder and request.method == "POST"):
        renew_url = reverse("approvals:link-renew", args=[token])
        return dead_link(request, state, link=link, renew_url=renew_url)
    if not request.user.is_authenticated:
        return _sign_in_first(request)
    if not is_holder:
        return dead_link(request, "foreign", status=403)
    return _decide(request, signed_in(request), link.step, link, now)


@private
@require_POST
def link_renew(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for a new link to the address of the old one. The answer never tells whether one was sent."""
    renew_link(actor=actor_of(request), token=token, now=timezone.now())
    return render(request, "approvals/link_renewed.html")


@private
@require(Permission.DECIDE)
@require_http_methods(METHODS)
def step_decide(request: HttpRequest, number: str) -> HttpResponse:
    """The same page from inside the portal, for the step of a request that waits now."""
    user = signed_in(request)
    found = find_request(user, number)
    step = open_step_of(found)
    if step is None:
        return _over(request, user, found)
    return _decide(request, user, step, None, timezone.now())


@private
@require()
@require_safe
def step_decided(request: HttpRequest, uid: UUID) -> HttpResponse:
    """What the person decided, and what happens next. Nobody else's decision is shown here."""
    user = signed_in(request)
    decision = (
        Decision.objects.select_related(
            "step__request__partner", "step__request__requester", "step__request__key__recipient"
        )
        .filter(uid=uid, staff=user)
        .first()
    )
    if decision is None:
        raise NotFound(_("There is no such decision."))
    asked = decision.step.request
    context = {
        "decision": decision,
        "asked": asked,
        "path": path_of(asked, user),
        "next": open_step_of(asked),
        "place": place_in_queue(user, decision.step),
    }
    return render(request, "approvals/decided.html", context)


@require(Permission.EDIT_PARTNERS)
@require_POST
def step_ask_again(request: HttpRequest, number: str) -> HttpResponse:
    """Send the mail that came back once more, after its address was mended."""
    found = find_request(signed_in(request), number)
    links = ask_again(actor=actor_of(request), request=found, now=timezone.now())
    names = ", ".join(link.recipient.name for link in links)
    messages.success(request, gettext("A new mail is on its way to %(names)s.") % {"names": names})
    return redirect("approvals:request-detail", number)


def _find_staff_link(token: str) -> StepLink | None:
    try:
        link = find_link(token)
    except NotFound:
        return None
    return link if link.staff_id is not None else None


def _sign_in_first(request: HttpRequest) -> HttpResponse:
    answer = wanted_answer(request)
    return sign_in_first(request, f"{request.path}?answer={answer}" if answer else request.path)


def _decide(
    request: HttpRequest, user: User, step: Step, link: StepLink | None, now: datetime
) -> HttpResponse:
    if step.request.frozen_at is not None:
        return _over(request, user, step.request, FROZEN)
    if step.state != Step.State.OPEN:
        return _over(request, user, step.request)
    if user.pk in step.decisions.values_list("staff_id", flat=True):
        return _over(request, user, step.request)
    require_may_decide(user, step)
    if request.method != "POST":
        kept = _kept_answer(request, step)
        chosen = {"answer": wanted_answer(request) or kept.get("answer", "")}
        return _page(request, step, DecisionForm(step, initial=kept | chosen), now, came_back=bool(kept))
    form = DecisionForm(step, request.POST)
    if not form.is_valid():
        return _page(request, step, form, now, status=422)
    try:
        decision = decide_as_staff(
            actor=actor_of(request),
            by=user,
            step=step,
            answer=form.to_answer(),
            second_factor_at=second_factor_at(request),
            link=link,
            now=now,
        )
    except SecondFactorNeeded:
        # What was typed waits in the session of the person who typed it.
        typed = {name: form.cleaned_data.get(name) for name in ("answer", "reason", "checklist")}
        request.session[KEPT_ANSWER] = typed | {"step": step.pk}
        row = "row=1&" if _in_a_row(request) else ""
        return ask_second_factor(request, f"{request.path}?{row}answer={typed['answer']}#answer")
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return _page(request, step, form, now, status=422)
    except Conflict as conflict:
        return _changed(request, user, step, conflict.message, now)
    request.session.pop(KEPT_ANSWER, None)
    if _in_a_row(request):
        return _next_in_queue(request, user, decision)
    return redirect("approvals:step-decided", decision.uid)


def _in_a_row(request: HttpRequest) -> bool:
    """Whether the person came from their queue and goes on to its next step after each answer."""
    return "row" in request.GET


def _next_in_queue(request: HttpRequest, user: User, decision: Decision) -> HttpResponse:
    """To the next step of the person's queue, saying what was recorded; after the last one to the queue."""
    place = place_in_queue(user, decision.step)
    facts = {
        "number": decision.step.request.public_id,
        "answer": decision.get_outcome_display(),
        "n": place.n_left,
    }
    if place.next is None:
        done = gettext("%(number)s: “%(answer)s” is recorded. That was the last one in your queue.")
        messages.success(request, done % facts)
        return redirect("approvals:queue")
    left = ngettext(
        "%(number)s: “%(answer)s” is recorded. %(n)d left.",
        "%(number)s: “%(answer)s” is recorded. %(n)d left.",
        place.n_left,
    )
    messages.success(request, left % facts)
    url = reverse("approvals:step-decide", args=[place.next.request.public_id])
    return redirect(f"{url}?row=1")


def _kept_answer(request: HttpRequest, step: Step) -> dict[str, Any]:
    """What was typed for this step before the second factor was asked for; empty if nothing was."""
    kept: dict[str, Any] = request.session.get(KEPT_ANSWER, {})
    return kept if kept.get("step") == step.pk else {}


def _page(
    request: HttpRequest,
    step: Step,
    form: DecisionForm,
    now: datetime,
    *,
    status: int = 200,
    trouble: str | Promise = "",
    came_back: bool = False,
) -> HttpResponse:
    user, trusted = signed_in(request), has_recent_second_factor(request)
    terms = KeyTerms.from_json(step.revision.terms)
    path = path_of(step.request, user)
    stand_in = require_may_decide(user, step)
    wants = wants_second_factor(step, stand_in)
    page = decision_page(step, now=now, reader=user)
    own = page.change.key_id if page.change else step.request.key_id  # the latter is of an emergency (A8)
    context = {
        "page": page,
        "path": path,
        "after": consequences_of(step, path),
        "warnings": find_warnings(
            terms, Registry.read(terms), reader=user, request=step.request, besides=own
        ),
        "place": place_in_queue(user, step) if _in_a_row(request) else None,
        "form": form,
        "trouble": trouble,
        "stand_in": stand_in,
        "giver": User.objects.filter(public_id=stand_in.giver).first() if stand_in else None,
        "behind": User.objects.filter(public_id=stand_in.behind).first() if stand_in else None,
        "asks_second_factor": wants and not trusted,
        "confirmed_second_factor": wants and trusted and came_back,
    }
    return render(request, "approvals/decide.html", context, status=status)


def _changed(
    request: HttpRequest, user: User, step: Step, trouble: str | Promise, now: datetime
) -> HttpResponse:
    """409: the state as it is now; where the person may still decide, a fresh form with nothing chosen."""
    fresh = Request.objects.select_related("partner", "requester").get(pk=step.request_id)
    waiting = open_step_of(fresh)
    if waiting is None or waiting.pk != step.pk or why_may_not_decide(user, waiting):
        return _over(request, user, fresh, trouble)
    return _page(request, waiting, DecisionForm(waiting), now, status=409, trouble=trouble)


def _over(request: HttpRequest, user: User, asked: Request, trouble: str | Promise = "") -> HttpResponse:
    """409: nothing waits for this person's answer here; says what stands instead."""
    own = asked.decisions.filter(staff=user, fallen_at=None).select_related("step").first()
    context = {"asked": asked, "own": own, "path": path_of(asked, user), "trouble": trouble}
    return render(request, "approvals/decide_over.html", context, status=409)
