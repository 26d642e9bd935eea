"""Requests and their approvals as a Django application."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    """Tells the outbox of the mails about requests, and the navigation of the number that waits."""

    name = "approvals"

    def ready(self) -> None:
        """Register the builders of approvals.home.mails and the counter."""
        from accounts.navigation import register_counter
        from approvals.home.mails import register_mails
        from approvals.policies.selectors.policies import count_policies_to_decide
        from approvals.requests.selectors.requests import count_waiting

        register_mails()
        register_counter("approvals:queue", count_waiting)
        register_counter("approvals:policy-list", count_policies_to_decide)
