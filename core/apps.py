"""The `core` app; what it owns stands in docs/architecture.md."""

from importlib import import_module

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Django's registration of the app."""

    name = "core"

    def ready(self) -> None:
        """Make `<number:…>` known before any urls.py is read."""
        import_module("core.paths")
