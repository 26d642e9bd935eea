"""Accounts as a Django application."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Connects the receivers of what allauth does."""

    name = "accounts"

    def ready(self) -> None:
        """Import them once."""
        from accounts import receivers  # noqa: F401  # connects the receivers
