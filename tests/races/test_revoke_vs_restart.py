"""Revocation while the store is killed and comes back with what it had written: no stale accept (V4)."""

import signal
from typing import Any

import pytest

from tests.checkers import Checkers, revoke, running
from tests.dataplane import make_gateway, make_live_keys
from tests.valkeys import DATA, PASSWORD, Valkeys

N_KEYS = 60
KILLED_AT = (20, 40)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]


def test_store_that_is_killed_between_revocations_lets_nothing_through(settings: Any) -> None:
    gateway, keys = make_gateway(), make_live_keys(N_KEYS)
    with Valkeys() as servers:
        store = servers.add([*DATA, "appendonly yes", "appendfsync everysec"])
        settings.HOT_STORE_URL = f"redis://:{PASSWORD}@127.0.0.1:{store.port}/0"
        with running(settings.HOT_STORE_URL, gateway) as verifier:
            verifier.await_health(keys)
            with Checkers(verifier.ask, keys) as checkers:
                for number, live in enumerate(keys):
                    if number in KILLED_AT:
                        store.signal(signal.SIGKILL)
                    # One while the store is away; the next as soon as it is back, with old records of all.
                    revoke(live)
                    checkers.ended.add(live.key.public_id)
                    if number in KILLED_AT:
                        store.start()
            assert checkers.wrong == []
            assert checkers.codes["VALID"] > 0
            assert {verifier.ask(live.text)["code"] for live in keys} == {"REVOKED"}
