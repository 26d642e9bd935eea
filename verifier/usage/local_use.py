"""Use that this process counts by itself while the hot store is away, and its way into the registry (V6).

The same lines as the function's, and written as the drain writes them: a batch under an id in one
transaction, so that a batch whose commit nobody heard of is sent again and counted once. Whoever asks waits
for none of it: a thread writes.
"""

import logging
import os
import threading
import time
import uuid
from collections import Counter
from typing import Final

from django.db import connection
from django.utils import timezone

from verifier.contract import leases
from verifier.contract.codes import Code
from verifier.contract.question import Context
from verifier.registry.reading import for_use
from verifier.usage.lines import record_lines

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 0.5
# As MANY in the function: so many lines with an address has a key id in one batch, the others are `*`.
MOST_ADDRESSES: Final = 400
# While nothing can be written, no more lines than these are kept; those that are there count on.
MOST_LINES: Final = 100_000

# No other check's lease has this at the head of its number, which would have to count to 10^12.
_MARK: Final = b"\xff"
_MARK_AT: Final = 5


def new_lease() -> bytes:
    """A name for what a check holds that only this process has counted: as long as others, and told apart."""
    lease = leases.new_lease()
    return lease[:_MARK_AT] + _MARK + lease[_MARK_AT + 1 :]


def is_local(lease: bytes) -> bool:
    """Whether the check with this lease was counted by a process alone, and reserved nothing in the store."""
    return lease[_MARK_AT : _MARK_AT + 1] == _MARK


class LocalUse:
    """What one process has counted and not written yet."""

    def __init__(self) -> None:
        self._start_anew()
        # What the parent has counted is the parent's to write, and its thread is not there.
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._lines: Counter[str] = Counter()
        self._n_lost = 0
        # What is being written, under its id; nothing is added to it any more, for it may have arrived.
        self._batch: tuple[str, Counter[str]] | None = None
        self._fails = False

    def count(self, key_id: str, code: Code, context: Context, *, now: int) -> None:
        """Count a check (`now` in seconds since 1970), and what it cost where it was let through."""
        begin = f"{now // 60}|{key_id}|"
        with self._lock:
            self._add_check(f"{begin}{code.value}|", context.ip.decode(), key_id)
            if context.cost_micros and code is Code.VALID:
                self._add(f"{begin}$", context.cost_micros)
            self._wake()

    def write(self) -> bool:
        """Write what was counted until now; False where that failed: then all of it waits."""
        with self._writing:
            return self._put(self._batch) and self._put(self._next_batch())

    def forget(self) -> None:
        """Drop what was counted and not written."""
        with self._writing, self._lock:
            self._lines, self._batch = Counter(), None

    def _add_check(self, line: str, address: str, key_id: str) -> None:
        if address and line + address not in self._lines:
            self._lines[key_id] += 1
            if self._lines[key_id] > MOST_ADDRESSES:
                address = "*"
        self._add(line + address, 1)

    def _add(self, line: str, n: int) -> None:
        if line in self._lines or len(self._lines) < MOST_LINES:
            self._lines[line] += n
        else:
            self._n_lost += 1

    def _wake(self) -> None:
        # Inside a transaction (a caller's, a test's) another connection would not find the key.
        if self._thread is None and not connection.in_atomic_block:
            # No daemon, whatever thread this is: the process ends when the rest is written.
            self._thread = threading.Thread(target=self._keep_writing, name="local-use", daemon=False)
            self._thread.start()

    def _keep_writing(self) -> None:
        try:
            while True:
                time.sleep(EVERY_SECONDS)
                is_last = not threading.main_thread().is_alive()
                is_written = self.write()
                if is_last and not is_written:
                    logger.error("the process ends, and its last use could not be written")
                with self._lock:
                    if is_last or (is_written and not self._lines):
                        self._thread = None
                        return
        finally:
            connection.close()

    def _next_batch(self) -> tuple[str, Counter[str]] | None:
        with self._lock:
            if self._n_lost:
                logger.warning("use not counted: too much waits", extra={"data": {"lines": self._n_lost}})
            if self._lines:
                self._batch = (uuid.uuid4().hex, self._lines)
            self._lines, self._n_lost = Counter(), 0
            return self._batch

    def _put(self, batch: tuple[str, Counter[str]] | None) -> bool:
        if batch is None:
            return True
        uid, lines = batch
        try:
            with for_use.reading():
                record_lines(batch=uid, lines=lines, now=timezone.now())
        except Exception as error:  # noqa: BLE001 - whatever it is, what was counted must not be lost
            if not self._fails:
                why = {"lines": len(lines), "error": type(error).__name__}
                logger.warning("use not written, it waits", extra={"data": why})
            self._fails = True
            return False
        self._batch, self._fails = None, False
        return True


of_process: Final = LocalUse()
