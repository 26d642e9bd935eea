"""The mail server of the outbox's tests."""

from tests.notifications.conftest import sink

__all__ = ["sink"]
