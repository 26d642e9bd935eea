"""Registers what concerns the project as a whole: the release checklist."""

from django.apps import AppConfig


class KagibanConfig(AppConfig):
    """The project itself."""

    name = "config"
    verbose_name = "Kagiban"

    def ready(self) -> None:
        """Register the deployment checks."""
        from config import checks  # noqa: F401 - importing registers them
