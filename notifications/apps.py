"""The outbox as a Django application."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Connects the outbox to the apps that stand below it."""

    name = "notifications"

    def ready(self) -> None:
        """Give `accounts` the way to the outbox, its mails their builders, the navigation what failed."""
        from accounts import outbox
        from accounts.navigation import register_counter
        from notifications import staff_mails
        from notifications.selectors import n_failed
        from notifications.services import enqueue

        outbox.connect(enqueue)
        register_counter("notifications:message-list", lambda _user: n_failed())
        staff_mails.register()
