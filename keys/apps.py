"""The `keys` app; what it owns stands in docs/architecture.md."""

from django.apps import AppConfig


class KeysConfig(AppConfig):
    """Django's registration of the app."""

    name = "keys"

    def ready(self) -> None:
        """Register the builders of keys.mails."""
        from keys import mails, quarantine_mails, retirement_mails
        from notifications import registry

        for folder, builders in mails.BUILDERS.items():
            registry.register(folder, *builders)
        registry.register("keys/life", *quarantine_mails.BUILDERS, *retirement_mails.BUILDERS)
