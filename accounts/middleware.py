"""What follows from who is signed in: language, time zone, and the duty to have a second factor."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone, translation

from accounts.access import has_second_factor, signed_in_with_second_factor
from accounts.kept import remember_person

GetResponse = Callable[[HttpRequest], HttpResponse]

# Where someone may go who still has to set up a second factor.
OPEN_VIEWS = frozenset(
    {
        "accounts:second-factor",
        "accounts:language-set",
        "accounts:theme-set",
        "account_logout",
        "account_reauthenticate",
        "mfa_reauthenticate",
        "mfa_reauthenticate_webauthn",
        "mfa_activate_totp",
        "mfa_add_webauthn",
        "healthz",
        "readyz",
    }
)


class PersonMiddleware:
    """Speaks the person's language and shows their clock (O4). A language chosen in this browser wins.

    What it shows is for this person alone.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """For this request only."""
        if not request.user.is_authenticated:
            return self.get_response(request)
        if settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = translation.get_language()
        public_id = request.user.public_id  # nobody is left to ask after a sign-out
        with timezone.override(ZoneInfo(request.user.time_zone)):
            response = self.get_response(request)
        remember_person(request, response, public_id)
        # What was shown to a person stays in no cache, and not behind "back" once they have signed out.
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response


class SecondFactorMiddleware:
    """Leads people whose roles demand MFA to its set-up until they have it (S1); nothing else opens."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """See `process_view`: only there is the view known."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        """To the set-up page, unless the view is one that it needs."""
        user = request.user
        if not user.is_authenticated or not user.needs_second_factor:
            return None
        match = request.resolver_match
        if match and match.view_name in OPEN_VIEWS:
            return None
        if signed_in_with_second_factor(request) or has_second_factor(user):
            return None
        return HttpResponseRedirect(reverse("accounts:second-factor"))
