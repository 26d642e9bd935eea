"""This was not me: the public page behind a receipt's link, and security's look into it (A7)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from accounts.access import require, require_recent_second_factor, second_factor_at, signed_in
from accounts.roles import Permission
from approvals.access import find_request
from approvals.decisions.services.receipts import find_receipt
from approvals.decisions.views.mail_pages import dead_link, speak_as
from approvals.disputes.forms import NotMeForm, VerdictForm
from approvals.disputes.services.doubts import WHY_NOT_LOOK, look_into_doubt, raise_doubt, why_not_look
from approvals.models import Doubt
from core.actors import Actor, actor_of, client_ip
from core.errors import Conflict, Invalid, NotFound
from core.private import private

METHODS = ["GET", "HEAD", "POST"]


@private
@require_http_methods(METHODS)
def not_me(request: HttpRequest, token: str) -> HttpResponse:
    """What the receipt said, once more, and the button that freezes the request. Opening it does nothing.

    Nobody has to be signed in: the account may be in another's hands. The box has to be ticked, because mail
    scanners press buttons.
    """
    try:
        receipt = find_receipt(token)
    except NotFound:
        return dead_link(request, "unknown", status=404)
    decision, now = receipt.decision, timezone.now()
    person = decision.staff or decision.contact
    assert person is not None  # approvals_decision_one_person
    speak_as(request, person.language)
    raised = Doubt.objects.filter(decision=decision).first()
    if raised is None and receipt.expires_at <= now:
        return render(request, "approvals/not_me_late.html", status=410)
    if raised is not None and request.method == "POST":
        return redirect("approvals:not-me", token)
    form = NotMeForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        actor = Actor(
            kind="staff" if decision.staff else "contact",
            ref=person.public_id,
            ip=client_ip(request),
            user_agent=request.headers.get("User-Agent", "")[:300],
            request_id=getattr(request, "request_id", ""),
        )
        raise_doubt(actor=actor, token=token, now=now)
        return redirect("approvals:not-me", token)
    context = {
        "decision": decision,
        "digest": bytes(decision.digest).hex(),
        "raised": raised,
        "form": form,
        "ends": receipt.expires_at,
    }
    return render(request, "approvals/not_me.html", context, status=422 if form.errors else 200)


@require_http_methods(METHODS)
@require(Permission.CLEAR_DOUBTS)
@require_recent_second_factor
def doubt_look(request: HttpRequest, number: str) -> HttpResponse:
    """Security says what it found: the decision stands, or the request is rejected."""
    user, now = signed_in(request), timezone.now()
    record = find_request(user, number)
    doubt = (
        Doubt.objects.filter(request=record, verdict="")
        .select_related("decision__step", "decision__staff", "decision__contact", "request")
        .first()
    )
    if doubt is None:
        messages.info(request, gettext("Nothing about this request is in doubt."))
        return redirect("approvals:request-detail", number)
    why = why_not_look(user, doubt)
    form = VerdictForm(record, request.POST if request.method == "POST" else None)
    status = 403 if why else 200
    if not why and form.is_valid():
        try:
            look_into_doubt(
                actor=actor_of(request),
                by=user,
                doubt=doubt,
                verdict=form.cleaned_data["verdict"],
                reason=form.cleaned_data["reason"],
                second_factor_at=second_factor_at(request),
                now=now,
            )
        except Invalid as invalid:
            form.add_error(invalid.field, str(invalid.message))
        except Conflict as conflict:
            messages.warning(request, str(conflict.message))
            return redirect("approvals:request-detail", number)
        else:
            messages.success(request, gettext("Recorded. Those concerned are told by mail."))
            return redirect("approvals:request-detail", number)
    context = {
        "record": record,
        "doubt": doubt,
        "decision": doubt.decision,
        "form": form,
        "why_not": WHY_NOT_LOOK.get(why, ""),
    }
    return render(request, "approvals/doubt_look.html", context, status=422 if form.errors else status)
