"""The hot store as a Valkey Cluster: checks on every node, failovers, keys that move (O1, V4, V5)."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from keys import hotrecord, hotstore, hotwire
from keys.hotmap import slot_of, slot_of_bucket
from keys.models import KeyUseDay
from tests.cast import make_partner, make_staff
from tests.dataplane import LiveKey, change, make_gateway, make_live_key, verify
from tests.product import ROOT
from tests.proxies import wait_for
from tests.valkeys import Cluster, Valkey, free_ports, wait_until
from verifier import degraded, gateways
from verifier.drain import drain_use

pytestmark = pytest.mark.django_db(transaction=True)
RECOVERS_WITHIN_S = 15.0


@pytest.fixture
def cluster(settings: Any) -> Iterator[Cluster]:
    """A cluster, which is this process's hot store, too."""
    gateways.forget_all()
    degraded.forget_all()
    with Cluster() as servers:
        settings.HOT_STORE_URL = servers.url
        yield servers
        hotwire.drop()


class Verifier:
    """The verifier's own server, asked over one connection at a time."""

    def __init__(self, port: int, gateway: str) -> None:
        self._port, self._gateway = port, gateway

    def ask(self, text: str, **question: Any) -> dict[str, Any]:
        """The verdict."""
        caller = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            body = json.dumps({"key": text, **question})
            caller.request("POST", "/v1/keys/verify", body, {"Authorization": f"Bearer {self._gateway}"})
            told: dict[str, Any] = json.loads(caller.getresponse().read())
        finally:
            caller.close()
        return told

    def await_health(self, keys: list[LiveKey]) -> None:
        """Ask until each key is answered by the store; meanwhile every answer is true."""
        end = time.monotonic() + RECOVERS_WITHIN_S
        for live in keys:
            while True:
                told = self.ask(live.text)
                assert told["code"] in {"VALID", "UNAVAILABLE"}, told
                if told["code"] == "VALID" and "degraded" not in told:
                    break
                assert time.monotonic() < end, told


@contextmanager
def running(store: str, gateway: str, **variables: str) -> Iterator[Verifier]:
    """A verifier on this worker's database and on a hot store of its own."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    environment = {
        **os.environ, "DATABASE_URL": database.geturl(), "HOT_STORE_URL": store, "PYTHONWARNINGS": "ignore",
        **variables,
    }  # fmt: skip
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "config.verifier", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        wait_for(port, process)
        yield Verifier(port, gateway)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def keys_on_every_node(cluster: Cluster, **fields: Any) -> list[LiveKey]:
    """Two keys at least on each primary."""
    owner = make_staff("Owner", "requester")
    keys: list[LiveKey] = []
    held: Counter[int] = Counter()
    while len(held) < 3 or min(held.values()) < 2:
        live = make_live_key(make_partner(f"Partner {len(keys)}"), owner, **fields)
        keys.append(live)
        held[cluster.holder(slot_of_key(live)).port] += 1
    return keys


def slot_of_key(live: LiveKey) -> int:
    """The slot of a key's record."""
    return slot_of(hotrecord.record_key(live.key.family))


def revoke(live: LiveKey) -> bool:
    """Revoke a key as its service does, and tell the store."""
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=datetime.now(UTC))
    return hotstore.publish_key(live.key.public_id)


def test_slot_is_the_clusters_own(cluster: Cluster) -> None:
    for key in (b"foo", b"kb:{a7}:k:zzz", b"{}x", b"a{b}c{d}", b"{", b"kb:strikes:203.0.113.9"):
        assert slot_of(key) == cluster.servers[0].ask("CLUSTER", "KEYSLOT", key.decode())
    family = "zq8xxxxx"
    assert (
        slot_of_bucket(b"zq") == slot_of(hotrecord.record_key(family)) == slot_of(hotrecord.lease_key(family))
    )


def test_checks_limits_changes_and_use_on_every_node(cluster: Cluster) -> None:
    gateway = make_gateway()
    keys = keys_on_every_node(cluster, rpm=3)
    with running(cluster.url, gateway) as verifier:
        for live in keys:
            # In turns by the event loop and by threads of another process: one count.
            ways: list[Callable[[str], dict[str, Any]]] = [
                verifier.ask, lambda text: verify(gateway, text).json,
            ]  # fmt: skip
            told = [ways[number % 2](live.text) for number in range(4)]
            assert [one["code"] for one in told] == ["VALID"] * 3 + ["RATE_LIMITED_MINUTE"]
            assert not any("degraded" in one for one in told)
        for live in keys:
            assert revoke(live)
            assert verifier.ask(live.text)["code"] == "REVOKED"
        drain_use(now=timezone.now())
    assert sum(KeyUseDay.objects.values_list("n_allowed", flat=True)) == 3 * len(keys)


class Checkers:
    """Threads that ask all the time; `ended` names the keys whose revocation has returned."""

    def __init__(self, ask: Callable[[str], dict[str, Any]], keys: list[LiveKey], n_threads: int = 3) -> None:
        self.ended: set[str] = set()
        self.wrong: list[tuple[str, object]] = []
        self.codes: Counter[str] = Counter()
        self._ask, self._keys = ask, keys
        self._over = False
        self._threads = [threading.Thread(target=self._check, args=(number,)) for number in range(n_threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()

    def _check(self, first: int) -> None:
        number = first
        try:
            while not self._over:
                live = self._keys[number % len(self._keys)]
                number += 1
                was_ended = live.key.public_id in self.ended
                told = self._ask(live.text)
                code = str(told["code"])
                self.codes[f"degraded {code}" if "degraded" in told else code] += 1
                if told.get("key", live.key.public_id) != live.key.public_id:
                    self.wrong.append((live.key.public_id, told))  # another question's answer
                elif (code == "VALID" and was_ended) or code not in {"VALID", "REVOKED", "UNAVAILABLE"}:
                    self.wrong.append((live.key.public_id, told))
        except Exception as error:  # noqa: BLE001 - whatever it was, the test must tell it
            self.wrong.append(("", repr(error)))
        finally:
            connection.close()


def failed_over(cluster: Cluster, slot: int, before: Valkey) -> Callable[[], bool]:
    """Whether somebody else has the slot now."""
    return lambda: cluster.holder(slot) is not before


def test_primary_that_is_killed_is_replaced_while_checks_run(cluster: Cluster) -> None:
    gateway = make_gateway()
    keys = keys_on_every_node(cluster)
    victims, others = keys[::2], keys[1::2]
    slot = slot_of_key(victims[0])
    primary = cluster.holder(slot)
    with running(cluster.url, gateway) as verifier:
        verifier.await_health(keys)
        with Checkers(verifier.ask, keys) as checkers:
            # Revoked right before the kill: the replica may never have heard of it.
            for live in victims[:2]:
                revoke(live)
                checkers.ended.add(live.key.public_id)
            primary.signal(signal.SIGKILL)
            # Revoked while nobody holds the slot, and while the new one comes up.
            for live in victims[2:]:
                revoke(live)
                checkers.ended.add(live.key.public_id)
            wait_until(failed_over(cluster, slot, primary), "no failover")
            verifier.await_health(others)
        assert checkers.wrong == []
        assert checkers.codes["VALID"] > 0
        for live in victims:
            assert verifier.ask(live.text)["code"] == "REVOKED"
        # What was killed comes back as a replica, and changes nothing.
        primary.start()
        cluster.await_health()
        verifier.await_health(others)
        assert {verifier.ask(live.text)["code"] for live in victims} == {"REVOKED"}


def test_server_that_is_made_primary_again_does_not_believe_its_old_records(cluster: Cluster) -> None:
    """Two failovers, and no process was restarted: the run id alone would be the same again."""
    gateway = make_gateway()
    live = keys_on_every_node(cluster)[0]
    slot, record = slot_of_key(live), hotrecord.record_key(live.key.family).decode()
    first = cluster.holder(slot)
    second = cluster.replica_of(first)
    with running(cluster.url, gateway) as verifier:
        verifier.await_health([live])
        assert verify(gateway, live.text).code == "VALID"
        stale = first.ask("HGET", record, "p")
        second.ask("CLUSTER", "FAILOVER")
        wait_until(failed_over(cluster, slot, first), "no failover")
        cluster.await_health()
        assert revoke(live)
        assert verifier.ask(live.text)["code"] == "REVOKED"
        # As if the second had died before the first heard of the revocation.
        second.ask("HSET", record, "p", stale)
        written = int(second.told("INFO", "replication")["master_repl_offset"])
        wait_until(
            lambda: int(first.told("INFO", "replication")["slave_repl_offset"]) >= written, "not replicated"
        )
        second.signal(signal.SIGKILL)
        wait_until(failed_over(cluster, slot, second), "no failover back")
        assert verify(gateway, live.text).code == "REVOKED"
        assert verifier.ask(live.text)["code"] == "REVOKED"


def test_slot_that_moves_to_another_node_keeps_its_counts(cluster: Cluster) -> None:
    gateway = make_gateway()
    keys = keys_on_every_node(cluster, rph=1_000)
    moving = keys[0]
    slot = slot_of_key(moving)
    source = cluster.holder(slot)
    target = next(server for server in cluster.servers[:3] if server is not source)
    with running(cluster.url, gateway) as verifier:
        verifier.await_health(keys)
        with Checkers(verifier.ask, keys) as checkers:
            cluster.move(slot, source, target)
            verifier.await_health([moving])
        assert checkers.wrong == []
        left = verifier.ask(moving.text)["remaining"]["hour"]
        again = verify(gateway, moving.text).json
        assert again["remaining"]["hour"] == left - 1
        assert "degraded" not in again
        assert target.ask("EXISTS", hotrecord.record_key(moving.key.family).decode()) == 1
        assert revoke(moving)
        assert verifier.ask(moving.text)["code"] == "REVOKED"
