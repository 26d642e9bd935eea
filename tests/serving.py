"""The verifier's processes on the database of this test run, and the ports they listen on."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from django.db import connection

from keys.secrets import form as secret_format

ROOT = Path(__file__).resolve().parents[1]
STARTS_WITHIN_S = 60
FIRST_PORT, PORTS_EACH, N_PLACES = 11_000, 1_000, 9


def _own_ports() -> Iterator[int]:
    """The ports of this test process, from some place on, round and round.

    Between choosing a port and listening there lie seconds. So they are none that the system hands out by
    itself (from 32768 on), and none of another of pytest's worker processes.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % N_PLACES
    begin = FIRST_PORT + worker * PORTS_EACH
    first = random.SystemRandom().randrange(PORTS_EACH)
    return (begin + (first + number) % PORTS_EACH for number in count())


_ports = _own_ports()


def free_ports(n: int) -> list[int]:
    """So many ports that nobody has now, and that nobody else will choose."""
    found: list[int] = []
    for port in islice(_ports, PORTS_EACH):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
        if len(found) == n:
            return found
    raise AssertionError("no free ports")


def free_port() -> int:
    """A port that nobody has now."""
    return free_ports(1)[0]


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Until the process listens there."""
    end = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < end:
        assert process.poll() is None, "it ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
            continue
        return
    raise AssertionError("It did not start.")


def workers_of(process: "subprocess.Popen[bytes]") -> "list[psutil.Process]":
    """Its workers that run. One that has ended and was not asked for yet does not."""
    workers = psutil.Process(process.pid).children()
    return [worker for worker in workers if worker.status() != psutil.STATUS_ZOMBIE]


def await_workers(process: "subprocess.Popen[bytes]", store: str, n: int) -> None:
    """Until so many of its workers have begun: one that does so in an outage knows no gateway.

    Each connects to the store, and asks for the gateways, before it answers anybody.
    """
    end, port = time.monotonic() + STARTS_WITHIN_S, urlsplit(store).port
    while True:
        if sum(_is_connected(worker, port) for worker in workers_of(process)) >= n:
            return
        assert time.monotonic() < end, "not every worker has begun"
        time.sleep(0.05)


def _is_connected(process: psutil.Process, port: int | None) -> bool:
    ways = process.net_connections("tcp")
    return any(way.status == psutil.CONN_ESTABLISHED and way.raddr.port == port for way in ways)


def environment_here() -> dict[str, str]:
    """The environment for a process that a test starts: this worker's own database and Valkey."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return {**os.environ, "DATABASE_URL": database.geturl()}


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A verifier on this worker's database; its port and its process."""
    port = free_port()
    command = [sys.executable, "-m", "config.verifier", "--port", str(port), *arguments]
    environment = {**environment_here(), "PYTHONWARNINGS": "ignore", **variables}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        wait_for(port, process)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@contextmanager
def verifier(**variables: str) -> Iterator[int]:
    """A verifier that is connected to its servers: on a busy machine that takes longer than a proxy waits."""
    with serving(**variables) as (port, _):
        asker = http.client.HTTPConnection("127.0.0.1", port, timeout=STARTS_WITHIN_S)
        credential = secret_format.generate("kbg", "live").text
        asker.request("GET", "/v1/authorize", headers={"X-Gateway-Credential": credential})
        asker.getresponse()
        asker.close()
        yield port
