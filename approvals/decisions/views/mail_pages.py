"""What all pages share that a mail's link leads to (A3)."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation

from approvals.decisions.selectors.dead_links import outcome_for, receipt_sent
from approvals.models import Decision, StepLink

# What a dead link's page says instead of showing the request; see decisions.services.links.state_of.
RENEWABLE = frozenset({"expired", "replaced"})


def dead_link(
    request: HttpRequest, state: str, *, link: StepLink | None = None, renew_url: str = "", status: int = 410
) -> HttpResponse:
    """Why a link does not work, in plain words, and a new one where that helps.

    What it was about is told to nobody but its own addressee, signed in, who may see the request.
    """
    reader = request.user if request.user.is_authenticated else None
    context = {
        "state": state,
        "renew_url": renew_url if state in RENEWABLE else "",
        "outcome": outcome_for(reader, link) if reader and link else None,
        "receipt": receipt_sent(link) if link and state == "used" else None,
        "signs_in": link is not None and link.staff_id is not None and reader is None,
    }
    return render(request, "approvals/link_dead.html", context, status=status)


def wanted_answer(request: HttpRequest) -> str:
    """The answer that was clicked in the mail: preselected on the page, never given by the link (A3)."""
    answer = request.POST.get("answer") or request.GET.get("answer") or ""
    return answer if answer in set(Decision.Outcome.values) else ""


def speak_as(request: HttpRequest, language: str) -> None:
    """The page speaks the language of the mail, unless another one was chosen in this browser."""
    if settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
        activate(request, language)


def activate(request: HttpRequest, language: str) -> None:
    """Draw what follows in this language."""
    translation.activate(language)
    request.LANGUAGE_CODE = translation.get_language()
