"""The outbox as a Django application."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Connects the outbox to the apps that stand below it."""

    name = "notifications"

    def ready(self) -> None:
        """Give `accounts` the way to the outbox."""
        from accounts import outbox
        from notifications.services import enqueue

        outbox.connect(enqueue)
