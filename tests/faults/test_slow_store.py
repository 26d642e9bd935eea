"""V5 for real, where nothing is dead but all is late: a proxy holds back what the store says."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from core.actors import SYSTEM
from keys.hotstore import client as hotwire
from keys.hotstore.cluster import hot_map
from keys.workspaces.services.limits import limit_workspace
from tests.cast import make_staff
from tests.checkers import Checkers, Verifier, revoke, running
from tests.dataplane import LiveKey, make_gateway, make_live_key, make_live_keys, verify
from tests.relay import Relay
from tests.valkeys import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]
N_KEYS = 24
# A check may wait for the store, then for the registry; each of them is bounded.
LONGEST_S = 8.0


@pytest.fixture
def relay() -> Iterator[Relay]:
    """The way to this worker's Valkey, for the verifier alone."""
    port = urlsplit(os.environ["REDIS_URL"]).port
    assert port is not None
    with Relay(port) as way:
        yield way


def all_at_once(verifier: Verifier, keys: list[LiveKey]) -> list[dict[str, Any]]:
    """Ask about each key at the same time; every answer must be about the key that was asked about."""
    with ThreadPoolExecutor(len(keys)) as threads:
        told = list(threads.map(lambda live: verifier.ask(live.text), keys))
    for live, one in zip(keys, told, strict=True):
        assert one["code"] in {"VALID", "UNAVAILABLE"}, one
        assert one.get("key", live.key.public_id) == live.key.public_id
    return told


def test_store_that_answers_late_or_never_leaves_every_answer_true(relay: Relay) -> None:
    gateway, keys = make_gateway(), make_live_keys(N_KEYS)
    patience = {"HOT_STORE_SECONDS": "0.25"}
    with running(relay.instead_of(os.environ["REDIS_URL"]), gateway, **patience) as verifier:
        verifier.await_health(keys)

        # Late, but in time.
        relay.delay = 0.05
        all_at_once(verifier, keys)

        # Too late: the registry answers, and each late reply is thrown away.
        relay.delay = 0.6
        for _ in range(2):
            started = time.monotonic()
            told = all_at_once(verifier, keys)
            assert time.monotonic() - started < LONGEST_S
            assert any("degraded" in one for one in told)

        # Never, then all of it at once: what comes late answers nobody's question.
        relay.delay = 0.0
        with Checkers(verifier.ask, keys, 8) as checkers:
            relay.hold()
            all_at_once(verifier, keys)
            relay.release()
            verifier.await_health(keys)
        assert checkers.wrong == []
        # Once more where this machine was so busy that the store was late again.
        wait_until(lambda: all(_is_healthy(one) for one in all_at_once(verifier, keys)), "it stays away")


def test_store_that_could_not_be_told_is_told_when_it_answers(relay: Relay, settings: Any) -> None:
    """The store lives and is held back from the portal alone: nothing else would end its records."""
    gateway, keys = make_gateway(), make_live_keys(3)
    with running(os.environ["REDIS_URL"], gateway) as verifier:
        verifier.await_health(keys)
        settings.HOT_STORE_URL = relay.instead_of(os.environ["REDIS_URL"])
        relay.hold()
        started = time.monotonic()
        assert [revoke(live) for live in keys] == [False] * 3
        assert time.monotonic() - started < LONGEST_S
        relay.release()
        wait_until(
            lambda: {verifier.ask(live.text)["code"] for live in keys} == {"REVOKED"}, "nobody told the store"
        )
        wait_until(lambda: not _is_in_debt(), "it never ends")


def test_limits_of_a_workspace_are_owed_to_a_store_that_could_not_be_told(
    relay: Relay, settings: Any
) -> None:
    """As one: with many keys, each of which would wait for the store, the page would wait for minutes."""
    gateway, keys = make_gateway(), make_live_keys(N_KEYS)
    with running(os.environ["REDIS_URL"], gateway) as verifier:
        verifier.await_health(keys)
        settings.HOT_STORE_URL = relay.instead_of(os.environ["REDIS_URL"])
        relay.hold()
        started, person = time.monotonic(), make_staff("Mori", "security")
        limit_workspace(
            actor=SYSTEM("test"), by=person, workspace=keys[0].key.workspace, rpm=0, rph=1,
            monthly_budget_usd=None, reason="Too much of it.", now=timezone.now(),
        )  # fmt: skip
        assert time.monotonic() - started < LONGEST_S
        assert "workspace_limits" not in verifier.ask(keys[0].text)
        relay.release()
        over = {"WORKSPACE_RATE_LIMITED_HOUR"}
        wait_until(
            lambda: {verifier.ask(live.text)["code"] for live in keys} == over, "nobody told the store"
        )
        wait_until(lambda: not _is_in_debt(), "it never ends")


def _is_healthy(told: dict[str, Any]) -> bool:
    return told["code"] == "VALID" and "degraded" not in told


def _is_in_debt() -> bool:
    return any(thread.name == "hot-debts" for thread in threading.enumerate())


def test_change_reaches_a_store_that_failed_a_moment_ago() -> None:
    gateway, live = make_gateway(), make_live_key()
    assert verify(gateway, live.text).code == "VALID"
    node = hot_map().node(0)
    hotwire.drop()
    node.rest()
    with pytest.raises(hotwire.StoreUnavailableError):
        hotwire.ask(hotwire.encode("PING"))
    assert revoke(live)
    assert verify(gateway, live.text).code == "REVOKED"
