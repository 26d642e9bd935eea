"""The hot store as a Valkey Cluster: checks on every node, failovers, keys that move (O1, V4, V5)."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from keys.hotstore import client as hotwire
from keys.hotstore import record as hotrecord
from keys.hotstore.cluster import slot_of, slot_of_bucket
from keys.models import KeyUseDay
from tests.cast import make_partner, make_staff
from tests.checkers import Checkers, Verifier, revoke, running
from tests.dataplane import (
    LiveKey,
    early_in_a_minute,
    make_gateway,
    make_live_key,
    make_live_keys,
    verify,
)
from tests.relay import make_certificate
from tests.valkeys import Cluster, Valkey, wait_until
from verifier.usage.drain import drain_use

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]
RECOVERS_WITHIN_S = 15.0


@pytest.fixture
def cluster(settings: Any) -> Iterator[Cluster]:
    """A cluster, which is this process's hot store, too."""
    with Cluster() as servers:
        settings.HOT_STORE_URL = servers.url
        yield servers


@pytest.fixture
def cluster_over_tls(settings: Any, tmp_path: Path) -> Iterator[Cluster]:
    """The same, reached over TLS only; this process trusts its authority."""
    authority, context = make_certificate(tmp_path)
    with Cluster(context) as servers:
        settings.HOT_STORE_URL = f"{servers.url}?ssl_ca_certs={authority}"
        yield servers


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


def test_slot_is_the_clusters_own(cluster: Cluster) -> None:
    for key in (b"foo", b"kb:{a7}:k:zzz", b"{}x", b"a{b}c{d}", b"{", b"kb:strikes:203.0.113.9"):
        assert slot_of(key) == cluster.servers[0].ask("CLUSTER", "KEYSLOT", key.decode())
    family = "zq8xxxxx"
    assert (
        slot_of_bucket(b"zq")
        == slot_of(hotrecord.record_key(family))
        == slot_of(hotrecord.shared_key(family, "WS-0001"))
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
            early_in_a_minute()
            told = [ways[number % 2](live.text) for number in range(4)]
            assert [one["code"] for one in told] == ["VALID"] * 3 + ["RATE_LIMITED_MINUTE"]
            assert not any("degraded" in one for one in told)
        for live in keys:
            assert revoke(live)
            assert verifier.ask(live.text)["code"] == "REVOKED"
        drain_use(now=timezone.now())
    assert sum(KeyUseDay.objects.values_list("n_allowed", flat=True)) == 3 * len(keys)


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


class Spenders:
    """Two processes that spend the budget that three keys of a workspace share, a cent with each check."""

    def __init__(self, verifier: Verifier, gateway: str, keys: list[LiveKey]) -> None:
        self._verifier, self._gateway, self._keys = verifier, gateway, keys
        self._numbers = count()
        self._lock = threading.Lock()
        self.n_spent = self.n_over = 0

    def spend(self, _number: int = 0) -> None:
        """Ask once, by the other process or by this one."""
        number = next(self._numbers)
        text = self._keys[number % 3].text
        try:
            if number % 2:
                told = self._verifier.ask(text, cost_usd="0.01")
            else:
                told = verify(self._gateway, text, cost_usd="0.01").json
        finally:
            connection.close()
        assert told["code"] in {"VALID", "WORKSPACE_BUDGET_EXCEEDED", "UNAVAILABLE"}, told
        # What was answered without the store was not counted there.
        with self._lock:
            self.n_spent += told["code"] == "VALID" and "degraded" not in told
            self.n_over += told["code"] == "WORKSPACE_BUDGET_EXCEEDED" and "degraded" not in told


def test_budget_of_a_workspace_is_exact_over_failovers_and_over_tls(
    cluster_over_tls: Cluster, settings: Any
) -> None:
    cluster, gateway, keys = cluster_over_tls, make_gateway(), make_live_keys(3)
    first = keys[0]
    first.key.partner.workspaces.update(monthly_budget_usd="1.50", revision=2)
    slot = slot_of_key(first)
    old = cluster.holder(slot)
    new = cluster.replica_of(old)
    with running(settings.HOT_STORE_URL, gateway) as verifier:
        verifier.await_health(keys)
        both = Spenders(verifier, gateway, keys)
        with ThreadPoolExecutor(4) as pool:
            under_way = [pool.submit(both.spend) for _ in range(60)]
            # Handed over while they ask.
            new.ask("CLUSTER", "FAILOVER")
            for one in under_way:
                one.result()
            wait_until(failed_over(cluster, slot, old), "no failover")
            cluster.await_health()
            assert 0 < both.n_spent <= 60
            assert both.n_over == 0
            # Killed, when its replica had heard of everything.
            written = int(new.told("INFO", "replication")["master_repl_offset"])
            wait_until(
                lambda: int(old.told("INFO", "replication")["slave_repl_offset"]) >= written, "not replicated"
            )
            wait_until(hotwire.all_answer, "it is not ready after the hand-over")
            new.signal(signal.SIGKILL)
            assert not hotwire.all_answer()
            wait_until(failed_over(cluster, slot, new), "no failover back")
            verifier.await_health(keys)
            for _ in range(20):
                list(pool.map(both.spend, range(20)))
            wait_until(hotwire.all_answer, "it is not ready")
        assert both.n_spent == 150
        assert both.n_over > 0
