"""The hot store: wire, records and their revisions, and the function against a plain model (V3, V4)."""

import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest
import redis
from django.utils import timezone

from keys.hotstore import client as hotwire
from keys.hotstore import publish as hotstore
from keys.hotstore import record as hotrecord
from keys.hotstore.address import Address, Tls, parse_url
from keys.hotstore.connection import TIMEOUT_SECONDS
from tests.dataplane import change, make_gateway, make_live_key, verify
from verifier.callers import gateways

# --- the wire ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1:8150/3", Address(host="127.0.0.1", port=8150, database=3)),
        ("redis://", Address(host="127.0.0.1")),
        ("valkey://:p%40ss@h/", Address(host="h", password="p@ss")),
        ("rediss://u:p@h:1/2", Address("h", 1, "", "u", "p", 2, tls=Tls())),
        ("rediss://h?ssl_cert_reqs=none", Address(host="h", tls=Tls(checks_certificate=False))),
        ("unix:///run/vk.sock?db=4", Address(path="/run/vk.sock", database=4)),
        (
            "redis+socket://:p@/run/vk.sock?virtual_host=5",
            Address("", 6379, "/run/vk.sock", "", "p", 5),
        ),
    ],
)
def test_url_forms(url: str, address: Address) -> None:
    assert parse_url(url) == address
    assert "p@" not in repr(address)


def test_unknown_url_is_not_quoted_in_the_error() -> None:
    with pytest.raises(ValueError, match="must begin with") as caught:
        parse_url("http://:topsecret@h/")
    assert "topsecret" not in str(caught.value)


def test_functions_come_back_by_themselves(valkey: "redis.Redis") -> None:
    valkey.function_flush()
    assert hotwire.call("begin", [b"kb:{00}:e"], "one") == b"one"
    assert hotwire.call("begin", [b"kb:{00}:e"], "two") == b"one"


def test_connection_closed_by_the_server_is_replaced(valkey: "redis.Redis") -> None:
    assert hotwire.ask(hotwire.encode("PING")) == b"PONG"
    valkey.client_kill_filter(_type="normal", skipme=True)
    assert hotwire.ask(hotwire.encode("PING")) == b"PONG"


def test_forked_process_does_not_share_the_socket() -> None:
    mine = _own_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"0" if hotwire._mine.connections else b"1")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    os.close(read)
    os.close(write)
    assert _own_id() == mine


def _own_id() -> int:
    """The store's number of this thread's connection."""
    number: int = hotwire.ask(hotwire.encode("CLIENT", "ID"))
    return number


@pytest.fixture
def slow_server(settings: Any) -> Iterator[list[bytes]]:
    """A server that answers the greeting, and then each call late: after our timeout."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with client:
            while data := client.recv(4096):
                heard.append(data)
                if b"INFO" in data:
                    client.sendall(b"$9\r\nrun_id:aa\r\n")
                    continue
                done.wait(2 * TIMEOUT_SECONDS)
                try:
                    client.sendall(b"+LATE\r\n")
                except OSError:
                    return

    done = threading.Event()
    settings.HOT_STORE_URL = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    hotwire.drop()
    hotwire.resume()
    threading.Thread(target=serve, daemon=True).start()
    yield heard
    done.set()
    listener.close()
    hotwire.drop()
    hotwire.resume()


def test_late_reply_never_answers_the_next_question(slow_server: list[bytes]) -> None:
    for _ in range(2):
        with pytest.raises(hotwire.StoreUnavailableError):
            hotwire.ask(hotwire.encode("ECHO", "first"))
    # Two timeouts in a row: for a moment nobody waits for it any more.
    before = len(slow_server)
    with pytest.raises(hotwire.StoreUnavailableError):
        hotwire.ask(hotwire.encode("ECHO", "second"))
    assert len(slow_server) == before


# --- records ----------------------------------------------------------------------------------------


@pytest.fixture
def gateway(db: None) -> str:
    gateways.forget_all()
    return make_gateway()


def test_older_news_never_overwrites_newer(gateway: str) -> None:
    live = make_live_key()
    slow = hotstore.read(live.key.family, now=datetime.now(UTC))
    token = hotstore.begin(live.key.family)
    change(live.key, status="suspended", suspended_at=datetime.now(UTC))
    assert hotstore.publish_key(live.key.public_id)
    assert slow is not None
    assert hotstore.write(live.key.family, slow.policy, token, now=datetime.now(UTC)) == "OLDER"
    assert verify(gateway, live.text).code == "SUSPENDED"


def test_emptied_store_takes_nothing_from_before(gateway: str, valkey: "redis.Redis") -> None:
    live = make_live_key()
    token = hotstore.begin(live.key.family)
    slow = hotstore.read(live.key.family, now=datetime.now(UTC))
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=datetime.now(UTC))
    assert hotstore.publish_key(live.key.public_id)
    valkey.flushdb()
    assert slow is not None
    assert hotstore.write(live.key.family, slow.policy, token, now=datetime.now(UTC)) == "LOST"
    assert verify(gateway, live.text).code == "REVOKED"


def test_record_of_another_server_process_is_read_again(gateway: str, valkey: "redis.Redis") -> None:
    live = make_live_key(rph=5)
    assert verify(gateway, live.text).code == "VALID"
    # A restart that lost the news of a revocation: the record is as it was, the server is another one.
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=datetime.now(UTC))
    record = hotrecord.record_key(live.key.family)
    policy = valkey.hget(record, "p")
    assert isinstance(policy, bytes)
    valkey.hset(record, "p", policy[:8] + b"otherrun" + policy[16:])
    assert verify(gateway, live.text).code == "REVOKED"


def test_record_dies_after_its_time_where_the_store_was_not_told(gateway: str, settings: Any) -> None:
    settings.API_KEY_AUTH_CACHE_TTL_SECONDS = 0
    live = make_live_key()
    token = hotstore.begin(live.key.family)
    found = hotstore.read(live.key.family, now=datetime.now(UTC))
    assert found is not None
    hotstore.write(live.key.family, found.policy, token, now=datetime.now(UTC))
    settings.API_KEY_AUTH_CACHE_TTL_SECONDS = 300
    change(live.key, status="suspended", suspended_at=datetime.now(UTC))
    assert verify(gateway, live.text).code == "SUSPENDED"


def test_dead_key_stays_dead_without_asking_the_database(
    gateway: str, settings: Any, django_assert_num_queries: Any
) -> None:
    live = make_live_key()
    assert verify(gateway, live.text).code == "VALID"
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=datetime.now(UTC))
    settings.API_KEY_AUTH_CACHE_TTL_SECONDS = -1
    assert hotstore.publish_key(live.key.public_id)
    with django_assert_num_queries(0):
        assert verify(gateway, live.text).code == "REVOKED"


def test_tombstone_outlives_the_time_of_records(gateway: str, valkey: "redis.Redis", settings: Any) -> None:
    live = make_live_key()
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=datetime.now(UTC))
    assert hotstore.publish_key(live.key.public_id)
    assert valkey.ttl(hotrecord.record_key(live.key.family)) > 10 * settings.API_KEY_AUTH_CACHE_TTL_SECONDS


def test_store_that_is_away_is_no_error_for_the_change(settings: Any, db: None) -> None:
    live = make_live_key()
    settings.HOT_STORE_URL = "redis://127.0.0.1:1/0"
    hotwire.drop()
    try:
        assert not hotstore.publish_key(live.key.public_id)
    finally:
        hotwire.drop()
        hotwire.resume()


def test_no_secret_and_no_digest_text_in_the_store(gateway: str, valkey: "redis.Redis") -> None:
    live = make_live_key()
    assert verify(gateway, live.text).code == "VALID"
    hidden = live.text.split("_")[3].encode()
    for name in valkey.keys("*"):
        dump = repr(valkey.hgetall(name) if valkey.type(name) == b"hash" else valkey.dump(name))
        assert hidden.decode() not in dump
        assert hidden not in name


def test_publishing_the_unknown_is_nothing(db: None) -> None:
    assert not hotstore.publish_key("KB-9999")
    assert hotstore.publish_workspace("WS-9999"), "no key of it is left to tell of"


def test_an_emergency_key_is_refused_from_its_deadline_on_without_any_sweep(gateway: str) -> None:
    now = timezone.now()
    live = make_live_key(provisional_until=now + timedelta(hours=1))
    assert verify(gateway, live.text).code == "VALID"
    change(live.key, provisional_until=now - timedelta(seconds=1))
    hotstore.publish_key(live.key.public_id)
    assert verify(gateway, live.text).code == "SUSPENDED"
    change(live.key, provisional_until=None)
    hotstore.publish_key(live.key.public_id)
    assert verify(gateway, live.text).code == "VALID"


def test_where_telling_fails_by_our_own_mistake_no_older_record_stands(db: None) -> None:
    """Else a key that was revoked in this moment would go on until its record's time is over."""
    gateway, live = make_gateway(), make_live_key()
    assert verify(gateway, live.text).code == "VALID"
    type(live.key.workspace).objects.filter(pk=live.key.workspace_id).update(time_zone="Nowhere/At all")
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=timezone.now())
    with pytest.raises(ZoneInfoNotFoundError):
        hotstore.publish_key(live.key.public_id)
    assert verify(gateway, live.text).status == 500
    type(live.key.workspace).objects.filter(pk=live.key.workspace_id).update(time_zone="Asia/Tokyo")
    assert verify(gateway, live.text).code == "REVOKED"
