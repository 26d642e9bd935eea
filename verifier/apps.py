"""The app's place in Django."""

from django.apps import AppConfig


class VerifierConfig(AppConfig):
    """The verifier and its gateways."""

    name = "verifier"
