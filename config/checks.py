"""`manage.py check --deploy` as the release checklist of the security runbook (S4)."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from core.addresses import parse_network
from core.business_time import office
from core.origins import parse_origin
from intake.mailbox import parse_place
from notifications.hooks import secret_bytes

LONGEST_CACHE_TTL = 300
LONGEST_HOT_STORE_SECONDS = 2
MIN_DIFFERENT_BYTES = 16
MIN_HOOK_BYTES = 24
NO_MAIL = ("console", "dummy", "locmem", "filebased", "django_mail_preview")


@register(Tags.security, deploy=True)
def check_secrets(**_: Any) -> list[CheckMessage]:
    """Each server secret is random enough, and none serves two purposes."""
    errors: list[CheckMessage] = []
    seen: dict[bytes, str] = {}
    for name, versions in (
        ("API_KEY_HASH_SECRET", settings.PEPPERS),
        ("LINK_SECRET", settings.LINK_SECRETS),
        ("FIELD_SECRET", settings.FIELD_SECRETS),
    ):
        for version, secret in versions.items():
            if len(set(secret)) < MIN_DIFFERENT_BYTES:
                errors.append(
                    _error(1, f"{name} version {version} is weak.", "Make it with `openssl rand -hex 32`.")
                )
            if secret in seen:
                errors.append(
                    _error(2, f"{name} and {seen[secret]} share a value.", "Give each its own secret.")
                )
            seen[secret] = name
    return errors


@register(Tags.security, deploy=True)
def check_verifier(**_: Any) -> list[CheckMessage]:
    """Cache lifetime and patience with the hot store are what the runbook asks for."""
    errors: list[CheckMessage] = []
    if not 1 <= settings.API_KEY_AUTH_CACHE_TTL_SECONDS <= LONGEST_CACHE_TTL:
        errors.append(
            _error(
                3,
                "API_KEY_AUTH_CACHE_TTL_SECONDS is not between 1 and 300.",
                "It bounds how long a key lives on after a revocation that the cache could not be told of.",
            )
        )
    if not 0 < settings.HOT_STORE_SECONDS <= LONGEST_HOT_STORE_SECONDS:
        errors.append(
            _error(27, "HOT_STORE_SECONDS is not above 0 and at most 2.", "A check waits for so long: 0.25.")
        )
    return errors


@register(Tags.security, deploy=True)
def check_addresses(**_: Any) -> list[CheckMessage]:
    """TLS; origins are real front ends, proxies addresses; mail leaves the machine; no demo."""
    errors: list[CheckMessage] = []
    if urlsplit(settings.PORTAL_URL).scheme != "https":
        errors.append(_error(6, "PORTAL_URL is not https.", "Mail links must lead to TLS."))
    for origin in settings.ALLOWED_ORIGINS:
        try:
            hint = "" if parse_origin(origin).startswith("https:") else "Pages with keys are served by https."
        except ValueError as error:
            hint = str(error)
        if hint:
            errors.append(_error(7, f"ALLOWED_ORIGINS has {origin!r}: no page there reads refusals.", hint))
    for text in settings.TRUSTED_PROXIES:
        try:
            parse_network(text, strict=True)
        except ValueError as error:
            errors.append(_error(28, f"TRUSTED_PROXIES has {text!r}: no proxy is believed.", str(error)))
    if any(word in settings.EMAIL_BACKEND for word in NO_MAIL):
        errors.append(
            _error(8, "Mail does not leave this machine.", "Set EMAIL_URL, for example smtp+tls://…")
        )
    if settings.DEMO:
        errors.append(_error(9, "DEMO is on: its passwords are printed.", "Unset DEMO."))
    return errors


@register(Tags.security, deploy=True)
def check_bounce_hook(**_: Any) -> list[CheckMessage]:
    """The secrets of the bounce webhook can be read and are long enough."""
    errors: list[CheckMessage] = []
    for secret in settings.BOUNCE_WEBHOOK_SECRETS:
        try:
            is_long = len(secret_bytes(secret)) >= MIN_HOOK_BYTES
        except ValueError:
            is_long = False
        if not is_long:
            hint = 'Make it with `echo "whsec_$(openssl rand -base64 32)"`.'
            errors.append(_error(20, "A secret of BOUNCE_WEBHOOK_SECRET is weak or can't be read.", hint))
    return errors


@register(Tags.security, deploy=True)
def check_mailbox(**_: Any) -> list[CheckMessage]:
    """The mailbox's address can be read, and its password doesn't travel in clear."""
    if not settings.IMAP_URL:
        return []
    try:
        place, _password = parse_place(settings.IMAP_URL)
    except ValueError as error:
        return [_error(21, "IMAP_URL can't be read.", str(error))]
    if place.scheme == "imap" and not place.is_near:
        return [_error(22, "IMAP_URL asks for no encryption.", "Write imaps:// or imap+starttls://.")]
    return []


@register(Tags.security)
def check_business_hours(**_: Any) -> list[CheckMessage]:
    """The office opens at some time, its country is known, and reminders come before the escalation."""
    try:
        now = datetime.now(tz=UTC)
        office().add(now, 0)
    except (ValueError, NotImplementedError) as error:
        return [_error(23, "The business hours can't be read.", f"BUSINESS_…: {error}")]
    if any(not 0 < hours < settings.ESCALATION_HOURS for hours in settings.REMINDER_HOURS):
        hint = "Every one of REMINDER_HOURS must lie between 0 and ESCALATION_HOURS."
        return [_error(24, "A reminder would come after the escalation.", hint)]
    return []


def _error(number: int, message: str, hint: str) -> CheckMessage:
    return Error(message, hint=hint, id=f"kagiban.E{number:03d}")
