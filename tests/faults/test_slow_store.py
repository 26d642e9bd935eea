"""V5 for real, where nothing is dead but all is late: a proxy holds back what store or database say."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from core.actors import SYSTEM
from keys import hotwire
from keys.hotmap import hot_map
from keys.services.workspace_limits import limit_workspace
from tests.cast import make_staff
from tests.checkers import Checkers, Verifier, revoke, running
from tests.dataplane import LiveKey, make_gateway, make_live_key, verify
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


def make_keys(n: int) -> list[LiveKey]:
    """Keys of one partner."""
    first = make_live_key()
    return [first, *[make_live_key(first.key.partner, first.key.owner) for _ in range(n - 1)]]


def all_at_once(verifier: Verifier, keys: list[LiveKey]) -> list[dict[str, Any]]:
    """Ask about each key at the same time; every answer must be about the key that was asked about."""
    with ThreadPoolExecutor(len(keys)) as threads:
        told = list(threads.map(lambda live: verifier.ask(live.text), keys))
    for live, one in zip(keys, told, strict=True):
        assert one["code"] in {"VALID", "UNAVAILABLE"}, one
        assert one.get("key", live.key.public_id) == live.key.public_id
    return told


def test_store_that_answers_late_or_never_leaves_every_answer_true(relay: Relay) -> None:
    gateway, keys = make_gateway(), make_keys(N_KEYS)
    with running(relay.instead_of(os.environ["REDIS_URL"]), gateway) as verifier:
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
        told = all_at_once(verifier, keys)
        assert [one["code"] for one in told] == ["VALID"] * N_KEYS
        assert not any("degraded" in one for one in told)


def test_store_that_could_not_be_told_is_told_when_it_answers(relay: Relay, settings: Any) -> None:
    """The store lives and is held back from the portal alone: nothing else would end its records."""
    gateway, keys = make_gateway(), make_keys(3)
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
    gateway, keys = make_gateway(), make_keys(N_KEYS)
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


@pytest.fixture
def slow_database(tmp_path: Path) -> Iterator[tuple[Relay, str]]:
    """The way to this worker's database, by a socket of its own, and the URL that leads there."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    folder = Path(parse_qs(parts.query)["host"][0])
    with Relay(folder / ".s.PGSQL.5432", path=tmp_path / ".s.PGSQL.5432") as way:
        name = connection.settings_dict["NAME"]
        yield way, parts._replace(path=f"/{name}", query=f"host={quote(str(tmp_path))}").geturl()


def test_database_that_answers_late_or_never_holds_up_no_warm_check(
    slow_database: tuple[Relay, str],
) -> None:
    relay, url = slow_database
    gateway, keys = make_gateway(), make_keys(N_KEYS)
    warm, cold = keys[:4], keys[4:]
    with running(os.environ["REDIS_URL"], gateway, DATABASE_URL=url) as verifier:
        verifier.await_health(warm)
        relay.hold()
        with Checkers(verifier.ask, warm, 2) as checkers, ThreadPoolExecutor(len(cold)) as threads:
            waiting = [threads.submit(verifier.ask, live.text) for live in cold]
            # While cold checks wait in every place that they may take.
            before = checkers.codes["VALID"]
            wait_until(lambda: checkers.codes["VALID"] > before + 50, "warm checks stand still")
            assert any(not one.done() for one in waiting)
            relay.release()
            told = [one.result() for one in waiting]
        assert checkers.wrong == []
        assert set(checkers.codes) == {"VALID"}
        # Who found no place in time was told so.
        assert {one["code"] for one in told} <= {"VALID", "UNAVAILABLE"}
        verifier.await_health(keys)
