"""The `core` app; what it owns stands in docs/architecture.md."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Django's registration of the app."""

    name = "core"
