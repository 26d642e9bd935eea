"""Verdicts kept for a moment. Off unless asked for: every kept "yes" is a call that nobody counted."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from secrets import token_bytes
from threading import Lock
from typing import Final

from kagiban_client.verdict import Question, Verdict

MOST_ALLOW_SECONDS: Final = 5.0
MOST_REFUSE_SECONDS: Final = 60.0


class Cache:
    """Remembers verdicts by question, safe for threads. Holds no key: only keyed digests of questions.

    `allow_seconds` (at most 5): how long a "yes" is believed, counted from when it was asked for. A key that
    is revoked meanwhile goes on for as long. What is answered from here is not counted: no limit, no budget,
    no use. So a key that has limits, or whose workspace has, is asked about every time, unless `limited` is
    set; and a question with `cost_usd` or `lease_seconds` always is.

    `refuse_seconds` (at most 60): how long a "no" with 401 or 403 is believed. A key that is started again,
    or changed, is refused for as long. What a limit refused is always asked again.
    """

    def __init__(
        self,
        *,
        allow_seconds: float = 0,
        refuse_seconds: float = 0,
        limited: bool = False,
        max_entries: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= allow_seconds <= MOST_ALLOW_SECONDS:
            raise ValueError(f"allow_seconds must lie between 0 and {MOST_ALLOW_SECONDS}")
        if not 0 <= refuse_seconds <= MOST_REFUSE_SECONDS:
            raise ValueError(f"refuse_seconds must lie between 0 and {MOST_REFUSE_SECONDS}")
        self._allow_seconds = allow_seconds
        self._refuse_seconds = refuse_seconds
        self._limited = limited
        self._max_entries = max_entries
        self._clock = clock
        self._secret = token_bytes(32)
        self._entries: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()
        self._lock = Lock()

    def now(self) -> float:
        """This cache's clock; to be read before asking."""
        return self._clock()

    def get(self, question: Question) -> Verdict | None:
        """The verdict on this very question, where one is still believed."""
        name = self._name(question)
        with self._lock:
            until, verdict = self._entries.get(name, (0.0, None))
            if verdict is None:
                return None
            if until <= self._clock():
                del self._entries[name]
                return None
            return verdict

    def put(self, question: Question, verdict: Verdict, asked_at: float) -> None:
        """Keep what may be kept of a verdict that was asked for at `asked_at`."""
        until = asked_at + self._seconds(question, verdict)
        if until <= asked_at:
            return
        fields = {name: value for name, value in verdict.fields.items() if not name.startswith("RateLimit")}
        kept = replace(verdict, check=None, is_cached=True, fields=fields)
        name = self._name(question)
        with self._lock:
            self._entries[name] = (until, kept)
            self._entries.move_to_end(name)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def _seconds(self, question: Question, verdict: Verdict) -> float:
        if verdict.is_degraded:
            return 0
        if not verdict.valid:
            return self._refuse_seconds if verdict.status in {401, 403} else 0
        has_limits = not (verdict.limits.are_none and verdict.workspace_limits.are_none)
        if question.needs.takes or verdict.check or (has_limits and not self._limited):
            return 0
        if verdict.expires_at is None:
            return self._allow_seconds
        left = (verdict.expires_at - datetime.now(UTC)).total_seconds()
        return min(self._allow_seconds, left)

    def _name(self, question: Question) -> bytes:
        return blake2b(question.body(), key=self._secret, digest_size=32).digest()
