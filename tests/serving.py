"""A verifier's process on the database of this test run."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A verifier on this worker's database; its port and its process."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    environment = {**os.environ, "DATABASE_URL": database.geturl(), "PYTHONWARNINGS": "ignore"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "config.verifier", "--port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        _wait_for(port, process)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 30).close()
        except OSError:
            time.sleep(0.02)
            continue
        return
    raise AssertionError("It did not start.")
