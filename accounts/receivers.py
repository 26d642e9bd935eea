"""What django-allauth tells about sign-ins and second factors becomes an event (L1).

allauth speaks of these by signals only; `accounts.urls` runs its views in a transaction, so that a second
factor and its event stand or fall together.
"""

from typing import Any

from allauth.account import signals as account_signals
from allauth.account.authentication import get_authentication_records
from allauth.mfa import signals as mfa_signals
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import client_ip, staff_actor


@receiver(account_signals.user_logged_in)
def on_signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    """Somebody signed in; the event says by which methods."""
    methods = [item.get("type", item["method"]) for item in get_authentication_records(request, user)]
    _record(Action.SIGNED_IN, request, user, methods=methods)


@receiver(account_signals.user_logged_out)
def on_signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    """Somebody signed out by themselves."""
    if user is not None:
        _record(Action.SIGNED_OUT, request, user)


@receiver([account_signals.password_changed, account_signals.password_set, account_signals.password_reset])
def on_password_changed(request: HttpRequest, user: User, **_: Any) -> None:
    """A new password."""
    _record(Action.PASSWORD_CHANGED, request, user, status="changed")


@receiver(mfa_signals.authenticator_added)
def on_second_factor_added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """An authenticator app, a passkey, or the first recovery codes."""
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        _record(Action.RECOVERY_CODES_MADE, request, user)
    else:
        _record(Action.SECOND_FACTOR_ADDED, request, user, kind=str(authenticator.type))


@receiver(mfa_signals.authenticator_removed)
def on_second_factor_removed(
    request: HttpRequest, user: User, authenticator: Authenticator, **_: Any
) -> None:
    """An authenticator app or a passkey was taken away."""
    _record(Action.SECOND_FACTOR_REMOVED, request, user, kind=str(authenticator.type))


@receiver(mfa_signals.authenticator_reset)
def on_recovery_codes_made(request: HttpRequest, user: User, **_: Any) -> None:
    """Recovery codes were made again; the old ones are void."""
    _record(Action.RECOVERY_CODES_MADE, request, user)


@receiver(mfa_signals.authenticator_used)
def on_second_factor_used(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A recovery code was used up. Codes and passkeys are in the sign-in's own event."""
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        _record(Action.RECOVERY_CODE_USED, request, user)


@receiver(mfa_signals.authentication_failed)
def on_second_factor_failed(request: HttpRequest, user: User, **_: Any) -> None:
    """A wrong code."""
    _record(Action.SIGN_IN_FAILED, request, user, attempt="second factor")


def _record(action: Action, request: HttpRequest, user: User, **payload: Any) -> None:
    # `request.user` may still, or already, be nobody: the person is the one whom allauth names.
    actor = staff_actor(
        user,
        ip=client_ip(request),
        user_agent=request.headers.get("User-Agent", "")[:300],
        request_id=getattr(request, "request_id", ""),
    )
    with transaction.atomic():
        record(action, actor=actor, objects=[f"staff:{user.public_id}"], now=timezone.now(), payload=payload)
