"""A database that lets the data plane wait in vain is left alone (V5): each question would keep a thread."""

import threading
import time
from typing import Final

from django.conf import settings

_PAUSE_SECONDS: Final = 0.5


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

    def begin(self, in_vain: float) -> None:
        """Somebody waited so many seconds in vain. Who had not much time to wait has seen nothing."""
        if in_vain < settings.VERIFIER_DATABASE_SECONDS / 2:
            return
        with self._lock:
            self._lasts = True
            self._next_try = time.monotonic() + _PAUSE_SECONDS

    def end(self) -> None:
        """Somebody was answered."""
        self._lasts = False


silence: Final = Silence()
