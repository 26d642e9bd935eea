"""Changes that the hot store could not be told of: a thread tells them as soon as it answers again (V4).

A store that was killed is no danger: it comes back with another mark, and believes none of its records. One
that only did not answer for a while, or could not be reached from here, still has them.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db import DatabaseError, connection

from keys.hotstore.connection import StoreUnavailableError

logger = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Debt:
    """`pay` tells the store, and raises while it can't be told; `until` (monotonic seconds) it matters."""

    pay: Callable[[str], object]
    until: float


class Debts:
    """What this process owes the store: the keys and workspaces that it was not told of, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owed: dict[str, _Debt] = {}
        self._thread: threading.Thread | None = None
        # The parent's thread is not there, and its debts are not ours.
        os.register_at_fork(after_in_child=self._forget)

    def add(self, public_id: str, pay: Callable[[str], object], *, seconds: float) -> None:
        """Tell of it, for so long; after that no record is left that could tell otherwise."""
        with self._lock:
            self._owed[public_id] = _Debt(pay, time.monotonic() + seconds)
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
                self._owed = {name: debt for name, debt in self._owed.items() if debt.until > now}
                if not self._owed:
                    self._thread = None
                    return
                owed = dict(self._owed)
            try:
                self._pay_all(owed)
            finally:
                connection.close()

    def _pay_all(self, owed: dict[str, _Debt]) -> None:
        for name in owed:
            with self._lock:
                debt = self._owed[name]
            try:
                debt.pay(name)
            except (StoreUnavailableError, DatabaseError):
                return  # as it would be for the others
            except Exception:
                # Whatever it is, the others must be told all the same.
                logger.exception("hot store not told", extra={"data": {"what": name}})
            with self._lock:
                # Changed and owed again meanwhile: once more.
                if self._owed[name] is debt:
                    del self._owed[name]
