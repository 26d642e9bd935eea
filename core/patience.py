"""How long a thread lets the database keep it waiting (V5). `core.postgresql` keeps to it.

A server that was killed refuses at once. One that hangs (its disk, its machine, the network between) takes
what it is asked and says nothing, and no time-out of its own or of TCP's helps: whoever asks would wait for
ever. A thread that has set no bound (a task's, a migration's) waits as long as it takes.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# For whatever still waits when the process ends, else whoever stops it would kill it.
LAST_SECONDS: Final = 4.0


class Patience:
    """A thread's: until when (monotonic seconds) it waits for all that it asks, how long for each answer.

    `in_vain` is how long it waited for the answer that never came; from then on it waits for none.
    `may_have_written`: something was asked that changes the database for good, a commit or a statement of its
    own; whoever lost the answer does not know whether that was done.
    """

    def __init__(self, until: float, each: float) -> None:
        self.until, self.each = until, each
        self.in_vain = 0.0
        self.may_have_written = False

    def gives_up(self, asked_at: float) -> bool:
        """Whether who asked at that moment should wait no longer."""
        now = time.monotonic()
        if now < min(self.until, asked_at + self.each, _end()):
            return False
        self.in_vain, self.until = now - asked_at, min(self.until, now)
        return True


class _Mine(threading.local):
    patience: Patience | None = None


class _Process:
    ends_at = math.inf


_mine = _Mine()


def current() -> Patience | None:
    """The patience of this thread, if it has a bound."""
    return _mine.patience


def left() -> float:
    """For how many seconds this thread will still wait for whatever it asks."""
    mine = _mine.patience
    return math.inf if mine is None else max(0.0, mine.until - time.monotonic())


@contextmanager
def waiting(
    *, seconds: float = math.inf, until: float = math.inf, each: float = math.inf
) -> Iterator[Patience]:
    """Wait for the database no longer than so many seconds, nor past `until`, nor `each` for any one answer.

    What was set around it holds as well.
    """
    outer = _mine.patience
    until = min(until, time.monotonic() + seconds)
    if outer is not None:
        until, each = min(until, outer.until), min(each, outer.each)
    _mine.patience = mine = Patience(until, each)
    try:
        yield mine
    finally:
        _mine.patience = outer


def end_within(seconds: float) -> None:
    """The process is about to end: nobody waits longer than this from now on."""
    _Process.ends_at = min(_Process.ends_at, time.monotonic() + seconds)


def _end() -> float:
    if _Process.ends_at == math.inf and not threading.main_thread().is_alive():
        end_within(LAST_SECONDS)
    return _Process.ends_at
