"""The code before anything of a request is shown to a contact: asked for, sent, typed (A3, A9).

A consent and its withdrawal go the same way: a page to begin, a code to the registered address, and what the
right digits open. What proves the code travels in the form, not in a session: mail programs open links in
browsers of their own.
"""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext

from approvals.decisions.forms import CodeForm
from approvals.decisions.selectors.deciding import masked
from approvals.decisions.services.consent import CodeCheck, live_code
from approvals.models import Decision, StepLink
from core.actors import Actor, actor_of
from core.errors import Conflict
from partners.models import Contact, Partner

T = TypeVar("T", StepLink, Decision)


class CodeWay(ABC, Generic[T]):
    """What is the same on the way to a consent and to its withdrawal. `T` is what the link leads to."""

    start_template: str
    code_template: str

    @abstractmethod
    def find(self, request: HttpRequest, token: str) -> T | HttpResponse:
        """What the link leads to; else the page that says what became of it."""

    @abstractmethod
    def link_of(self, found: T) -> StepLink:
        """The step's link that codes belong to."""

    @abstractmethod
    def contact_of(self, found: T) -> Contact:
        """Who has to prove the registered address."""

    @abstractmethod
    def partner_of(self, found: T) -> Partner:
        """Whose request it is."""

    @abstractmethod
    def address(self, name: str, request: HttpRequest, token: str) -> str:
        """Where `start` and `code` are."""

    @abstractmethod
    def send(self, *, actor: Actor, token: str, now: datetime) -> object:
        """Have a code sent. Conflict where none may be sent now."""

    @abstractmethod
    def check(self, *, actor: Actor, token: str, given: str, now: datetime) -> CodeCheck:
        """Whether the digits are the code. Conflict where there is none any more."""

    @abstractmethod
    def refused(self, request: HttpRequest, found: T, token: str, trouble: str | Promise) -> HttpResponse:
        """409 after a refusal."""

    # --- the views' parts ---------------------------------------------------------------------------------

    def ask_for_code(self, request: HttpRequest, token: str) -> HttpResponse:
        """POST sends a code to the registered address; GET asks for its digits."""
        found = self.find(request, token)
        if isinstance(found, HttpResponse):
            return found
        now = timezone.now()
        if request.method != "POST":
            if live_code(self.link_of(found), now=now) is None:
                return redirect(self.address("start", request, token))
            return self.code_page(request, found, token, CodeForm())
        try:
            self.send(actor=self.actor(request, found), token=token, now=now)
        except Conflict as conflict:
            return self.refused(request, found, token, conflict.message)
        return redirect(self.address("code", request, token))

    def prove(self, request: HttpRequest, token: str) -> tuple[T, str] | HttpResponse:
        """What the link leads to and the proof, after a POST of the right digits; else what to answer."""
        found = self.find(request, token)
        if isinstance(found, HttpResponse):
            return found
        if request.method != "POST":
            return redirect(self.address("code", request, token))
        form = CodeForm(request.POST)
        if not form.is_valid():
            return self.code_page(request, found, token, form, status=422)
        typed, actor = form.cleaned_data["code"], self.actor(request, found)
        try:
            checked = self.check(actor=actor, token=token, given=typed, now=timezone.now())
        except Conflict as conflict:
            return self.refused(request, found, token, conflict.message)
        if checked.proof:
            return found, checked.proof
        form.add_error("code", wrong_code(checked.n_left))
        return self.code_page(request, found, token, form, status=422, is_dead=checked.n_left == 0)

    # --- pages --------------------------------------------------------------------------------------------

    def start_page(
        self, request: HttpRequest, found: T, token: str, *, trouble: str | Promise = "", status: int = 200
    ) -> HttpResponse:
        """Whose consent, and the button that has a code sent."""
        context = self.context(request, found, token) | {"trouble": trouble}
        return render(request, self.start_template, context, status=status)

    def code_page(
        self,
        request: HttpRequest,
        found: T,
        token: str,
        form: CodeForm,
        *,
        status: int = 200,
        is_dead: bool = False,
    ) -> HttpResponse:
        """The field for the digits."""
        context = self.context(request, found, token) | {"form": form, "is_dead": is_dead}
        return render(request, self.code_template, context, status=status)

    def context(self, request: HttpRequest, found: T, token: str) -> dict[str, Any]:
        """What all of its pages show: nothing of the request itself."""
        return {
            "token": token,
            "address": masked(self.contact_of(found).email),
            "partner": self.partner_of(found),
            "minutes": int(settings.CONSENT_CODE_LIFETIME.total_seconds() // 60),
        }

    def actor(self, request: HttpRequest, found: T) -> Actor:
        """The contact, as events name them."""
        return actor_of(request, contact_ref=self.contact_of(found).public_id)


def wrong_code(n_left: int) -> str:
    """What to say of digits that were not the code, with how many tries are left."""
    if n_left == 0:
        return gettext(
            "This code does not work any more: it is too old, or was tried too often. Have a new one sent."
        )
    return translation.ngettext(
        "That is not the code that we sent. You have %(n)d more try.",
        "That is not the code that we sent. You have %(n)d more tries.",
        n_left,
    ) % {"n": n_left}
