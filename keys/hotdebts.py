"""Changes that the hot store could not be told of: a thread tells them as soon as it answers again (V4).

A store that was killed is no danger: it comes back with another mark, and believes none of its records. One
that only did not answer for a while, or could not be reached from here, still has them.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from django.db import DatabaseError, connection

from keys.hotsocket import StoreUnavailableError

logger = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 0.25


class Debts:
    """What this process owes the store. `pay` tells it of one key, and raises while it can't be told."""

    def __init__(self, pay: Callable[[str], object]) -> None:
        self._pay = pay
        self._lock = threading.Lock()
        self._owed: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        # The parent's thread is not there, and its debts are not ours.
        os.register_at_fork(after_in_child=self._forget)

    def add(self, public_id: str, *, seconds: float) -> None:
        """Tell of this key, for so long; after that no record is left that could tell otherwise."""
        with self._lock:
            self._owed[public_id] = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_paying, name="hot-debts", daemon=True)
                self._thread.start()

    def _forget(self) -> None:
        self._lock, self._owed, self._thread = threading.Lock(), {}, None

    def _keep_paying(self) -> None:
        while True:
            time.sleep(_EVERY_SECONDS)
            with self._lock:
                now = time.monotonic()
                self._owed = {name: until for name, until in self._owed.items() if until > now}
                if not self._owed:
                    self._thread = None
                    return
                names = list(self._owed)
            try:
                self._pay_all(names)
            finally:
                connection.close()

    def _pay_all(self, names: list[str]) -> None:
        for name in names:
            with self._lock:
                until = self._owed.get(name)
            try:
                self._pay(name)
            except (StoreUnavailableError, DatabaseError):
                return  # as it would be for the others
            except Exception:
                # Whatever it is, the others must be told all the same.
                logger.exception("hot store not told", extra={"data": {"key": name}})
            with self._lock:
                # Changed and owed again meanwhile: once more.
                if self._owed.get(name) == until:
                    self._owed.pop(name, None)
