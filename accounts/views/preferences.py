"""Language, theme and profile: what people choose for themselves (N3, O4)."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language, gettext, override
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import require, signed_in
from accounts.forms import ProfileForm
from accounts.models import User
from accounts.services import change_preferences
from core.actors import actor_of

THEMES = ("light", "dark")


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Switch the language of this browser, and of the person where somebody is signed in."""
    response = HttpResponseRedirect(_next_url(request))
    language = request.POST.get("language", "")
    if not check_for_language(language) or language not in dict(settings.LANGUAGES):
        return response
    if isinstance(request.user, User) and request.user.language != language:
        change_preferences(actor=actor_of(request), user=request.user, now=timezone.now(), language=language)
    _remember_language(response, language)
    return response


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Light or dark, for browsers without JavaScript; app.js does the same in the page."""
    response = HttpResponseRedirect(_next_url(request))
    if request.POST.get("theme") in THEMES:
        response.set_cookie(
            "theme",
            request.POST["theme"],
            max_age=settings.LANGUAGE_COOKIE_AGE,
            secure=settings.HTTPS,
            samesite="Lax",
        )
    return response


@require()
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """The person's own name, language and time zone, and the way to passwords and second factors."""
    user = signed_in(request)
    form = ProfileForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_valid():
        change_preferences(actor=actor_of(request), user=user, now=timezone.now(), **form.cleaned_data)
        with override(form.cleaned_data["language"]):
            messages.success(request, gettext("Your profile was saved."))
        response = redirect("accounts:profile")
        _remember_language(response, form.cleaned_data["language"])
        return response
    status = 422 if form.errors else 200
    return render(request, "accounts/profile.html", {"form": form}, status=status)


def _next_url(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if safe else "/"


def _remember_language(response: HttpResponse, language: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        samesite="Lax",
    )
