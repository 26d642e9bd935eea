"""Threads for calls that anybody can make as often as he likes: nothing else waits behind them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Lane:
    """A few threads, before which at most so many calls wait. To be used by one event loop."""

    def __init__(self, name: str, n_threads: int, n_waiting: int) -> None:
        self.threads = ThreadPoolExecutor(n_threads, name)
        self._most = n_threads + n_waiting
        self._n_calls = 0

    @property
    def is_full(self) -> bool:
        """Whether one more call would wait too long."""
        return self._n_calls >= self._most

    def count(self, call: "asyncio.Future[Any]") -> None:
        """Count a call until it is over."""
        self._n_calls += 1
        call.add_done_callback(self._over)

    def _over(self, _call: "asyncio.Future[Any]") -> None:
        self._n_calls -= 1
