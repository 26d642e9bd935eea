"""Requests and their approvals as a Django application."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    """Tells the outbox of the mails about requests."""

    name = "approvals"

    def ready(self) -> None:
        """Register the builders of approvals.mails."""
        from approvals.mails import register_mails

        register_mails()
