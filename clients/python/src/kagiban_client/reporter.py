"""Tells how calls ended, from a thread beside them: no caller waits for it."""

import atexit
import logging
import os
import threading
from collections import deque

from kagiban_client.client import Client
from kagiban_client.errors import KagibanError
from kagiban_client.usage import MOST_AT_ONCE, Outcome

logger = logging.getLogger(__name__)


class Reporter:
    """Collects outcomes and sends them in batches, `every` so many seconds; the rest when the process ends.

    While the verifier is away they wait, at most `max_waiting` of them; beyond that the oldest are lost
    (`n_lost`), and what they held is freed when its lease ends.
    """

    def __init__(self, client: Client, *, every: float = 0.5, max_waiting: int = 10_000) -> None:
        self._client = client
        self._every = every
        self._max_waiting = max_waiting
        self._waiting: deque[Outcome] = deque()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._process = 0
        self._is_over = threading.Event()
        self.n_lost = 0

    def add(self, outcome: Outcome) -> None:
        """Take one more; never waits, never raises."""
        with self._lock:
            self._waiting.append(outcome)
            while len(self._waiting) > self._max_waiting:
                self._waiting.popleft()
                self.n_lost += 1
            if self._process != os.getpid():
                # Threads do not survive a fork, so each process has one of its own.
                self._process = os.getpid()
                self._sending = threading.Lock()
                self._is_over = threading.Event()
                threading.Thread(
                    target=self._run, args=[self._is_over], name="kagiban-reporter", daemon=True
                ).start()
                atexit.register(self.close)

    def flush(self) -> bool:
        """Send what waits; False where some of it could not be sent and still waits."""
        with self._sending:
            while batch := self._batch():
                try:
                    receipt = self._client.report(*batch)
                except KagibanError as error:
                    logger.warning("outcomes wait: %s", error)
                    with self._lock:
                        self._waiting.extendleft(reversed(batch))
                    return False
                for reason in receipt.wrong:
                    logger.error("an outcome was refused: %s", reason)
                    self.n_lost += 1
        return True

    def close(self) -> bool:
        """`flush`, and send nothing more by itself until something is added again."""
        atexit.unregister(self.close)
        self._is_over.set()
        self._process = 0
        return self.flush()

    def _batch(self) -> list[Outcome]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]

    def _run(self, is_over: threading.Event) -> None:
        while not is_over.wait(self._every):
            try:
                self.flush()
            except Exception:
                # Whatever it was, the next outcomes are to be told as well.
                logger.exception("outcomes could not be sent")
