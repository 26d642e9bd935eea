"""What every part of `script/bench` runs on: servers of its own, a seeded registry, a verifier."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import psutil

from config import embedded

ROOT = Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


class Seeded(TypedDict):
    """What `script.bench_seed` made."""

    gateway: str
    keys: list[str]


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """PostgreSQL and Valkey with an empty registry; the environment for what runs on them."""
    try:
        over_tcp = embedded.start_valkey(folder)
        variables = {
            **os.environ,
            "DATABASE_URL": embedded.start_postgres(folder),
            "REDIS_URL": embedded.valkey_socket_url(folder) or over_tcp,
            "SECRET_KEY": "b" * 50,
            "API_KEY_HASH_SECRET": f"1:{'a1' * 32}",
            "LINK_SECRET": f"1:{'b1' * 32}",
            "FIELD_SECRET": f"1:{'c1' * 32}",
            # What a cold check costs is not measured here; 1,000 keys have to be proven first.
            "ARGON2_MEMORY_KIB": "1024",
            "ARGON2_TIME_COST": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(ROOT),
        }
        run(["manage.py", "migrate", "--skip-checks", "--verbosity", "0"], variables)
        yield variables
    finally:
        embedded.stop_valkey(folder)
        embedded.stop_postgres(folder)


def run(arguments: list[str], variables: dict[str, str]) -> str:
    """Run Python with these arguments to its end; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=variables, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """What is started within stays on one of the first two cores, where the system can do that."""
    if sys.platform != "linux" or len(CORES) < 2:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def server(module: list[str], port: int, variables: dict[str, str]) -> Iterator[psutil.Process]:
    """Keep a module's server running; it answers when the body begins."""
    with on_core(0):
        process = subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=variables)
    with stopped_at_the_end(process):
        wait_for(port)
        yield psutil.Process(process.pid)


@contextmanager
def stopped_at_the_end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> Iterator[None]:
    """Stop a server after the body."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def processor_seconds(process: psutil.Process) -> float:
    """The processor time of a server and all of its workers up to now."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def seed(variables: dict[str, str], n_keys: int, *limits: dict[str, object]) -> Seeded:
    """So many keys with every limit on, or with these limits in turn; and a gateway."""
    seeded: Seeded = json.loads(run(["-m", "script.bench_seed", str(n_keys), json.dumps(limits)], variables))
    return seeded


def drain(variables: dict[str, str]) -> None:
    """Write what was counted into the registry, once, as beat does every few seconds."""
    code = (
        "import django; django.setup(); from django.utils import timezone; "
        "from verifier.usage.drain import drain_use; drain_use(now=timezone.now())"
    )
    run(["-c", code], variables)


def wait_for(port: int, seconds: int = 30) -> None:
    """Return when something answers HTTP on this port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/nowhere", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("The server did not start.")


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
