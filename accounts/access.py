"""Who may open a view, and whether the second factor was given lately (S1, S2)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.kept import keep_form
from accounts.models import User
from accounts.roles import Permission
from accounts.second_factor import is_recent
from core.errors import NotAllowed
from core.htmx import page_of

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
FOR_STAFF = "is_for_staff"
SECOND_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def signed_in(request: HttpRequest) -> User:
    """The member of staff behind a request that `require` let through."""
    assert isinstance(request.user, User)
    return request.user


def require(*permissions: Permission) -> Callable[[View[P]], View[P]]:
    """Let a view be opened by signed-in staff who have any of these permissions (none: by all staff).

    Nobody signed in: to the sign-in page and back. Signed in without permission: NotAllowed (403). Which
    objects a person sees (404) is the business of the app's selectors, not checked here.
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return sign_in_first(request)
            if permissions and not any(request.user.may(permission) for permission in permissions):
                raise NotAllowed(_("Your roles do not allow this."))
            return view(request, *args, **kwargs)

        setattr(guarded, FOR_STAFF, True)
        return guarded

    return decorate


def is_for_staff(request: HttpRequest) -> bool:
    """Whether the view of this request is one that `require` guards: neither public, nor a sign-in."""
    return request.resolver_match is not None and hasattr(request.resolver_match.func, FOR_STAFF)


def sign_in_first(request: HttpRequest, back_to: str = "") -> HttpResponse:
    """To the sign-in and back: to what was typed if a form was sent, else to the page where the person is."""
    if keep_form(request):
        back_to = reverse("accounts:form-kept")
    return redirect_to_login(back_to or page_of(request) or "/")


def require_recent_second_factor(view: View[P]) -> View[P]:
    """Ask for the second factor again before a dangerous act, unless it was given a moment ago.

    A form that was sent waits for them (`accounts.kept`): a POST is never replayed.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if has_recent_second_factor(request):
            return view(request, *args, **kwargs)
        return ask_second_factor(request)

    return guarded


def second_factor_at(request: HttpRequest) -> datetime | None:
    """When a code, a passkey or a recovery code was last given in this session; None: never."""
    if not request.user.is_authenticated:
        return None
    records: list[dict[str, Any]] = get_authentication_records(request, request.user)
    times = [item["at"] for item in records if item["method"] == "mfa"]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def has_recent_second_factor(request: HttpRequest) -> bool:
    """Whether a second factor was given in this session a moment ago (SECOND_FACTOR_MAX_AGE)."""
    return is_recent(second_factor_at(request), timezone.now())


def has_recent_sign_in(request: HttpRequest) -> bool:
    """Whether this session signed in, or proved who it is again, within ACCOUNT_REAUTHENTICATION_TIMEOUT."""
    oldest = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    return any(item["at"] >= oldest for item in get_authentication_records(request, request.user))


def ask_second_factor(request: HttpRequest, back_to: str = "") -> HttpResponse:
    """To the page that asks for the second factor, and from there back: to what was typed, or to the page."""
    assert request.user.is_authenticated
    if not back_to and keep_form(request):
        back_to = reverse("accounts:form-kept")
    target = back_to or page_of(request) or request.path
    page = "mfa_reauthenticate" if has_second_factor(request.user) else "accounts:second-factor"
    return HttpResponseRedirect(f"{reverse(page)}?{urlencode({'next': target})}")


def has_second_factor(user: User) -> bool:
    """Whether the person has an authenticator app or a passkey (recovery codes alone are none)."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=SECOND_FACTORS).exists())


def signed_in_with_second_factor(request: HttpRequest) -> bool:
    """Whether this session has ever given a second factor; costs no query."""
    return second_factor_at(request) is not None
