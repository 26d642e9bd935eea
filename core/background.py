"""Sends a task by its name once the transaction has committed (ARCHITECTURE, "Inside a write")."""

import logging
import time
from typing import Final

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

# So long a broker that failed is not tried: a change that sends ten mails must not wait for it ten times.
REST_SECONDS: Final = 10.0


class _Broker:
    """Until when (monotonic seconds) this process leaves the broker alone."""

    rests_until = 0.0


def resume() -> None:
    """Ask the broker again at once, whatever it did to this process before."""
    _Broker.rests_until = 0.0


def send_on_commit(name: str, *args: str | int) -> None:
    """Queue task `name` with ids after commit. A broker that is down loses nothing: a sweep finds the row."""

    def send() -> None:
        try:
            if time.monotonic() >= _Broker.rests_until:
                current_app.send_task(name, args=args, retry=False)
                return
        except OperationalError:
            _Broker.rests_until = time.monotonic() + REST_SECONDS
        logger.warning("broker unavailable, left to the sweep", extra={"data": {"task": name}})

    transaction.on_commit(send)
