"""The hot store behind sentinels: the primary that they name, and the next one after a failover (O1, V5)."""

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from keys.hotstore import client as hotwire
from tests.checkers import Checkers, revoke, running
from tests.dataplane import early_in_a_minute, make_gateway, make_live_key, make_live_keys, verify
from tests.relay import Relay, make_certificate
from tests.valkeys import DATA, PASSWORD, Valkey, Valkeys, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]


def test_next_primary_is_found_when_the_first_is_killed(settings: Any) -> None:
    gateway, keys = make_gateway(), make_live_keys(6)
    first = keys[0]
    with Valkeys() as servers:
        primary = servers.add(DATA)
        replica = servers.add([*DATA, f"replicaof 127.0.0.1 {primary.port}"])
        wait_until(lambda: replica.told("INFO", "replication")["master_link_status"] == "up", "no replica")
        watch = [
            f"sentinel monitor hot 127.0.0.1 {primary.port} 2",
            f"sentinel auth-pass hot {PASSWORD}",
            "sentinel down-after-milliseconds hot 2000",
            "sentinel failover-timeout hot 10000",
        ]
        sentinels = [servers.add(watch, ["--sentinel"]) for _ in range(3)]
        wait_until(lambda: all(_is_ready(one) for one in sentinels), "the sentinels do not know each other")
        places = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
        settings.HOT_STORE_URL = f"sentinel://:{PASSWORD}@{places}/hot"
        with running(settings.HOT_STORE_URL, gateway) as verifier:
            verifier.await_health(keys)
            assert verify(gateway, first.text).code == "VALID"
            with Checkers(verifier.ask, keys) as checkers:
                assert revoke(keys[0])
                checkers.ended.add(keys[0].key.public_id)
                primary.signal(signal.SIGKILL)
                revoke(keys[1])
                checkers.ended.add(keys[1].key.public_id)
                wait_until(lambda: _is_primary(replica), "no failover")
                verifier.await_health(keys[2:])
            assert checkers.wrong == []
            assert checkers.codes["degraded VALID"] > 0
            assert {verifier.ask(live.text)["code"] for live in keys[:2]} == {"REVOKED"}
            # This process finds the way by itself, too: its next call, or the one after its pause.
            wait_until(lambda: "degraded" not in verify(gateway, keys[2].text).json, "degraded for ever")


def test_sentinel_and_the_primary_that_it_names_are_asked_over_tls(settings: Any, tmp_path: Path) -> None:
    gateway, live = make_gateway(), make_live_key(rph=3)
    authority, context = make_certificate(tmp_path)
    with Valkeys() as servers, ExitStack() as relays:
        primary = servers.add(DATA)
        encrypted = relays.enter_context(Relay(primary.port, tls=context))
        # The sentinel, which speaks no TLS here, and we are at the same address of the primary.
        place = relays.enter_context(Relay(primary.port, tls_target=encrypted.port))
        watch = [f"sentinel monitor hot 127.0.0.1 {place.port} 1", f"sentinel auth-pass hot {PASSWORD}"]
        sentinel = relays.enter_context(Relay(servers.add(watch, ["--sentinel"]).port, tls=context))
        url = f"rediss+sentinel://:{PASSWORD}@127.0.0.1:{sentinel.port}/hot/0"
        settings.HOT_STORE_URL = f"{url}?ssl_ca_certs={authority}"
        assert hotwire.all_answer()
        with running(settings.HOT_STORE_URL, gateway) as verifier:
            early_in_a_minute()
            told = [verifier.ask(live.text), verify(gateway, live.text).json]
            told += [verifier.ask(live.text), verify(gateway, live.text).json]
        assert [one["code"] for one in told] == ["VALID"] * 3 + ["RATE_LIMITED_HOUR"]
        assert not any("degraded" in one for one in told)
        assert encrypted.n_connections > 1
        hotwire.drop()
        # An authority that did not sign the sentinel's certificate is of no help.
        settings.HOT_STORE_URL = url
        assert not hotwire.all_answer()
        assert verify(gateway, live.text).json["degraded"]


def _is_primary(server: Valkey) -> bool:
    try:
        return server.told("INFO", "replication")["role"] == "master"
    except OSError:  # the sentinels close every connection when they promote it
        return False


def _is_ready(sentinel: Valkey) -> bool:
    told = sentinel.ask("SENTINEL", "PRIMARY", "hot")
    fields = dict(zip(told[::2], told[1::2], strict=True))
    return int(fields[b"num-other-sentinels"]) == 2 and int(fields[b"num-slaves"]) == 1
