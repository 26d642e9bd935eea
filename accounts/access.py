"""Who may open a view, and whether the second factor was given lately (S1, S2)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode, urlsplit

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from accounts.second_factor import is_recent
from core.errors import NotAllowed

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
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
                return redirect_to_login(request.get_full_path() if request.method == "GET" else "/")
            if permissions and not any(request.user.may(permission) for permission in permissions):
                raise NotAllowed(_("Your roles do not allow this."))
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def require_recent_second_factor(view: View[P]) -> View[P]:
    """Ask for the second factor again before a dangerous act, unless it was given a moment ago.

    The person comes back to the page by GET and decides then: a POST is never replayed for them.
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
    """To the page that asks for the second factor, and from there back (to this page, if GET can show it)."""
    assert request.user.is_authenticated
    target = back_to or (request.get_full_path() if request.method == "GET" else _page_of_form(request))
    page = "mfa_reauthenticate" if has_second_factor(request.user) else "accounts:second-factor"
    return HttpResponseRedirect(f"{reverse(page)}?{urlencode({'next': target})}")


def _page_of_form(request: HttpRequest) -> str:
    """Where the form of a POST stood: its own address often answers no GET. The path itself if unknown."""
    page = urlsplit(request.headers.get("Referer", ""))
    if page.netloc != request.get_host() or not page.path.startswith("/"):
        return request.path
    return f"{page.path}?{page.query}" if page.query else page.path


def has_second_factor(user: User) -> bool:
    """Whether the person has an authenticator app or a passkey (recovery codes alone are none)."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=SECOND_FACTORS).exists())


def signed_in_with_second_factor(request: HttpRequest) -> bool:
    """Whether this session has ever given a second factor; costs no query."""
    return second_factor_at(request) is not None
