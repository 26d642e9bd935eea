"""The data plane's way to the database: few at once, and never with a connection that has died (V5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

from django.db import close_old_connections, connection

WAIT_SECONDS: Final = 1.0
# Of a process's 16 threads: whoever waits for the database holds a thread that warm checks need.
N_INSIDE: Final = 4
N_WAITING: Final = 4


class UnavailableError(Exception):
    """The question can't be answered now: 503."""


class Places:
    """A few places at the database, and a short queue before them."""

    def __init__(self, n_inside: int, n_waiting: int) -> None:
        self._n_inside = n_inside
        self._inside = BoundedSemaphore(n_inside)
        self._anywhere = BoundedSemaphore(n_inside + n_waiting)

    def let_wait(self, n_waiting: int) -> None:
        """Change how many may wait; to be called before anybody does."""
        self._anywhere = BoundedSemaphore(self._n_inside + n_waiting)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A place at the database, with a connection that works.

        Django's own handler would look after the connection; here nobody else does. Raises UnavailableError
        when the queue is full, or no place gets free in time.
        """
        if not self._anywhere.acquire(blocking=False):
            raise UnavailableError
        try:
            if not self._inside.acquire(timeout=WAIT_SECONDS):
                raise UnavailableError
            try:
                _tidy()
                yield
            finally:
                _tidy()
                self._inside.release()
        finally:
            self._anywhere.release()


# Apart from each other: a flood of false keys must not keep a gateway from being recognised.
for_keys: Final = Places(N_INSIDE, N_WAITING)
for_gateways: Final = Places(2, 2)
# Without the hot store there are no warm checks to keep threads free for: everybody may wait.
for_outages: Final = Places(N_INSIDE, 1_000)
# What was counted meanwhile is written by one thread, which never waits for those who ask.
for_use: Final = Places(1, 1)


def _tidy() -> None:
    # Inside a transaction (a caller's, a test's) the connection is not ours to close.
    if not connection.in_atomic_block:
        close_old_connections()
