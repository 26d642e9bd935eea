"""The data plane's way to the database: few at once, and never with a connection that has died (V5)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

from django.db import close_old_connections, connection

N_CORES: Final = os.cpu_count() or 1
WAIT_SECONDS: Final = 1.0

# Enough to keep the database busy, few enough that warm checks always find a free thread.
_places = BoundedSemaphore(2 * N_CORES)


class UnavailableError(Exception):
    """The question can't be answered now: 503."""


@contextmanager
def reading() -> Iterator[None]:
    """A place at the database. Django's own handler would look after the connection; here nobody else does.

    Raises UnavailableError when no place gets free in time.
    """
    if not _places.acquire(timeout=WAIT_SECONDS):
        raise UnavailableError
    try:
        _tidy()
        yield
    finally:
        _tidy()
        _places.release()


def _tidy() -> None:
    # Inside a transaction (a caller's, a test's) the connection is not ours to close.
    if not connection.in_atomic_block:
        close_old_connections()
