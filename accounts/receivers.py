"""What django-allauth tells about sign-ins and second factors becomes an event (L1).

allauth speaks of these by signals only; `accounts.urls` runs its views in a transaction, so that a second
factor and its event stand or fall together.
"""

import time
from typing import Any

from allauth.account import signals as account_signals
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records
from allauth.core import context as allauth_context
from allauth.mfa import signals as mfa_signals
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import outbox
from accounts.models import User
from accounts.services import take_code
from audit.actions import Action
from audit.services import record
from core.actors import client_ip, staff_actor
from core.ids import refs
from core.parsing import digits_of

# What a person is told by mail, whoever did it: "was this not you?"
TOLD = frozenset({Action.PASSWORD_CHANGED, Action.SECOND_FACTOR_ADDED, Action.SECOND_FACTOR_REMOVED})


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


@receiver(post_save, sender=Authenticator)
def on_second_factor_added(instance: Authenticator, created: bool, **_: Any) -> None:
    """A new app, passkey, or recovery codes. allauth's own signal comes after the commit: too late."""
    if not created:
        return
    if instance.type == Authenticator.Type.RECOVERY_CODES:
        _record(Action.RECOVERY_CODES_MADE, allauth_context.request, instance.user)
    else:
        kind = str(instance.type)
        _record(Action.SECOND_FACTOR_ADDED, allauth_context.request, instance.user, kind=kind)
        _count_as_given(allauth_context.request, instance)


@receiver(post_delete, sender=Authenticator)
def on_second_factor_removed(instance: Authenticator, **_: Any) -> None:
    """An authenticator app or a passkey was taken away (recovery codes go with the last)."""
    if instance.type != Authenticator.Type.RECOVERY_CODES:
        kind = str(instance.type)
        _record(Action.SECOND_FACTOR_REMOVED, allauth_context.request, instance.user, kind=kind)


@receiver(mfa_signals.authenticator_used)
def on_second_factor_used(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A recovery code was used up. Codes and passkeys are in the sign-in's own event."""
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        _record(Action.RECOVERY_CODE_USED, request, user)


@receiver(mfa_signals.authentication_failed)
def on_second_factor_failed(request: HttpRequest, user: User, **_: Any) -> None:
    """A wrong code."""
    _record(Action.SIGN_IN_FAILED, request, user, attempt="second factor")


def _count_as_given(request: HttpRequest | None, authenticator: Authenticator) -> None:
    """Setting a factor up needs its first code or touch, so this session has given it."""
    if request is None or request.user != authenticator.user:
        return
    if authenticator.type == Authenticator.Type.TOTP:
        take_code(authenticator=authenticator, code=digits_of(request.POST.get("code", "")))
    given = {"method": "mfa", "type": str(authenticator.type), "at": time.time()}
    before = get_authentication_records(request, request.user)
    request.session[AUTHENTICATION_METHODS_SESSION_KEY] = [*before, given]


def _record(action: Action, request: HttpRequest | None, user: User, **payload: Any) -> None:
    # `request.user` may still, or already, be nobody: the person is the one whom allauth names.
    where = {}
    if request is not None:
        where = {
            "ip": client_ip(request),
            "user_agent": request.headers.get("User-Agent", "")[:300],
            "request_id": getattr(request, "request_id", ""),
        }
    actor = staff_actor(user, **where)
    now = timezone.now()
    with transaction.atomic():
        event = record(action, actor=actor, objects=refs(user), now=now, payload=payload)
        if action in TOLD and request is not None:
            outbox.enqueue(
                "account_changed",
                recipient_ref=user.public_id,
                context={"event": str(event.uid)},
                dedupe_key=f"account_changed:{event.uid}",
                now=now,
            )
