"""A worker killed while it drains what was counted loses nothing and doubles nothing (V6)."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections
from django.db.models import Sum
from django.utils import timezone

from keys.models import KeyOutcomeDay, KeyUseDay, SeenAddress
from tests.dataplane import LiveKey, make_gateway, make_live_key, report, verify
from verifier.usage.drain import drain_use

ROOT = Path(__file__).resolve().parents[2]
N_KILLS = 5
DRAIN_FOR_EVER = """
import django; django.setup()
from django.utils import timezone
from verifier.usage.drain import drain_use
print("draining", flush=True)
while True:
    drain_use(now=timezone.now())
"""

pytestmark = pytest.mark.django_db(transaction=True)


class Traffic:
    """Calls about a few keys, each settled for less than it had reserved; counts what it did."""

    def __init__(self, gateway: str, keys: list[LiveKey]) -> None:
        self.gateway, self.keys = gateway, keys
        self.n_calls = 0
        self.ends = threading.Event()

    def run(self) -> None:
        try:
            while not self.ends.is_set():
                self._call()
        finally:
            connections.close_all()

    def _call(self) -> None:
        key = self.keys[self.n_calls % len(self.keys)]
        address = f"203.0.113.{self.n_calls % 7}"
        answer = verify(self.gateway, key.text, cost_usd="0.05", ip=address)
        assert answer.code == "VALID"
        told = {"check": answer.json["check"], "status": 200, "latency_ms": 10, "cost_usd": "0.02"}
        assert report(self.gateway, told).json["taken"] == 1
        self.n_calls += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.ends.set()
            thread.join()


def drained() -> bool:
    """Whether anything was, so far."""
    return KeyUseDay.objects.filter(n_allowed__gt=0).exists()


def test_a_killed_worker_loses_nothing_and_doubles_nothing(process_environment: dict[str, str]) -> None:
    first = make_live_key()
    keys = [first, *(make_live_key(owner=first.key.owner) for _ in range(5))]
    traffic = Traffic(make_gateway(), keys)
    environment = {**process_environment, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    chance = random.Random(7)
    with traffic.running():
        # On a busy machine the first of them die before anything is drained.
        n_kills = 0
        while n_kills < N_KILLS or not drained():
            n_kills += 1
            assert n_kills < 10 * N_KILLS, "nothing is drained"
            worker = subprocess.Popen(
                [sys.executable, "-c", DRAIN_FOR_EVER], cwd=ROOT, env=environment, stdout=subprocess.PIPE
            )
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"draining\n"
            time.sleep(chance.uniform(0.02, 0.1 * n_kills))
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            worker.stdout.close()
    for _ in range(2):  # what the dead worker had begun, then what came since
        drain_use(now=timezone.now())
    n = traffic.n_calls
    assert KeyUseDay.objects.aggregate(n=Sum("n_allowed"), cost=Sum("cost_micros")) == {
        "n": n,
        "cost": n * 20_000,
    }
    assert SeenAddress.objects.aggregate(n=Sum("n_allowed"))["n"] == n
    outcomes = list(KeyOutcomeDay.objects.all())
    assert sum(day.by_status["200"] for day in outcomes) == n
    assert sum(day.by_latency["10"] for day in outcomes) == n
    assert sum(day.latency_ms_sum for day in outcomes) == 10 * n
