"""A mail server for the outbox, and people and things to write about."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import smtp_sink


@pytest.fixture
def sink(settings: Any) -> Iterator[smtp_sink.Sink]:
    """A real mail server on the loopback, which this process's mails go to."""
    with smtp_sink.running() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST = "127.0.0.1"
        settings.EMAIL_PORT = running.port
        settings.EMAIL_TIMEOUT = 3
        yield running
