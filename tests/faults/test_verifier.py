"""V5 for real: PostgreSQL and Valkey stopped and killed under a running verifier, and back again."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config import embedded

ROOT = Path(__file__).resolve().parents[2]
RECOVERS_WITHIN_S = 10.0


@dataclass
class Stack:
    """Servers of its own, a verifier in a process of its own, and what it needs to be asked."""

    folder: Path
    environment: dict[str, str]
    port: int
    gateway: str
    keys: list[str]

    def ask(self, text: str) -> tuple[int, dict[str, Any], float]:
        """Status, body and seconds of one check."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/keys/verify",
            data=json.dumps({"key": text, "ip": "203.0.113.9"}).encode(),
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

    def sql(self, statement: str) -> None:
        url = self.environment["DATABASE_URL"].replace("postgres://", "postgresql://", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())


def _never_valid_but_revoked(_status: int, body: dict[str, Any]) -> bool:
    assert body["code"] in {"REVOKED", "UNAVAILABLE"}
    return bool(body["code"] == "REVOKED")


def healthy(status: int, body: dict[str, Any]) -> bool:
    return status == 200 and body["code"] == "VALID" and "degraded" not in body


# Both ways to run it: the verifier's own server, and any WSGI server.
SERVERS = {
    "own": ["-m", "config.verifier", "--port"],
    "wsgi": [
        "-m", "granian", "--interface", "wsgi", "--no-ws", "--log-level", "error", "--blocking-threads", "8",
        "config.wsgi:application", "--port",
    ],
}  # fmt: skip


@pytest.fixture(params=SERVERS)
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="kagiban-fault-") as name:
        folder = Path(name)
        process: subprocess.Popen[bytes] | None = None
        try:
            environment = {
                **os.environ,
                "DATABASE_URL": embedded.start_postgres(folder),
                "REDIS_URL": embedded.start_valkey(folder),
                "PYTHONPATH": str(ROOT),
                "PYTHONWARNINGS": "ignore",
            }
            migrate = [sys.executable, "manage.py", "migrate", "--skip-checks", "--verbosity", "0"]
            subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
            seed = [sys.executable, "-m", "script.bench_seed", "3"]
            seeded = json.loads(subprocess.check_output(seed, cwd=ROOT, env=environment))
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            command = [sys.executable, *SERVERS[request.param], str(port)]
            process = subprocess.Popen(command, cwd=ROOT, env=environment)
            _wait_for(port)
            yield Stack(folder, environment, port, seeded["gateway"], seeded["keys"])
        finally:
            if process is not None:
                process.send_signal(signal.SIGINT)
                process.wait(20)
            embedded.stop_valkey(folder)
            embedded.stop_postgres(folder)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            continue
        return
    raise AssertionError("The verifier did not start.")


def test_servers_go_and_come_back(stack: Stack) -> None:
    warm, other, cold = stack.keys
    for text in (warm, other):
        status, body, _ = stack.ask(text)
        assert healthy(status, body)
    assert stack.missing() == set()

    # Valkey killed: the registry answers, and says that it is degraded.
    stack.kill_valkey()
    for _ in range(20):
        status, body, seconds = stack.ask(warm)
        assert (status, body["code"], body["degraded"]) == (200, "VALID", True)
        assert seconds < 3
    assert stack.missing() == {"valkey", "hot_store"}
    # A change made meanwhile counts at once; the store can't be told of it.
    stack.sql(
        "UPDATE keys_key SET status = 'revoked', revoke_reason = 'leaked', ended_at = now(), "
        "revision = revision + 1 WHERE id = (SELECT key_id FROM keys_secret "
        f"WHERE public_id = '{other.split('_')[2]}')"
    )
    assert stack.ask(other)[1]["code"] == "REVOKED"

    # A gateway that wants no answer without the store gets none.
    stack.sql("UPDATE verifier_gateway SET fail_policy = 'closed'")
    stack.await_answer(warm, lambda status, body: status == 503 and body["code"] == "UNAVAILABLE")
    stack.sql("UPDATE verifier_gateway SET fail_policy = 'open'")

    # Back with what it had written: the record from before the revocation is not believed.
    stack.start_valkey()
    stack.await_answer(other, _never_valid_but_revoked)
    stack.await_answer(warm, healthy)
    assert stack.ask(other)[1]["code"] == "REVOKED"

    # PostgreSQL stopped: warm keys go on, the gateway stays known, a cold key is a clear 503.
    embedded.stop_postgres(stack.folder)
    end = time.monotonic() + 4  # longer than a gateway's credential is believed without asking
    while time.monotonic() < end:
        status, body, seconds = stack.ask(warm)
        assert healthy(status, body)
        assert seconds < 3
    status, body, _ = stack.ask(cold)
    assert (status, body["code"]) == (503, "UNAVAILABLE")
    assert stack.missing() == {"postgresql"}

    # Both away: a clear 503, and no thread is stuck.
    stack.kill_valkey()
    for _ in range(20):
        status, body, seconds = stack.ask(warm)
        assert (status, body["code"]) == (503, "UNAVAILABLE")
        assert seconds < 3

    # Back again, by itself.
    embedded.start_postgres(stack.folder)
    stack.start_valkey()
    stack.await_answer(warm, healthy)
    stack.await_answer(cold, healthy)
    assert stack.missing() == set()
