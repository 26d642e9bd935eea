"""How django-allauth fits in: no self sign-up, sealed TOTP secrets, mails through the outbox, audited."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as allauth_context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts.access import SECOND_FACTORS, has_recent_sign_in
from accounts.models import User
from accounts.services import request_password_link
from audit.actions import Action
from audit.services import record
from core.actors import actor_of, client_ip
from core.ids import refs
from core.sealing import seal, unseal

PURPOSE = "second-factor"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Staff are invited; nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: an administrator invites (S1)."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that rate limits and the session list go by: the same that the audit log keeps."""
        return client_ip(request)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Audit a wrong password. What was typed may be anything: only a known address is named."""
        known = User.objects.filter(email__iexact=credentials.get("email", "")).first()
        with transaction.atomic():
            record(
                Action.SIGN_IN_FAILED,
                actor=actor_of(request),
                objects=refs(known) if known else [],
                now=timezone.now(),
                payload={"attempt": "password"},
            )

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """Through the outbox: the link is made when the mail is sent, not here."""
        request_password_link(actor=actor_of(allauth_context.request), user=user, now=timezone.now())

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """allauth itself sends nothing: every mail of the portal goes through the outbox."""

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not for someone who signed in a moment ago: they have just proved who they are."""
        request = allauth_context.request
        if has_recent_sign_in(request):
            return False
        return bool(super().is_reauthentication_required(app=app, **kwargs))


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]  # allauth has no types
    """Signing out elsewhere leaves an event."""

    def end_sessions(self, sessions: list[UserSession]) -> None:
        """End them, with one event that says how many."""
        if not sessions:
            return
        super().end_sessions(sessions)
        record(
            Action.SESSION_ENDED,
            actor=actor_of(allauth_context.request),
            objects=refs(sessions[0].user),
            now=timezone.now(),
            payload={"number": len(sessions)},
        )


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    """Second factors at rest are sealed under FIELD_SECRET (S1)."""

    def encrypt(self, text: str) -> str:
        """Seal a TOTP secret or the seed of recovery codes."""
        return seal(text.encode(), purpose=PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        """Open what `encrypt` sealed, under whichever version of FIELD_SECRET it was."""
        return unseal(encrypted_text, purpose=PURPOSE).decode()

    def get_totp_issuer(self) -> str:
        """What an authenticator app shows beside the code."""
        return "Kagiban"

    def _get_site_name(self) -> str:
        return "Kagiban"

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """The last second factor of someone whose role demands one stays."""
        if not authenticator.user.needs_second_factor or authenticator.type not in SECOND_FACTORS:
            return True
        others = Authenticator.objects.filter(user=authenticator.user, type__in=SECOND_FACTORS)
        return bool(others.exclude(pk=authenticator.pk).exists())
