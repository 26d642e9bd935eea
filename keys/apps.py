"""The `keys` app; what it owns stands in docs/architecture.md."""

from django.apps import AppConfig


class KeysConfig(AppConfig):
    """Django's registration of the app."""

    name = "keys"

    def ready(self) -> None:
        """Register the builders of the mails about keys."""
        from keys import (
            delivery_mails,
            mails,
            quarantine_mails,
            retirement_mails,
            status_mails,
            workspace_mails,
        )
        from notifications import registry

        registry.register("keys/delivery", *delivery_mails.BUILDERS)
        registry.register("keys/life", *mails.BUILDERS)
        registry.register("keys/life", *quarantine_mails.BUILDERS)
        registry.register("keys/life", *retirement_mails.BUILDERS)
        registry.register("keys/life", *status_mails.BUILDERS)
        registry.register("keys/workspaces", *workspace_mails.BUILDERS)
