"""A rights-holder withdraws a consent without an account: receipt's link, code, signature (A9).

As with the consent itself, nothing of the request is shown before the code, opening a page does nothing, and
what proves the code travels in the form.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.views.decorators.http import require_http_methods, require_safe

from approvals.decisions.selectors.receipts import receipt_url
from approvals.decisions.views.codes import CodeWay
from approvals.decisions.views.mail_pages import dead_link, speak_as
from approvals.disputes.forms import WithdrawalForm
from approvals.disputes.services.withdrawal import (
    PROVE_FIRST,
    check_withdrawal_code,
    find_consent,
    may_sign,
    send_withdrawal_code,
    withdraw_consent,
)
from approvals.models import Decision, StepLink
from core.errors import Conflict, Invalid, NotFound
from core.private import private
from partners.models import Contact, Partner

METHODS = ["GET", "HEAD", "POST"]


class _Withdrawal(CodeWay[Decision]):
    start_template = "approvals/withdraw_start.html"
    code_template = "approvals/withdraw_code.html"
    send = staticmethod(send_withdrawal_code)
    check = staticmethod(check_withdrawal_code)

    def find(self, request: HttpRequest, token: str) -> Decision | HttpResponse:
        """The consent, if it still stands; else the page that says what became of the link."""
        try:
            decision = find_consent(token)
        except NotFound:
            return dead_link(request, "unknown", status=404)
        speak_as(request, self.contact_of(decision).language)
        return redirect(_receipt(decision)) if hasattr(decision, "withdrawal") else decision

    def link_of(self, found: Decision) -> StepLink:
        assert found.via_link is not None  # find_consent
        return found.via_link

    def contact_of(self, found: Decision) -> Contact:
        assert found.contact is not None  # find_consent
        return found.contact

    def partner_of(self, found: Decision) -> Partner:
        return found.request.partner

    def address(self, name: str, request: HttpRequest, token: str) -> str:
        return reverse(f"approvals:withdraw-{name}", args=[token])

    def refused(
        self, request: HttpRequest, found: Decision, token: str, trouble: str | Promise
    ) -> HttpResponse:
        return self.start_page(request, found, token, trouble=trouble, status=409)


WAY = _Withdrawal()


@private
@require_safe
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Whose consent, and the button that has a code sent. Opening the page does nothing."""
    found = WAY.find(request, token)
    return found if isinstance(found, HttpResponse) else WAY.start_page(request, found, token)


@private
@require_http_methods(METHODS)
def code(request: HttpRequest, token: str) -> HttpResponse:
    """POST sends a code to the registered address; GET asks for its digits."""
    return WAY.ask_for_code(request, token)


@private
@require_http_methods(METHODS)
def sign(request: HttpRequest, token: str) -> HttpResponse:
    """POST of the right digits shows what was consented to, and asks for the signature."""
    proven = WAY.prove(request, token)
    if isinstance(proven, HttpResponse):
        return proven
    found, proof = proven
    return _sign_page(request, found, token, WithdrawalForm(initial={"proof": proof}))


@private
@require_http_methods(METHODS)
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """POST withdraws the consent, once, with name and capacity."""
    found = WAY.find(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST":
        return redirect("approvals:withdraw-start", token)
    now, proof = timezone.now(), request.POST.get("proof", "")
    if not may_sign(token, proof, now=now):  # before anything of the request is drawn, errors included
        return WAY.start_page(request, found, token, trouble=PROVE_FIRST, status=403)
    form = WithdrawalForm(request.POST)
    if not form.is_valid():
        return _sign_page(request, found, token, form, status=422)
    try:
        withdraw_consent(actor=WAY.actor(request, found), token=token, now=now, **form.cleaned_data)
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return _sign_page(request, found, token, form, status=422)
    except Conflict as conflict:
        return WAY.start_page(request, found, token, trouble=conflict.message, status=409)
    return redirect(_receipt(found))


def _receipt(decision: Decision) -> str:
    return receipt_url(decision).removeprefix(settings.PORTAL_URL)


def _sign_page(
    request: HttpRequest, decision: Decision, token: str, form: WithdrawalForm, *, status: int = 200
) -> HttpResponse:
    context = WAY.context(request, decision, token) | {
        "form": form,
        "decision": decision,
        "digest": bytes(decision.digest).hex(),
        "cancel_url": reverse("approvals:withdraw-start", args=[token]),
    }
    return render(request, "approvals/withdraw_sign.html", context, status=status)
