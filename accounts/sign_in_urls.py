"""django-allauth's pages, without those that staff have no use for (signing up, changing addresses).

Its views run in a transaction, so that what they change and the event of it commit together (L1).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.usersessions import views as sessions
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from django.views.decorators.cache import never_cache

View = Callable[..., HttpResponse]


def in_transaction(view: View) -> View:
    """Commit what the view changed together with its events, or nothing."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with transaction.atomic():
            return view(request, *args, **kwargs)

    return wrapped


# Two show a secret, as the gateways' and the recipients' pages do: `core.middleware.CompressionMiddleware`.
VIEWS: tuple[tuple[str, View, str], ...] = (
    ("", account.login, "account_login"),
    ("out/", account.logout, "account_logout"),
    ("inactive/", account.account_inactive, "account_inactive"),
    ("again/", account.reauthenticate, "account_reauthenticate"),
    ("password/change/", account.password_change, "account_change_password"),
    ("password/set/", account.password_set, "account_set_password"),
    ("password/forgotten/", account.password_reset, "account_reset_password"),
    ("password/forgotten/sent/", account.password_reset_done, "account_reset_password_done"),
    (
        "password/new/done/",
        account.password_reset_from_key_done,
        "account_reset_password_from_key_done",
    ),
    ("second-factor/", mfa.index, "mfa_index"),
    ("second-factor/code/", mfa.authenticate, "mfa_authenticate"),
    ("second-factor/again/", mfa.reauthenticate, "mfa_reauthenticate"),
    ("second-factor/app/add/", never_cache(totp.activate_totp), "mfa_activate_totp"),
    ("second-factor/app/remove/", totp.deactivate_totp, "mfa_deactivate_totp"),
    (
        "second-factor/recovery-codes/",
        never_cache(recovery_codes.view_recovery_codes),
        "mfa_view_recovery_codes",
    ),
    (
        "second-factor/recovery-codes/new/",
        recovery_codes.generate_recovery_codes,
        "mfa_generate_recovery_codes",
    ),
    (
        "second-factor/recovery-codes/file/",
        recovery_codes.download_recovery_codes,
        "mfa_download_recovery_codes",
    ),
    ("second-factor/passkeys/", webauthn.list_webauthn, "mfa_list_webauthn"),
    ("second-factor/passkeys/add/", webauthn.add_webauthn, "mfa_add_webauthn"),
    ("second-factor/passkeys/<int:pk>/remove/", webauthn.remove_webauthn, "mfa_remove_webauthn"),
    ("second-factor/passkeys/<int:pk>/rename/", webauthn.edit_webauthn, "mfa_edit_webauthn"),
    ("second-factor/passkeys/again/", webauthn.reauthenticate_webauthn, "mfa_reauthenticate_webauthn"),
    ("passkey/", webauthn.login_webauthn, "mfa_login_webauthn"),
    ("sessions/", sessions.list_usersessions, "usersessions_list"),
)

urlpatterns = [
    *(path(route, in_transaction(view), name=name) for route, view, name in VIEWS),
    re_path(
        r"^password/new/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[0-9A-Za-z-]+)/$",
        in_transaction(account.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
]
