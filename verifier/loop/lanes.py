"""Threads for calls of one kind: nothing of another kind waits behind them."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Lane:
    """A few threads, before which at most so many calls wait. To be used by one event loop."""

    def __init__(self, name: str, n_threads: int, *, n_waiting: float = math.inf) -> None:
        self.threads = ThreadPoolExecutor(n_threads, name)
        self._most = n_threads + n_waiting
        self._n_calls = 0

    @property
    def is_full(self) -> bool:
        """Whether one more call would wait too long."""
        return self._n_calls >= self._most

    def begin(self, call: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        """Call it in a thread."""
        self._n_calls += 1
        done = asyncio.get_running_loop().run_in_executor(self.threads, call, *arguments)
        done.add_done_callback(self._over)
        return done

    def _over(self, _call: "asyncio.Future[Any]") -> None:
        self._n_calls -= 1
