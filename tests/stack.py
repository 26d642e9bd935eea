"""Servers of a test's own: PostgreSQL and Valkey that it may stop and kill, and a verifier that asks them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from config import embedded
from keys.hotstore.cluster import PAUSE_SECONDS
from keys.hotstore.connection import TIMEOUT_SECONDS
from tests.serving import ROOT, STARTS_WITHIN_S, await_workers, free_port, wait_for

RECOVERS_WITHIN_S = 10.0
ANSWERS_WITHIN_S = 3.0
# Both ways to run it: the verifier's own server, and any WSGI server.
SERVERS = {
    "own": ["-m", "config.verifier", "--workers", "2", "--port"],
    "wsgi": [
        "-m", "granian", "--interface", "wsgi", "--no-ws", "--log-level", "error", "--blocking-threads", "8",
        "config.wsgi:application", "--port",
    ],
}  # fmt: skip


# Those that are connected before anybody asks.
WORKERS = {"own": 2, "wsgi": 0}


@dataclass
class Stack:
    """Servers of its own, a verifier in a process of its own, and what it needs to be asked."""

    folder: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"
    port: int
    gateway: str
    keys: list[str]

    def ask(self, text: str, **question: Any) -> tuple[int, dict[str, Any], float]:
        """Status, body and seconds of one check."""
        return self.post("keys/verify", {"key": text, "ip": "203.0.113.9", **question})

    def post(self, path: str, told: object) -> tuple[int, dict[str, Any], float]:
        """Status, body and seconds of one call below `/v1/`."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/{path}",
            data=json.dumps(told).encode(),
            headers={"Authorization": f"Bearer {self.gateway}", "Content-Type": "application/json"},
        )
        started = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        return status, json.loads(body), time.perf_counter() - started

    def await_answer(self, text: str, wanted: Callable[[int, dict[str, Any]], bool]) -> None:
        """Ask until the answer is as wanted; it must be within seconds."""
        end = time.monotonic() + RECOVERS_WITHIN_S
        while True:
            status, body, _ = self.ask(text)
            if wanted(status, body):
                return
            assert time.monotonic() < end, (status, body)

    def stays(self, text: str, wanted: Callable[[int, dict[str, Any]], bool], seconds: float) -> None:
        """Ask for so long: every answer is as wanted, and none takes long.

        Where this machine held the store up for longer than it is waited for, the answer may be that nobody
        can tell now; those after it are as wanted again. That happens once or twice.
        """
        n_late = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status, body, took = self.ask(text)
            assert took < ANSWERS_WITHIN_S
            if not wanted(status, body):
                assert took > TIMEOUT_SECONDS, (status, body)
                assert body["code"] == "UNAVAILABLE"
                n_late += 1
                self.await_rest()
        assert n_late <= 2

    def await_start(self, n_workers: int) -> None:
        """Until it answers, by each of so many workers: one that began in an outage would know no gateway."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=STARTS_WITHIN_S):
            pass
        await_workers(self.process, self.environment["REDIS_URL"], n_workers)

    def missing(self) -> set[str]:
        """What `/readyz` says is away."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=20) as response:
                told = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                told = json.loads(error.read())
        return {name for name, answers in told.items() if answers is False}

    def kill_valkey(self) -> None:
        client = redis.Redis.from_url(self.environment["REDIS_URL"])
        pid = int(client.info("server")["process_id"])
        client.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def start_valkey(self) -> None:
        assert embedded.start_valkey(self.folder) == self.environment["REDIS_URL"]

    def await_rest(self) -> None:
        """Until each worker asks the store again: a server that failed is left alone for a moment."""
        time.sleep(PAUSE_SECONDS)

    @contextmanager
    def database(self) -> Iterator["psycopg.Connection"]:
        """A connection to the registry."""
        url = self.environment["DATABASE_URL"].replace("postgres://", "postgresql://", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    def sql(self, statement: str) -> None:
        with self.database() as connection:
            connection.execute(statement.encode())

    def stop_verifier(self) -> None:
        """As a person or a service manager stops it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)


@dataclass
class Seed:
    """A migrated cluster with three keys and a gateway, to be copied: making it takes long."""

    folder: Path
    gateway: str
    keys: list[str]


def make_seed(folder: Path) -> Seed:
    """Make it below this folder."""
    environment = _environment(DATABASE_URL=embedded.start_postgres(folder, durable=False))
    try:
        migrate = [sys.executable, "manage.py", "migrate", "--skip-checks", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
        seed = [sys.executable, "-m", "script.bench_seed", "3"]
        seeded = json.loads(subprocess.check_output(seed, cwd=ROOT, env=environment))
    finally:
        embedded.stop_postgres(folder)
    return Seed(folder, seeded["gateway"], seeded["keys"])


def _environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **variables}


@contextmanager
def running_stack(server: str, seed: Seed) -> Iterator[Stack]:
    """Everything started, on a copy of the seed; `server` names one of SERVERS."""
    with tempfile.TemporaryDirectory(prefix="kagiban-fault-") as name:
        folder = Path(name)
        stack: Stack | None = None
        try:
            # With its owner: as root, PostgreSQL runs as somebody else.
            subprocess.run(["cp", "-a", str(seed.folder / "pg"), str(folder / "pg")], check=True)
            environment = _environment(
                DATABASE_URL=embedded.start_postgres(folder, durable=False),
                REDIS_URL=embedded.start_valkey(folder),
            )
            port = free_port()
            process = subprocess.Popen(
                [sys.executable, *SERVERS[server], str(port)], cwd=ROOT, env=environment
            )
            stack = Stack(folder, environment, process, port, seed.gateway, seed.keys)
            wait_for(port, process)
            stack.await_start(WORKERS[server])
            yield stack
        finally:
            if stack is not None:
                stack.stop_verifier()
            embedded.stop_valkey(folder)
            embedded.stop_postgres(folder)
