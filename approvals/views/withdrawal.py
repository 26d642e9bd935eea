"""A rights-holder withdraws a consent without an account: receipt's link, code, signature (A9).

As with the consent itself, nothing of the request is shown before the code, opening a page does nothing, and
what proves the code travels in the form.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.views.decorators.http import require_http_methods, require_safe

from approvals.decision_forms import CodeForm
from approvals.emergency_forms import WithdrawalForm
from approvals.models import Decision
from approvals.selectors.deciding import masked
from approvals.selectors.receipts import receipt_url
from approvals.services.consent import live_code
from approvals.services.withdrawal import (
    PROVE_FIRST,
    check_withdrawal_code,
    find_consent,
    may_sign,
    send_withdrawal_code,
    withdraw_consent,
)
from approvals.views.consent import wrong_code
from approvals.views.mail_pages import dead_link, speak_as
from core.actors import Actor, actor_of
from core.errors import Conflict, Invalid, NotFound
from core.private import private

METHODS = ["GET", "HEAD", "POST"]


@private
@require_safe
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Whose consent, and the button that has a code sent. Opening the page does nothing."""
    found = _find(request, token)
    return found if isinstance(found, HttpResponse) else _start_page(request, found, token)


@private
@require_http_methods(METHODS)
def code(request: HttpRequest, token: str) -> HttpResponse:
    """POST sends a code to the registered address; GET asks for its digits."""
    found = _find(request, token)
    if isinstance(found, HttpResponse):
        return found
    now = timezone.now()
    if request.method != "POST":
        assert found.via_link is not None  # find_consent
        if live_code(found.via_link, now=now) is None:
            return redirect("approvals:withdraw-start", token)
        return _code_page(request, found, token, CodeForm())
    try:
        send_withdrawal_code(actor=_contact(request, found), token=token, now=now)
    except Conflict as conflict:
        return _start_page(request, found, token, trouble=conflict.message, status=409)
    return redirect("approvals:withdraw-code", token)


@private
@require_http_methods(METHODS)
def sign(request: HttpRequest, token: str) -> HttpResponse:
    """POST of the right digits shows what was consented to, and asks for the signature."""
    found = _find(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST":
        return redirect("approvals:withdraw-code", token)
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _code_page(request, found, token, form, status=422)
    typed, actor = form.cleaned_data["code"], _contact(request, found)
    try:
        checked = check_withdrawal_code(actor=actor, token=token, given=typed, now=timezone.now())
    except Conflict as conflict:
        return _start_page(request, found, token, trouble=conflict.message, status=409)
    if not checked.proof:
        form.add_error("code", wrong_code(checked.n_left))
        return _code_page(request, found, token, form, status=422, is_dead=checked.n_left == 0)
    return _sign_page(request, found, token, WithdrawalForm(initial={"proof": checked.proof}))


@private
@require_http_methods(METHODS)
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """POST withdraws the consent, once, with name and capacity."""
    found = _find(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST":
        return redirect("approvals:withdraw-start", token)
    now, proof = timezone.now(), request.POST.get("proof", "")
    if not may_sign(token, proof, now=now):  # before anything of the request is drawn, errors included
        return _start_page(request, found, token, trouble=PROVE_FIRST, status=403)
    form = WithdrawalForm(request.POST)
    if not form.is_valid():
        return _sign_page(request, found, token, form, status=422)
    try:
        withdraw_consent(actor=_contact(request, found), token=token, now=now, **form.cleaned_data)
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return _sign_page(request, found, token, form, status=422)
    except Conflict as conflict:
        return _start_page(request, found, token, trouble=conflict.message, status=409)
    return redirect(_receipt(found))


def _find(request: HttpRequest, token: str) -> Decision | HttpResponse:
    """The consent, if it still stands; else the page that says what became of the link."""
    try:
        decision = find_consent(token)
    except NotFound:
        return dead_link(request, "unknown", status=404)
    assert decision.contact is not None  # find_consent
    speak_as(request, decision.contact.language)
    return redirect(_receipt(decision)) if hasattr(decision, "withdrawal") else decision


def _receipt(decision: Decision) -> str:
    return receipt_url(decision).removeprefix(settings.PORTAL_URL)


def _start_page(
    request: HttpRequest, decision: Decision, token: str, *, trouble: str | Promise = "", status: int = 200
) -> HttpResponse:
    context = _context(decision, token) | {"trouble": trouble}
    return render(request, "approvals/withdraw_start.html", context, status=status)


def _code_page(
    request: HttpRequest,
    decision: Decision,
    token: str,
    form: CodeForm,
    *,
    status: int = 200,
    is_dead: bool = False,
) -> HttpResponse:
    context = _context(decision, token) | {"form": form, "is_dead": is_dead}
    return render(request, "approvals/withdraw_code.html", context, status=status)


def _sign_page(
    request: HttpRequest, decision: Decision, token: str, form: WithdrawalForm, *, status: int = 200
) -> HttpResponse:
    context = _context(decision, token) | {
        "form": form,
        "decision": decision,
        "digest": bytes(decision.digest).hex(),
        "cancel_url": reverse("approvals:withdraw-start", args=[token]),
    }
    return render(request, "approvals/withdraw_sign.html", context, status=status)


def _context(decision: Decision, token: str) -> dict[str, Any]:
    assert decision.contact is not None  # find_consent
    return {
        "token": token,
        "address": masked(decision.contact.email),
        "partner": decision.request.partner,
        "minutes": int(settings.CONSENT_CODE_LIFETIME.total_seconds() // 60),
    }


def _contact(request: HttpRequest, decision: Decision) -> Actor:
    assert decision.contact is not None  # find_consent
    return actor_of(request, contact_ref=decision.contact.public_id)
