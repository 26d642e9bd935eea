"""V6 while the hot store is away: what the registry answers is counted, once, whatever comes and goes."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from threading import Lock
from typing import Any

from config import embedded
from tests.serving import ROOT
from tests.stack import Stack
from tests.valkeys import wait_until

N_EACH = 30
DRAIN = """
import django; django.setup()
from django.utils import timezone
from verifier.usage.drain import drain_use
print(drain_use(now=timezone.now()))
"""


class Told:
    """What a stack's verifier has answered, as it should be counted."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.codes: Counter[str] = Counter()
        self.addresses: Counter[str] = Counter()
        self.cost = Decimal()
        self._lock = Lock()

    def ask(self, text: str, address: str, scope: str, cost: str = "0") -> dict[str, Any]:
        """One check; `UNAVAILABLE` is no answer."""
        _, body, _ = self.stack.ask(text, ip=address, scope=scope, cost_usd=cost)
        if body["code"] != "UNAVAILABLE":
            with self._lock:
                self.codes[body["code"]] += 1
                self.addresses[address] += 1
                self.cost += Decimal(cost) if body["code"] == "VALID" else 0
        return body

    def counted(self) -> tuple[dict[str, int], dict[str, int], Decimal]:
        """What stands in the registry."""
        with self.stack.database() as database:
            days = database.execute(
                "SELECT by_code, n_allowed, n_refused, cost_micros FROM keys_keyuseday"
            ).fetchall()
            addresses = database.execute(
                "SELECT host(address), sum(n_allowed + n_refused)::bigint FROM keys_seenaddress GROUP BY 1"
            ).fetchall()
        codes: Counter[str] = Counter()
        for by_code, n_allowed, n_refused, _ in days:
            assert (by_code.get("VALID", 0), sum(by_code.values())) == (n_allowed, n_allowed + n_refused)
            codes.update(by_code)
        return dict(codes), dict(addresses), sum((Decimal(day[3]) for day in days), Decimal()) / 1_000_000

    def expected(self) -> tuple[dict[str, int], dict[str, int], Decimal]:
        """What should stand there."""
        return dict(self.codes), dict(self.addresses), self.cost

    def await_exact(self) -> None:
        """Until the registry has all that was answered, and no more."""
        with suppress(AssertionError):
            wait_until(lambda: self.counted() == self.expected(), "not yet")
        assert self.counted() == self.expected()


def drain(stack: Stack) -> None:
    command = [sys.executable, "-c", DRAIN]
    subprocess.run(command, cwd=ROOT, env=stack.environment, check=True, stdout=subprocess.DEVNULL)


def test_use_is_counted_once_whatever_goes_and_comes_back(stack: Stack) -> None:
    told = Told(stack)
    first, second, third = stack.keys
    for text in stack.keys:
        told.ask(text, "203.0.113.9", "catalog:read", "0.5")
    drain(stack)
    assert told.counted() == told.expected()

    # Valkey killed: two askers at once; what is let through, and what is refused.
    stack.kill_valkey()

    def ask_often(text: str, address: str) -> list[dict[str, Any]]:
        asked = []
        for number in range(N_EACH):
            scope = "no:such" if number % 3 == 0 else "catalog:read"
            asked.append(told.ask(text, address, scope, "0.25"))
        return asked

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(ask_often, (first, second), ("203.0.113.9", "198.51.100.7")))
    checks = [answer for each in answers for answer in each]
    assert all(answer["degraded"] for answer in checks)
    assert told.codes == {"VALID": 3 + 4 * N_EACH // 3, "INSUFFICIENT_SCOPE": 2 * N_EACH // 3}
    told.await_exact()
    with stack.database() as database:
        late = database.execute("SELECT count(*) FROM keys_key WHERE last_used_at IS NULL").fetchone()
    assert late == (0,)

    # The registry can be read, but not written to: nobody waits for that, and nothing is lost.
    before = told.counted()
    with stack.database() as database, database.transaction():
        database.execute("LOCK TABLE keys_usebatch IN ACCESS EXCLUSIVE MODE")
        for _ in range(5):
            assert told.ask(third, "203.0.113.9", "catalog:read", "0.125")["degraded"]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: database.execute(waiting).fetchone() != (0,), "nobody writes")
        told.ask(third, "203.0.113.9", "catalog:read", "0.125")
    told.await_exact()
    assert told.counted() != before

    # PostgreSQL stopped, too, while something waits to be written.
    told.ask(third, "203.0.113.200", "catalog:read")
    embedded.stop_postgres(stack.folder)
    assert told.ask(third, "203.0.113.201", "catalog:read")["code"] == "UNAVAILABLE"
    embedded.start_postgres(stack.folder)
    told.await_exact()

    # All back: each check is counted by one of the two. The real cost takes the place of what was counted.
    stack.start_valkey()
    wait_until(lambda: "degraded" not in told.ask(first, "203.0.113.9", "catalog:read"), "degraded for ever")
    stack.await_rest()
    settled = next(answer for answer in checks if answer["code"] == "VALID")
    for _ in range(2):
        status, body, _ = stack.post("usage", {"check": settled["check"], "cost_usd": "0.75"})
        assert status == 200, body
    told.cost += Decimal("0.75") - Decimal("0.25")
    for text in stack.keys:
        told.ask(text, "203.0.113.9", "catalog:read", "0.5")
    drain(stack)
    told.await_exact()
    drain(stack)
    assert told.counted() == told.expected()

    # A process that is told to stop writes the rest.
    stack.kill_valkey()
    for _ in range(7):
        assert told.ask(second, "203.0.113.9", "catalog:read", "0.01")["degraded"]
    stack.stop_verifier()
    assert told.counted() == told.expected()
