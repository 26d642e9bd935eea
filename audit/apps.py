"""The `audit` app; what it owns stands in docs/architecture.md."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Django's registration of the app."""

    name = "audit"
