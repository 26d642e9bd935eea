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

from approvals.decisions.forms import ConsentForm
from approvals.decisions.selectors.deciding import decision_page
from approvals.decisions.selectors.receipts import RECEIPT_SALT, receipt_url, withdraw_url
from approvals.decisions.services.consent import (
    PROOF_LIFETIME,
    check_code,
    give_consent,
    proof_holds,
    send_code,
)
from approvals.decisions.services.links import find_link, note_opening, renew_link, state_of
from approvals.decisions.views.codes import CodeWay
from approvals.decisions.views.mail_pages import activate, dead_link, speak_as, wanted_answer
from approvals.models import Decision, StepLink
from core.actors import actor_of
from core.errors import Conflict, Invalid, NotFound
from core.private import private
from partners.models import Contact, Partner

METHODS = ["GET", "HEAD", "POST"]
PROVE_AGAIN = _("Ask for a code first; it proves that the registered address is yours.")


class _Consent(CodeWay[StepLink]):
    start_template = "approvals/consent_start.html"
    code_template = "approvals/consent_code.html"
    send = staticmethod(send_code)
    check = staticmethod(check_code)

    def find(self, request: HttpRequest, token: str) -> StepLink | HttpResponse:
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

    def link_of(self, found: StepLink) -> StepLink:
        return found

    def contact_of(self, found: StepLink) -> Contact:
        assert found.contact is not None  # _find_contact_link
        return found.contact

    def partner_of(self, found: StepLink) -> Partner:
        return found.step.request.partner

    def address(self, name: str, request: HttpRequest, token: str) -> str:
        url = reverse(f"approvals:consent-{name}", args=[token])
        wanted = wanted_answer(request)
        return f"{url}?answer={wanted}" if wanted else url

    def refused(
        self, request: HttpRequest, found: StepLink, token: str, trouble: str | Promise
    ) -> HttpResponse:
        """Why the link is over, or, where it is not, the start with the reason."""
        again = self.find(request, token)
        if isinstance(again, HttpResponse):
            return again
        return self.start_page(request, again, token, trouble=trouble, status=409)

    def context(self, request: HttpRequest, found: StepLink, token: str) -> dict[str, Any]:
        """The usual, and the answer that was clicked in the mail."""
        return super().context(request, found, token) | {"answer": wanted_answer(request)}


WAY = _Consent()


@private
@require_safe
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Who asks for whose consent, and the button that has a code sent. Opening the page does nothing."""
    link = _find_contact_link(request, token)
    if link is not None:
        note_opening(link, user_agent=request.headers.get("User-Agent", ""), now=timezone.now())
    found = WAY.find(request, token)
    return found if isinstance(found, HttpResponse) else WAY.start_page(request, found, token)


@private
@require_http_methods(METHODS)
def code(request: HttpRequest, token: str) -> HttpResponse:
    """POST sends a code to the registered address; GET asks for its digits."""
    return WAY.ask_for_code(request, token)


@private
@require_http_methods(METHODS)
def terms(request: HttpRequest, token: str) -> HttpResponse:
    """POST of the right digits shows the exact terms and asks for the answer."""
    proven = WAY.prove(request, token)
    if isinstance(proven, HttpResponse):
        return proven
    found, proof = proven
    empty = ConsentForm(found.step, initial={"proof": proof, "answer": wanted_answer(request)})
    return _terms_page(request, found, token, empty)


@private
@require_http_methods(METHODS)
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """POST decides, once, with name and capacity."""
    found = WAY.find(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST":
        return redirect(WAY.address("start", request, token))
    now, proof = timezone.now(), request.POST.get("proof", "")
    if not proof_holds(proof, found, now=now):  # before anything of the request is drawn, errors included
        return WAY.start_page(request, found, token, trouble=PROVE_AGAIN, status=403)
    form = ConsentForm(found.step, request.POST)
    if not form.is_valid():
        return _terms_page(request, found, token, form, status=422)
    actor, given = WAY.actor(request, found), form.to_answer()
    try:
        decision = give_consent(actor=actor, token=token, proof=proof, answer=given, now=now)
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return _terms_page(request, found, token, form, status=422)
    except Conflict as conflict:
        return WAY.refused(request, found, token, conflict.message)
    return redirect(receipt_url(decision).removeprefix(settings.PORTAL_URL) + "?thanks=1")


@private
@require_http_methods(METHODS)
def language(request: HttpRequest, token: str) -> HttpResponse:
    """The terms in the other language, with what was typed so far. Nothing is decided."""
    found = WAY.find(request, token)
    if isinstance(found, HttpResponse):
        return found
    if request.method != "POST" or not proof_holds(request.POST.get("proof", ""), found, now=timezone.now()):
        return redirect(WAY.address("start", request, token))
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
    actor = WAY.actor(request, link) if link else actor_of(request)
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


def _terms_page(
    request: HttpRequest, link: StepLink, token: str, form: ConsentForm, *, status: int = 200
) -> HttpResponse:
    context = WAY.context(request, link, token) | {
        "form": form,
        "page": decision_page(link.step, now=timezone.now()),
        "minutes": int(PROOF_LIFETIME.total_seconds() // 60),
    }
    return render(request, "approvals/consent_terms.html", context, status=status)


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
