"""The `partners` app; what it owns stands in docs/architecture.md."""

from django.apps import AppConfig


class PartnersConfig(AppConfig):
    """Django's registration of the app."""

    name = "partners"
