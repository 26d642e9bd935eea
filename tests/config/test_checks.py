"""`check --deploy` is the release checklist (S4): each point fails on its own fault and on nothing else."""

import secrets
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

GOOD: dict[str, Any] = {
    "PEPPERS": {1: secrets.token_bytes(32)},
    "LINK_SECRETS": {1: secrets.token_bytes(32)},
    "FIELD_SECRETS": {1: secrets.token_bytes(32)},
    "API_KEY_AUTH_CACHE_TTL_SECONDS": 300,
    "HOT_STORE_SECONDS": 0.25,
    "PORTAL_URL": "https://keys.example.jp",
    "ALLOWED_ORIGINS": ["https://app.example.jp"],
    "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
    "DEMO": False,
}


def faults(settings: Settings, **changed: Any) -> list[str]:
    for name, value in (GOOD | changed).items():
        setattr(settings, name, value)
    found = [str(message.id) for message in run_checks(include_deployment_checks=True)]
    return [name for name in found if name.startswith("kagiban.")]


def test_good_settings_pass(settings: Settings) -> None:
    assert faults(settings) == []


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("PEPPERS", {1: b"a" * 32}, "kagiban.E001"),
        ("LINK_SECRETS", GOOD["PEPPERS"], "kagiban.E002"),
        ("API_KEY_AUTH_CACHE_TTL_SECONDS", 0, "kagiban.E003"),
        ("API_KEY_AUTH_CACHE_TTL_SECONDS", 301, "kagiban.E003"),
        ("HOT_STORE_SECONDS", 0, "kagiban.E027"),
        ("HOT_STORE_SECONDS", 60, "kagiban.E027"),
        ("PORTAL_URL", "http://keys.example.jp", "kagiban.E006"),
        ("ALLOWED_ORIGINS", ["*"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["http://app.example.jp"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["https://app.example.jp/path"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["https://app.example.jp", "null"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["https://user@app.example.jp"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["https://app.example.jp?a=b"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["https://app.example.jp#top"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["https://app.example.jp:99999"], "kagiban.E007"),
        ("ALLOWED_ORIGINS", ["http://localhost:3000"], "kagiban.E007"),
        ("TRUSTED_PROXIES", ["10.0.0.0/8", "proxy.internal"], "kagiban.E028"),
        ("TRUSTED_PROXIES", ["10.0.0.1/8"], "kagiban.E028"),
        ("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend", "kagiban.E008"),
        ("DEMO", True, "kagiban.E009"),
        ("BUSINESS_OPENS", "19:00", "kagiban.E023"),
        ("BUSINESS_CLOSES", "six", "kagiban.E023"),
        ("BUSINESS_WEEKDAYS", ["Montag"], "kagiban.E023"),
        ("BUSINESS_HOLIDAYS", "XX", "kagiban.E023"),
        ("BUSINESS_DAY_HOURS", 0, "kagiban.E023"),
        ("REMINDER_HOURS", [24, 72], "kagiban.E024"),
    ],
)
def test_each_fault_is_named(settings: Settings, name: str, value: object, fault: str) -> None:
    assert faults(settings, **{name: value}) == [fault]
