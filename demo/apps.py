"""The demo as a Django app."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Brings the demo's commands."""

    name = "demo"
