"""Sends a task by its name once the transaction has committed (ARCHITECTURE, "Inside a write")."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def send_on_commit(name: str, *args: str | int) -> None:
    """Queue task `name` with ids after commit. A broker that is down loses nothing: a sweep finds the row."""

    def send() -> None:
        try:
            current_app.send_task(name, args=args, retry=False)
        except OperationalError:
            logger.warning("broker unavailable, left to the sweep", extra={"data": {"task": name}})

    transaction.on_commit(send)
