"""The servers of one test run: a real PostgreSQL and Valkey, in a folder that goes with the run."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

from config import embedded

PREFIX = f"kagiban-test-{os.getuid()}-"


def start() -> Path:
    """Start both, put their URLs in the environment, and return their folder for `stop`.

    `DATABASE_URL` or `REDIS_URL` that stand in the environment are used as they are. A folder per run,
    because two runs at once on one machine must not see each other.
    """
    _remove_orphans()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = embedded.start_postgres(folder, durable=False)
    if not os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = embedded.start_valkey(folder, durable=False)
    return folder


def stop(folder: Path) -> None:
    """Stop what `start` started there and remove the folder."""
    embedded.stop_valkey(folder)
    embedded.stop_postgres(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_orphans() -> None:
    """Stop the servers of runs that were killed before they could do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        runner = folder.name.removeprefix(PREFIX).split("-")[0]
        if not psutil.pid_exists(int(runner)):
            stop(folder)
