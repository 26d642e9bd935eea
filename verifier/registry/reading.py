"""The data plane's way to the database: few at once, and never with a connection that has died (V5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

from django.conf import settings
from django.db import close_old_connections, connection

from core import patience
from verifier.registry.silence import silence

WAIT_SECONDS: Final = 1.0
# Whoever waits for the database holds a thread that others need.
N_INSIDE: Final = 4
N_WAITING: Final = 4


class UnavailableError(Exception):
    """The question can't be answered now: 503."""


class Places:
    """A few places at the database, and a short queue before them.

    Who has a place waits for the database for `times` VERIFIER_DATABASE_SECONDS, and never longer than the
    call that it is for has time (`core.patience`).
    """

    def __init__(self, n_inside: int, n_waiting: int, *, times: int = 1) -> None:
        self._inside = BoundedSemaphore(n_inside)
        self._anywhere = BoundedSemaphore(n_inside + n_waiting)
        self._times = times

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A place at the database, with a connection that works.

        Django's own handler would look after the connection; here nobody else does. Raises UnavailableError
        when the queue is full, when no place gets free in time, and while the database does not answer. One
        that stops to answer meanwhile is hung up on: the query raises an error of the database.
        """
        if patience.left() <= 0 or silence.lasts():
            raise UnavailableError
        if not self._anywhere.acquire(blocking=False):
            raise UnavailableError
        try:
            # Half of what is left, so that the database has the other half.
            if not self._inside.acquire(timeout=min(WAIT_SECONDS, patience.left() / 2)):
                raise UnavailableError
            try:
                with patience.waiting(seconds=self._times * settings.VERIFIER_DATABASE_SECONDS) as mine:
                    try:
                        yield from _working()
                    finally:
                        silence.begin(mine.in_vain)
            finally:
                self._inside.release()
        finally:
            self._anywhere.release()


# Apart from each other: a flood of false keys must keep no gateway from being recognised, and no key that the
# store knows from being read again.
for_keys: Final = Places(N_INSIDE, N_WAITING)
for_known: Final = Places(N_INSIDE, 1_000)
for_gateways: Final = Places(2, 2)
# Without the hot store there are no warm checks to keep threads free for: everybody may wait.
for_outages: Final = Places(N_INSIDE, 1_000)
# What was counted meanwhile is written by one thread, which never waits for those who ask; it may be much.
for_use: Final = Places(1, 1, times=15)


def _working() -> Iterator[None]:
    """Lends the thread's connection, and looks after it before and afterwards."""
    _tidy()
    try:
        yield
    finally:
        _tidy()
    silence.end()


def _tidy() -> None:
    # Inside a transaction (a caller's, a test's) the connection is not ours to close.
    if not connection.in_atomic_block:
        close_old_connections()
