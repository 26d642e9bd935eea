"""Mail intake as a Django application."""

from django.apps import AppConfig


class IntakeConfig(AppConfig):
    """Tells the outbox of the acknowledgement, and the navigation of the number that waits."""

    name = "intake"

    def ready(self) -> None:
        """Register the builder of intake.mails and the counter."""
        from accounts.navigation import register_counter
        from intake.mails import register_mails
        from intake.selectors import count_waiting

        register_mails()
        register_counter("intake:mail-list", count_waiting)
