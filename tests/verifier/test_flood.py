"""V3 under a flood of false keys: what it costs is counted, and warm checks are answered as ever."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from keys.hotstore import publish as hotstore
from keys.secrets import form as secret_format
from keys.secrets import hashing
from tests.dataplane import LiveKey, make_gateway, make_live_keys, verify
from verifier.decide.cold import STRIKES
from verifier.registry.reading import N_INSIDE

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]
N_THREADS = 8
N_EACH = 150


class Costs:
    """Counts what is expensive; it is done all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_proofs = self.n_reads = self.n_at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        verify_digest, read = hashing.verify_digest, hotstore.read

        def proof(stored: str, value: bytes) -> bool:
            self.n_proofs += 1
            return verify_digest(stored, value)

        def counted(family: str, *, now: datetime) -> Any:
            with self._lock:
                self.n_reads += 1
                self.n_at_once += 1
                self.most_at_once = max(self.most_at_once, self.n_at_once)
            try:
                return read(family, now=now)
            finally:
                with self._lock:
                    self.n_at_once -= 1

        monkeypatch.setattr(hashing, "verify_digest", proof)
        monkeypatch.setattr(hotstore, "read", counted)


@pytest.fixture
def warm() -> tuple[str, list[LiveKey]]:
    """A gateway, and keys that were asked about before."""
    gateway, keys = make_gateway(), make_live_keys(8)
    assert {verify(gateway, live.text).code for live in keys} == {"VALID"}
    return gateway, keys


def flood(gateway: str, keys: list[LiveKey], false: Callable[[], tuple[str, str]]) -> Counter[str]:
    """Several threads send a false key (text, address) for each true one; the codes of the false ones."""

    def send(number: int) -> Counter[str]:
        codes: Counter[str] = Counter()
        try:
            for turn in range(N_EACH):
                text, address = false()
                codes[verify(gateway, text, ip=address).code] += 1
                answer = verify(gateway, keys[(number + turn) % len(keys)].text, ip="203.0.113.9")
                assert answer.code == "VALID"
                assert "degraded" not in answer.json
        finally:
            connection.close()
        return codes

    with ThreadPoolExecutor(N_THREADS) as threads:
        return sum(threads.map(send, range(N_THREADS)), Counter())


def test_false_secrets_of_true_families_cost_neither_database_nor_argon2(
    warm: tuple[str, list[LiveKey]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, keys = warm
    families = [live.key.family for live in keys]
    costs = Costs(monkeypatch)
    made = iter(range(N_THREADS * N_EACH))

    def false() -> tuple[str, str]:
        return secret_format.generate("kb", "live", families[next(made) % len(families)]).text, "203.0.113.9"

    assert flood(gateway, keys, false) == {"NOT_FOUND": N_THREADS * N_EACH}
    assert (costs.n_proofs, costs.n_reads) == (0, 0)


def test_unknown_families_of_one_address_are_put_off(
    warm: tuple[str, list[LiveKey]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, keys = warm
    costs = Costs(monkeypatch)
    codes = flood(gateway, keys, lambda: (secret_format.generate("kb", "live").text, "198.51.100.7"))
    # The address is put off at once; on a slow machine its block by itself is in force before the flood ends.
    put_off = codes["TOO_MANY_ATTEMPTS"] + codes["ADDRESS_BLOCKED"]
    assert set(codes) <= {"TOO_MANY_ATTEMPTS", "ADDRESS_BLOCKED", "NOT_FOUND"}
    assert put_off >= N_THREADS * N_EACH - STRIKES - N_THREADS
    assert costs.n_reads <= STRIKES + N_THREADS
    assert costs.n_proofs == 0


def test_unknown_families_from_everywhere_wait_in_few_places(
    warm: tuple[str, list[LiveKey]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, keys = warm
    costs = Costs(monkeypatch)
    unknown = [secret_format.generate("kb", "live").text[:21] for _ in range(40)]
    numbers = iter(range(N_THREADS * N_EACH))

    def false() -> tuple[str, str]:
        number = next(numbers)
        family = unknown[number % len(unknown)].split("_")[2][: secret_format.FAMILY_LENGTH]
        return secret_format.generate("kb", "live", family).text, f"198.51.{number % 250}.{number // 250}"

    codes = flood(gateway, keys, false)
    assert set(codes) <= {"NOT_FOUND", "UNAVAILABLE"}
    # Each is looked up once, or by as many as asked before the first of them was back.
    assert costs.n_reads <= len(unknown) * N_INSIDE
    assert costs.most_at_once <= N_INSIDE
    assert costs.n_proofs == 0
