"""Connections that are given up, and made, as patiently as their thread is (`core.patience`).

libpq has a time-out for a new connection (in whole seconds, two at least), and none for an answer.
"""

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, Final

import psycopg
from django.db.backends.postgresql import base

from core import patience
from core.patience import Patience

_LOOK_SECONDS: Final = 0.05


class NoAnswerError(psycopg.OperationalError):
    """The database did not answer for as long as this thread wanted to wait."""


class Connection(psycopg.Connection[Any]):
    """A connection that is hung up where the server does not answer in time."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for what was asked: a statement's result, a commit."""
        mine = patience.current()
        if mine is None:
            return super().wait(gen, *arguments, **options)
        try:
            return super().wait(_patiently(gen, mine), *arguments, **options)
        except NoAnswerError:
            # What it says later is the answer to nobody's question.
            self.pgconn.finish()
            raise


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with these connections."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, in a thread of its own where this one does not wait for ever."""
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        mine = patience.current()
        if mine is None:
            return Connection.connect(**conn_params)
        return _made(lambda: Connection.connect(**conn_params), mine)

    def commit(self) -> None:
        """Commit; whoever waits in vain for its answer does not know whether it was done."""
        mine = patience.current()
        if mine is not None:
            mine.may_have_written = True
        super().commit()


def _patiently(work: Generator[Any, Any, Any], mine: Patience) -> Generator[Any, Any, Any]:
    """As `work`, which psycopg resumes ten times a second, with nothing while the server says nothing."""
    asked_at, ready = time.monotonic(), None
    while True:
        try:
            wanted = work.send(ready)
        except StopIteration as done:
            return done.value
        ready = yield wanted
        if not ready and mine.gives_up(asked_at):
            raise NoAnswerError("The database does not answer.")


def _made(make: Callable[[], Connection], mine: Patience) -> Connection:
    asked_at = time.monotonic()
    made: Future[Connection] = Future()

    def work() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the one who waits
            made.set_exception(error)

    if not mine.gives_up(asked_at):
        Thread(target=work, name="connect", daemon=True).start()
        while not mine.gives_up(asked_at):
            if wait([made], _LOOK_SECONDS).done:
                return made.result()
        made.add_done_callback(_close)
    raise NoAnswerError("The database is not reached.")


def _close(made: "Future[Connection]") -> None:
    if made.exception() is None:
        made.result().close()
