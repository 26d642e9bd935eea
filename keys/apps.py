"""The `keys` app; what it owns stands in docs/architecture.md."""

from django.apps import AppConfig


class KeysConfig(AppConfig):
    """Django's registration of the app."""

    name = "keys"

    def ready(self) -> None:
        """Register the builders of the mails about keys."""
        from keys.delivery import mails as delivery_mails
        from keys.life.mails import (
            life as mails,
        )
        from keys.life.mails import (
            quarantine as quarantine_mails,
        )
        from keys.life.mails import (
            retirement as retirement_mails,
        )
        from keys.status import mails as status_mails
        from keys.workspaces import mails as workspace_mails
        from notifications import registry

        registry.register("keys/delivery", *delivery_mails.BUILDERS)
        registry.register("keys/life", *mails.BUILDERS)
        registry.register("keys/life", *quarantine_mails.BUILDERS)
        registry.register("keys/life", *retirement_mails.BUILDERS)
        registry.register("keys/life", *status_mails.BUILDERS)
        registry.register("keys/workspaces", *workspace_mails.BUILDERS)
