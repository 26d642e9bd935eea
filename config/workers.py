"""Keeps several processes of the verifier on one socket, until told to stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import Final

# The status of a process that can't have its port; another one in its place would not get it either.
TAKEN: Final = 69
# Of one whose workers end before they are ready, each time.
NEVER_READY: Final = 70

_LOOK_SECONDS: Final = 0.1
# Between a start and the next one: twice as long each time, until a worker gets ready.
_FIRST_PAUSE_SECONDS: Final = 0.5
_MAX_PAUSE_SECONDS: Final = 30.0
# So many in vain, and it is no accident.
_MAX_TRIES: Final = 4


class Workers:
    """The processes, and how their starts went. Each tells through a pipe that it is ready."""

    def __init__(self, listener: socket.socket, n_workers: int) -> None:
        self._n_workers = n_workers
        self._told, self._tells = os.pipe()
        os.set_blocking(self._told, False)
        self._inherited = [listener.fileno(), self._tells]
        self._command = [
            sys.executable, "-m", "config.verifier",
            "--socket", str(listener.fileno()), "--ready", str(self._tells),
        ]  # fmt: skip
        self._running: list[subprocess.Popen[bytes]] = []
        self._last_status = 0
        self._has_served = False
        self._n_tries = 0
        self._not_before = 0.0

    def look(self) -> int:
        """Replace those that have ended; a status where that is of no use."""
        for worker in self._running:
            if worker.poll() is not None:
                self._last_status = worker.returncode
        if any(worker.returncode == TAKEN for worker in self._running):
            return TAKEN
        self._running = [worker for worker in self._running if worker.returncode is None]
        if _read(self._told):
            self._has_served, self._n_tries = True, 0
        n_missing, now = self._n_workers - len(self._running), time.monotonic()
        if not n_missing or now < self._not_before:
            return 0
        if self._has_served or self._n_tries < _MAX_TRIES:
            self._start(n_missing, now)
            return 0
        return 0 if self._running else self._give_up()

    def end(self) -> None:
        """Tell all to end, and wait until they have."""
        for worker in self._running:
            worker.terminate()
        for worker in self._running:
            worker.wait()

    def _start(self, n: int, now: float) -> None:
        pause = min(_FIRST_PAUSE_SECONDS * 2**self._n_tries, _MAX_PAUSE_SECONDS)
        self._n_tries, self._not_before = self._n_tries + 1, now + pause
        self._running += [subprocess.Popen(self._command, pass_fds=self._inherited) for _ in range(n)]

    def _give_up(self) -> int:
        sys.stderr.write(
            f"Kagiban: No worker could start in {_MAX_TRIES} tries; "
            f"the last one ended with status {self._last_status}.\n"
        )
        return NEVER_READY


def keep(listener: socket.socket, n_workers: int) -> int:
    """Keep so many workers on one socket until told to stop; the status to end with."""
    stopping, status = False, 0

    def stop(*_signal: object) -> None:
        nonlocal stopping
        stopping = True

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    workers = Workers(listener, n_workers)
    while not stopping and not status:
        status = workers.look()
        time.sleep(_LOOK_SECONDS)
    # Else who calls now would wait for the workers' last answers, and be told nothing.
    listener.close()
    workers.end()
    return status


def tell_ready(pipe: int | None) -> None:
    """In a worker: that it answers."""
    if pipe is not None:
        with suppress(OSError):
            os.write(pipe, b".")
        os.close(pipe)


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, 1_024)
    except BlockingIOError:
        return b""
