"""How long the data plane waits for the database: a server that hangs is hung up on, and left alone (V5).

One that was killed refuses at once. One that hangs (its disk, its machine, the network between) takes what it
is asked and says nothing, and no time-out of its own or of TCP's helps: each question would keep a thread.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseFailure
from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_LOOK_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 0.5
# For whatever still waits when the process ends, else whoever stops it would kill it.
_LAST_SECONDS: Final = 4.0


class Silence:
    """Whether the database lets us wait in vain. While it does, one at a time tries whether it still does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lasts = False
        self._next_try = 0.0

    def lasts(self) -> bool:
        """Whether to leave the database alone; False, too, for the one who shall try."""
        if not self._lasts:
            return False
        with self._lock:
            now = time.monotonic()
            tries = now >= self._next_try
            if tries:
                self._next_try = now + settings.VERIFIER_DATABASE_SECONDS + _PAUSE_SECONDS
            return not tries

    def begin(self) -> None:
        """Somebody waited in vain."""
        with self._lock:
            self._lasts = True
            self._next_try = time.monotonic() + _PAUSE_SECONDS

    def end(self) -> None:
        """Somebody was answered."""
        self._lasts = False


silence: Final = Silence()


class _Watch:
    """One thread that hangs up for all who wait too long: until when, and over which connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[float, BaseDatabaseWrapper]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, seconds: float) -> Iterator[None]:
        """Hang up on the database unless the caller's thread is done with it in so many seconds."""
        me, until = threading.get_ident(), time.monotonic() + seconds
        with self._lock:
            self._waiting[me] = (until, connections[DEFAULT_DB_ALIAS])
            # A thread of before a fork is not alive here.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="patience", daemon=True)
                self._thread.start()
        try:
            yield
        except DatabaseFailure:
            if time.monotonic() >= until:
                silence.begin()
            raise
        finally:
            with self._lock:
                del self._waiting[me]

    def _look(self) -> None:
        end = math.inf
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            if end == math.inf and not threading.main_thread().is_alive():
                end = now + _LAST_SECONDS
            # Under the lock: whoever is done is not hung up on.
            with self._lock:
                for until, wrapper in self._waiting.values():
                    # Those who come wait no longer than this, even while its user tries once more to connect.
                    if now >= min(until, end) and _hang_up(wrapper):
                        silence.begin()


watch: Final = _Watch()


def _hang_up(wrapper: "BaseDatabaseWrapper") -> bool:
    """End a connection under its user, whose query fails then as if the server had been killed.

    Returns whether the server owed an answer; its user may also be busy with something else.
    """
    raw = wrapper.connection
    if raw is None:
        return False  # It is being opened, which has a time-out of its own.
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(raw.fileno())) as ours:
        is_owed = raw.info.transaction_status == TransactionStatus.ACTIVE
        ours.shutdown(socket.SHUT_RDWR)
        return bool(is_owed)
    return False
