"""V5 for real, where the database is not dead but late, or hangs: a proxy holds back what it says."""

import http.client
import json
import os
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from keys.secrets import form as secret_format
from tests.checkers import Checkers, running
from tests.dataplane import make_gateway, make_live_key, make_live_keys
from tests.relay import Relay
from tests.serving import verifier
from tests.valkeys import wait_until
from verifier.loop.server import MOST_STRANGERS
from verifier.registry.reading import N_INSIDE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]
N_KEYS = 24
# A check has 2 seconds for the database, and some of the store; the rest is for a machine that stalls.
LONGEST_S = 15.0


def test_database_that_answers_late_or_never_holds_up_no_warm_check(
    slow_database: tuple[Relay, str],
) -> None:
    relay, url = slow_database
    gateway, keys = make_gateway(), make_live_keys(N_KEYS)
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


def test_database_that_hangs_is_left_alone_until_it_answers(slow_database: tuple[Relay, str]) -> None:
    relay, url = slow_database
    closed, opened = make_gateway(fail_policy="closed"), make_gateway(fail_policy="open")
    keys = make_live_keys(8)
    patience = {"VERIFIER_DATABASE_SECONDS": "1", "API_KEY_AUTH_CACHE_TTL_SECONDS": "1"}
    with running(os.environ["REDIS_URL"], closed, DATABASE_URL=url, **patience) as asked:
        lenient = asked.by(opened)
        asked.await_health(keys[:4])
        lenient.await_health(keys[:4])
        relay.hold()
        time.sleep(1.5)  # Every record is past its time.
        # Whoever comes while it hangs is answered meanwhile, and nobody for ever by the patience of another.
        with ThreadPoolExecutor(8) as threads:
            told = list(threads.map(lambda live: asked.ask(live.text)["code"], keys * 8))
        assert set(told) == {"UNAVAILABLE"}
        late = [lenient.ask(live.text) for live in keys]
        assert [(one["code"], one.get("degraded")) for one in late[:4]] == [("VALID", True)] * 4
        assert {one["code"] for one in late[4:]} == {"UNAVAILABLE"}
        relay.release()
        asked.await_health(keys)
        lenient.await_health(keys)


def test_database_that_hangs_costs_an_open_gateway_no_known_key(slow_database: tuple[Relay, str]) -> None:
    relay, url = slow_database
    gateway, keys = make_gateway(fail_policy="open"), make_live_keys(16)
    patience = {"VERIFIER_DATABASE_SECONDS": "3", "API_KEY_AUTH_CACHE_TTL_SECONDS": "1"}
    with running(os.environ["REDIS_URL"], gateway, DATABASE_URL=url, **patience) as asked:
        asked.await_health(keys)
        relay.hold()
        time.sleep(1.5)  # Every record is past its time.
        # More at once than find a place at the database before anybody knows that it hangs.
        with ThreadPoolExecutor(len(keys)) as threads:
            told = list(threads.map(lambda live: asked.ask(live.text), keys))
        assert [(one["code"], one.get("degraded")) for one in told] == [("VALID", True)] * len(keys)
        relay.release()
        asked.await_health(keys)


def test_check_waits_no_longer_than_it_has_time_whatever_hangs(slow_database: tuple[Relay, str]) -> None:
    relay, url = slow_database
    closed, opened = make_gateway(fail_policy="closed"), make_gateway(fail_policy="open")
    keys = make_live_keys(6)
    # A new connection may take long here; who asks has not the time for it.
    patience = {"DATABASE_CONNECT_SECONDS": "60", "API_KEY_AUTH_CACHE_TTL_SECONDS": "1"}
    with running(
        os.environ["REDIS_URL"], closed, DATABASE_URL=url, VERIFIER_DATABASE_SECONDS="2", **patience
    ) as asked:
        lenient = asked.by(opened)
        asked.await_health(keys[:1])
        lenient.await_health(keys[:1])
        relay.hold()
        time.sleep(1.5)  # The first key's record is past its time.
        started = time.monotonic()
        # Connections that hang, new ones, several who want the same key, more than find a place.
        with ThreadPoolExecutor(24) as threads:
            told = threads.map(lambda live: asked.ask(live.text)["code"], keys * 3)
            late = threads.map(lambda live: lenient.ask(live.text), keys[:1] * 6)
        assert set(told) == {"UNAVAILABLE"}
        assert {(one["code"], one.get("degraded")) for one in late} == {("VALID", True)}
        assert time.monotonic() - started < LONGEST_S
        relay.release()
        asked.await_health(keys)


def test_readyz_tells_of_a_database_that_hangs(slow_database: tuple[Relay, str]) -> None:
    relay, url = slow_database
    with verifier(DATABASE_URL=url, VERIFIER_DATABASE_SECONDS="1") as port:
        assert _readyz(port) == (200, True)
        relay.hold()
        # More than there are threads.
        with ThreadPoolExecutor(24) as threads:
            told = set(threads.map(_readyz, [port] * 24))
        assert told == {(503, False)}
        relay.release()
        wait_until(lambda: _readyz(port) == (200, True), "it stays away")


def test_new_gateway_is_not_unknown_while_the_database_hangs(slow_database: tuple[Relay, str]) -> None:
    relay, url = slow_database
    old, live = make_gateway(), make_live_key()
    patience = {"VERIFIER_DATABASE_SECONDS": "3"}
    with running(os.environ["REDIS_URL"], old, DATABASE_URL=url, **patience) as asked:
        asked.await_health([live])
        relay.hold()
        new = asked.by(make_gateway())
        assert new.ask(live.text)["code"] == "UNAVAILABLE"
        relay.release()
        new.await_health([live])


def _readyz(port: int) -> tuple[int, bool]:
    asker = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        asker.request("GET", "/readyz")
        answer = asker.getresponse()
        return answer.status, json.loads(answer.read())["postgresql"]
    finally:
        asker.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_flood_of_strange_keys_holds_up_nobody_else(slow_database: tuple[Relay, str], method: str) -> None:
    relay, url = slow_database
    gateway, n_strange = make_gateway(), 300
    with verifier(DATABASE_URL=url) as port, ExitStack() as closing:

        def send(path: str, *fields: str, method: str = "GET") -> socket.socket:
            wire = closing.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            wire.sendall(
                "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()
            )
            return wire

        def ask(number: int) -> socket.socket:
            key, address = secret_format.generate("kb", "live").text, f"198.51.100.{number % 250}"
            return send(
                "/v1/authorize", f"X-Gateway-Credential: {gateway}", f"X-API-Key: {key}",
                f"X-Forwarded-For: {address}", method=method,
            )  # fmt: skip

        assert ask(0).recv(12) == b"HTTP/1.1 401"
        relay.hold()
        asked = [ask(number) for number in range(n_strange)]
        # More than may wait are told so at once.
        n_more = n_strange - N_INSIDE - MOST_STRANGERS
        wait_until(lambda: len(_answered(asked)) >= n_more > 0, "nobody is refused")
        refused = _answered(asked)
        assert {wire.recv(12) for wire in refused} == {b"HTTP/1.1 503"}
        assert send("/healthz").recv(12) == b"HTTP/1.1 200"
        assert len(_answered(asked)) < n_strange / 2
        relay.release()
        assert {wire.recv(12) for wire in set(asked) - set(refused)} <= {b"HTTP/1.1 401", b"HTTP/1.1 503"}


def _answered(wires: list[socket.socket]) -> list[socket.socket]:
    return select.select(wires, [], [], 0)[0]
