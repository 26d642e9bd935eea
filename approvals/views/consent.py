"""A rights-holder consents without an account: link, code to the registered address, terms, answer (A1, A3).

Nothing of the request is shown before the code. What proves the code travels in the form, not in a session:
mail programs open links in browsers of their own.
"""

from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals.decision_forms import CodeForm, ConsentForm
from approvals.models import Decision, StepLink
from approvals.selectors.deciding import decision_page, masked
from approvals.selectors.receipts import RECEIPT_SALT, receipt_url, withdraw_url
from approvals.services.consent import (
    PROOF_LIFETIME,
    check_code,
    give_consent,
    live_code,
    proof_holds,
    send_code,
)
from approvals.services.links import find_link, note_opening, renew_link, state_of
from approvals.views.mail_pages import activate, dead_link, speak_as, wanted_answer
from core.actors import Actor, actor_of
from core.errors import Conflict, Invalid, NotFound
from core.private import private

METHODS = ["GET", "HEAD", "POST"]
PROVE_AGAIN = _("Ask for a code first; it proves that the registered address is yours.")


@private
@require_safe
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Who asks for whose consent, and the button that has a code sent. Opening the page does nothing."""
    link = _find_contact_link(request, token)
    if link is not None:
        note_opening(link, user_agent=request.headers.get("User-Agent", ""), now=timezone.now())
    found = _open_link(request, token)
    return found if isinstance(found, HttpResponse) else _start_page(request, found, token)


@private
@require_http_methods(METHODS)
def code(request: HttpRequest, token: str) -> HttpResponse:
    """POST sends a code to the registered address; GET asks for its digits."""
    found = _open_link(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST":
        if live_code(found, now=timezone.now()) is None:
            return redirect(_address("start", request, token))
        return _code_page(request, found, token, CodeForm())
    try:
        send_code(actor=_contact(request, found), token=token, now=timezone.now())
    except Conflict as conflict:
        return _again(request, token, conflict.message)
    return redirect(_address("code", request, token))


@private
@require_http_methods(METHODS)
def terms(request: HttpRequest, token: str) -> HttpResponse:
    """POST of the right digits shows the exact terms and asks for the answer."""
    found = _open_link(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST":
        return redirect(_address("code", request, token))
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _code_page(request, found, token, form, status=422)
    typed, now = form.cleaned_data["code"], timezone.now()
    try:
        checked = check_code(actor=_contact(request, found), token=token, given=typed, now=now)
    except Conflict as conflict:
        return _again(request, token, conflict.message)
    if not checked.proof:
        form.add_error("code", wrong_code(checked.n_left))
        return _code_page(request, found, token, form, status=422, is_dead=checked.n_left == 0)
    empty = ConsentForm(found.step, initial={"proof": checked.proof, "answer": wanted_answer(request)})
    return _terms_page(request, found, token, empty)


@private
@require_http_methods(METHODS)
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """POST decides, once, with name and capacity."""
    found = _open_link(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST":
        return redirect(_address("start", request, token))
    now, proof = timezone.now(), request.POST.get("proof", "")
    if not proof_holds(proof, found, now=now):  # before anything of the request is drawn, errors included
        return _start_page(request, found, token, trouble=PROVE_AGAIN, status=403)
    form = ConsentForm(found.step, request.POST)
    if not form.is_valid():
        return _terms_page(request, found, token, form, status=422)
    actor, given = _contact(request, found), form.to_answer()
    try:
        decision = give_consent(actor=actor, token=token, proof=proof, answer=given, now=now)
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return _terms_page(request, found, token, form, status=422)
    except Conflict as conflict:
        return _again(request, token, conflict.message)
    return redirect(receipt_url(decision).removeprefix(settings.PORTAL_URL) + "?thanks=1")


@private
@require_http_methods(METHODS)
def language(request: HttpRequest, token: str) -> HttpResponse:
    """The terms in the other language, with what was typed so far. Nothing is decided."""
    found = _open_link(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST" or not proof_holds(request.POST.get("proof", ""), found, now=timezone.now()):
        return redirect(_address("start", request, token))
    if request.POST.get("language") in dict(settings.LANGUAGES):
        activate(request, request.POST["language"])
    typed = {name: request.POST.get(name, "") for name in ConsentForm.base_fields if name != "digest"}
    response = _terms_page(request, found, token, ConsentForm(found.step, initial=typed))
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        translation.get_language() or settings.LANGUAGE_CODE,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        samesite="Lax",
    )
    return response


@private
@require_POST
def renew(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for a new link to the registered address. The answer never tells whether one was sent."""
    link = _find_contact_link(request, token)
    actor = _contact(request, link) if link else actor_of(request)
    renew_link(actor=actor, token=token, now=timezone.now())
    return render(request, "approvals/link_renewed.html")


@private
@require_safe
def receipt(request: HttpRequest, token: str) -> HttpResponse:
    """For whoever holds it: that a decision was recorded, when, and on which digest; no terms (A3)."""
    try:
        uid = signing.loads(token, salt=RECEIPT_SALT)
    except signing.BadSignature:
        uid = None
    decision = (
        Decision.objects.select_related("request", "step", "contact", "withdrawal").filter(uid=uid).first()
        if uid
        else None
    )
    if decision is None:
        raise NotFound(_("This receipt is not known here. It may have been cut off: copy the whole address."))
    if decision.contact is not None:
        speak_as(request, decision.contact.language)
    context = {
        "decision": decision,
        "digest": bytes(decision.digest).hex(),
        "is_thanks": "thanks" in request.GET,
        "url": receipt_url(decision),
        "withdraw_url": withdraw_url(decision),
        "withdrawal": getattr(decision, "withdrawal", None),
    }
    return render(request, "approvals/receipt.html", context)


# --- pages --------------------------------------------------------------------------------------------


def _start_page(
    request: HttpRequest, link: StepLink, token: str, *, trouble: str | Promise = "", status: int = 200
) -> HttpResponse:
    context = _context(request, link, token) | {"trouble": trouble, "minutes": _minutes()}
    return render(request, "approvals/consent_start.html", context, status=status)


def _code_page(
    request: HttpRequest,
    link: StepLink,
    token: str,
    form: CodeForm,
    *,
    status: int = 200,
    is_dead: bool = False,
) -> HttpResponse:
    context = _context(request, link, token) | {"form": form, "minutes": _minutes(), "is_dead": is_dead}
    return render(request, "approvals/consent_code.html", context, status=status)


def _terms_page(
    request: HttpRequest, link: StepLink, token: str, form: ConsentForm, *, status: int = 200
) -> HttpResponse:
    context = _context(request, link, token) | {
        "form": form,
        "page": decision_page(link.step, now=timezone.now()),
        "minutes": int(PROOF_LIFETIME.total_seconds() // 60),
    }
    return render(request, "approvals/consent_terms.html", context, status=status)


def _context(request: HttpRequest, link: StepLink, token: str) -> dict[str, Any]:
    return {
        "token": token,
        "answer": wanted_answer(request),
        "address": masked(link.recipient.email),
        "partner": link.step.request.partner,
    }


def _again(request: HttpRequest, token: str, trouble: str | Promise) -> HttpResponse:
    """409 after a refusal: why the link is over, or, where it is not, the start with the reason."""
    found = _open_link(request, token)
    if isinstance(found, HttpResponse):
        return found
    return _start_page(request, found, token, trouble=trouble, status=409)


def wrong_code(n_left: int) -> str:
    """What to say of digits that were not the code, with how many tries are left."""
    if n_left == 0:
        return str(
            _("This code does not work any more: it is too old, or was tried too often. Have a new one sent.")
        )
    return translation.ngettext(
        "That is not the code that we sent. You have %(n)d more try.",
        "That is not the code that we sent. You have %(n)d more tries.",
        n_left,
    ) % {"n": n_left}


def _minutes() -> int:
    return int(settings.CONSENT_CODE_LIFETIME.total_seconds() // 60)


# --- people and languages --------------------------------------------------------------------------------


def _find_contact_link(request: HttpRequest, token: str) -> StepLink | None:
    """The link, if it is a contact's; from here on the page speaks the contact's language."""
    try:
        link = find_link(token)
    except NotFound:
        return None
    if link.contact is None:
        return None
    speak_as(request, link.contact.language)
    return link


def _open_link(request: HttpRequest, token: str) -> StepLink | HttpResponse:
    """The contact's link if it works, else the page that says why not: 409 to a form, 410 to a visit."""
    link = _find_contact_link(request, token)
    if link is None:
        return dead_link(request, "unknown", status=404)
    state = state_of(link, now=timezone.now())
    if state == "open":
        return link
    renew_url = reverse("approvals:consent-renew", args=[token])
    status = 409 if request.method == "POST" else 410
    return dead_link(request, state, link=link, renew_url=renew_url, status=status)


def _contact(request: HttpRequest, link: StepLink) -> Actor:
    return actor_of(request, contact_ref=link.recipient.public_id)


def _address(name: str, request: HttpRequest, token: str) -> str:
    url = reverse(f"approvals:consent-{name}", args=[token])
    answer_ = wanted_answer(request)
    return f"{url}?answer={answer_}" if answer_ else url
