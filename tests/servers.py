"""The servers of one test run: a real PostgreSQL and Valkey, in a folder that goes with the run."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from config import embedded

# Names the run's folder to its worker processes, if the Valkey in it is ours.
FOLDER = "KAGIBAN_TEST_SERVERS"
PREFIX = f"kagiban-test-{os.getuid()}-"
# Stands in the environment of every process that a run starts: the run's folder.
RUN = "KAGIBAN_TEST_RUN"
# Names a database that every migration was run in, for the tests' own to be copied from.
TEMPLATE, TEMPLATE_NAME = "KAGIBAN_TEST_TEMPLATE", "kagiban_template"

_watchers: "dict[Path, subprocess.Popen[bytes]]" = {}


def start() -> Path:
    """Start both, put their URLs in the environment, and return their folder for `stop`.

    `DATABASE_URL` or `REDIS_URL` that stand in the environment are used as they are. A folder per run,
    because two runs at once on one machine must not see each other.
    """
    _remove_orphans()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    os.environ[RUN] = str(folder)
    # What the product keeps in `var/` belongs to whoever works in this checkout.
    os.environ["KAGIBAN_VAR"] = str(folder / "var")
    _watch(folder)
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = embedded.start_postgres(folder, durable=False)
    if not os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = embedded.start_valkey(folder, durable=False)
        os.environ[FOLDER] = str(folder)
    return folder


def begin_template(folder: Path) -> "subprocess.Popen[bytes] | None":
    """Begin to migrate a database that each worker of each suite copies: the process that does it.

    None where `DATABASE_URL` was given: nothing is left lying on somebody's server.
    """
    if not (folder / "pg").exists():
        return None
    embedded.make_database(folder, TEMPLATE_NAME)
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{TEMPLATE_NAME}").geturl()
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    return subprocess.Popen(command, env={**os.environ, "DATABASE_URL": url})


def valkey_of(worker: str) -> str:
    """The URL of the Valkey of one pytest-xdist worker (`gw1`).

    A server of its own, because tests empty and restart what one server has only once (its functions, its run
    id); where `REDIS_URL` was given, a database number of that server.
    """
    if FOLDER in os.environ:
        return embedded.start_valkey(Path(os.environ[FOLDER]) / worker, durable=False)
    number = int(worker.removeprefix("gw")) + 1
    return urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl()


def stop_valkey_of(worker: str) -> None:
    """Stop what `valkey_of` started for this worker, in the process that did."""
    if FOLDER in os.environ:
        embedded.stop_valkey(Path(os.environ[FOLDER]) / worker)


def stop(folder: Path) -> None:
    """Stop what `start` started there and remove the folder."""
    for root in (folder, *folder.glob("gw*")):
        embedded.stop_valkey(root)
    embedded.stop_postgres(folder)
    if os.environ.get(FOLDER) == str(folder):
        del os.environ[FOLDER]
    shutil.rmtree(folder, ignore_errors=True)
    watcher = _watchers.pop(folder, None)
    if watcher is not None:
        watcher.communicate()


def _watch(folder: Path) -> None:
    """Let a process of its own end what this run started, should this run be killed."""
    command = [sys.executable, "-m", "tests.watch", str(folder)]
    # Its standard input ends when this process does, however that happens.
    _watchers[folder] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _remove_orphans() -> None:
    """Stop the servers of runs that were killed before they could do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        runner = folder.name.removeprefix(PREFIX).split("-")[0]
        if not psutil.pid_exists(int(runner)):
            stop(folder)
