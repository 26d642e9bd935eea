"""The hot store: wire, records and their revisions, and the function against a plain model (V3, V4)."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys import hotrecord, hotstore, hotwire
from keys.hotaddress import Address, Tls, parse_url
from keys.hotrecord import Policy, SecretState
from keys.models import Key
from tests.dataplane import change, make_gateway, make_live_key, verify
from verifier import checks, gateways
from verifier.checks import Counters
from verifier.codes import Code
from verifier.question import Context, address

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
    mine = hotwire.connection()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"0" if "connection" in hotwire._local.__dict__ else b"1")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    os.close(read)
    os.close(write)
    assert hotwire.connection() is mine
    assert hotwire.ask(hotwire.encode("PING")) == b"PONG"


@pytest.fixture
def slow_server(settings: Any) -> Iterator[list[bytes]]:
    """A server that answers the greeting, and then each call 0.5 s late: after our timeout."""
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
                done.wait(0.5)
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
    slow = hotstore.read(live.key.family)
    token = hotstore.begin(live.key.family)
    change(live.key, status="suspended", suspended_at=datetime.now(UTC))
    assert hotstore.publish_key(live.key.public_id)
    assert slow is not None
    assert hotstore.write(live.key.family, slow.policy, token, now=datetime.now(UTC)) == "OLDER"
    assert verify(gateway, live.text).code == "SUSPENDED"


def test_emptied_store_takes_nothing_from_before(gateway: str, valkey: "redis.Redis") -> None:
    live = make_live_key()
    token = hotstore.begin(live.key.family)
    slow = hotstore.read(live.key.family)
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
    found = hotstore.read(live.key.family)
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
    assert hotstore.publish_keys(Key.objects.values_list("public_id", flat=True)) == 0


# --- the function against its model -----------------------------------------------------------------------

CLOCK = "({ redis.call('HGET', 'clock', 's'), redis.call('HGET', 'clock', 'us') })"
START = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
DIGEST = b"d" * 32


@pytest.fixture
def with_clock(valkey: "redis.Redis") -> str:
    """The same library, with a clock that the test sets; returns the function's name."""
    source = (Path(hotwire.__file__).parent / "lua" / "hotstore.lua").read_text()
    assert source.count("redis.call('TIME')") == 2
    source = source.replace("redis.call('TIME')", CLOCK).replace("@VERSION@", "clock")
    hotwire.ask(hotwire.encode("FUNCTION", "LOAD", "REPLACE", source))
    return "clock"


words = st.lists(st.sampled_from(["a", "b", "a:b", "*"]), max_size=3, unique=True).map(tuple)
moments = st.none() | st.integers(-3, 3).map(lambda days: START + timedelta(days=days))
secrets = st.builds(
    SecretState,
    digest=st.just(DIGEST),
    status=st.sampled_from(["live"] * 5 + ["overlap", "retired", "revoked"]),
    ends_at=moments,
    proven=st.just(True),
)
policies = st.builds(
    Policy,
    revision=st.just(1),
    status=st.sampled_from(["active"] * 8 + ["retiring", "pending", "suspended", "revoked", "expired"]),
    environment=st.sampled_from(["live", "dev"]),
    workspace=st.just(("WS-0001", "main")),
    identity=st.just(b'{"key":"KB-0001"}'),
    time_zone=st.sampled_from(["Asia/Tokyo", "Asia/Kolkata", "America/New_York", "UTC"]),
    starts_at=moments.filter(lambda at: at is None or at <= START) | moments,
    expires_at=moments.filter(lambda at: at is None or at > START) | moments,
    suspends_at=moments.filter(lambda at: at is None or at > START) | moments,
    rpm=st.integers(0, 5),
    rph=st.integers(0, 12),
    burst=st.integers(0, 3),
    concurrency=st.integers(0, 3),
    budget_micros=st.none() | st.integers(0, 20),
    ip_ranges=st.sampled_from([(), ("10.0.0.0/8",), ("10.1.0.0/16", "2001:db8::/32")]),
    scopes=words,
    models=words,
    features=words,
)
free = policies.map(
    lambda policy: replace(
        policy,
        status="active",
        ip_ranges=(),
        starts_at=None,
        expires_at=None,
        suspends_at=None,
        environment="live",
    )
)
asked = st.sampled_from(["", "", "", "a", "b", "a b", "a:b", "c"])
contexts = st.builds(
    Context,
    ip=st.sampled_from(["", "10.1.2.3", "10.9.9.9", "2001:db8::1", "9.255.255.255"]).map(
        lambda text: address(text) if text else b""
    ),
    environment=st.sampled_from(["", "live", "dev", "production"]),
    workspace=st.sampled_from(["", "main", "WS-0001", "WS-0002"]),
    scopes=asked,
    model=asked,
    features=asked,
    cost_micros=st.integers(0, 6),
    lease_seconds=st.integers(1, 90),
)
plain = st.builds(Context, cost_micros=st.integers(0, 6), lease_seconds=st.integers(1, 90))
waits = st.one_of(
    st.integers(0, 2_000),
    st.integers(0, 20_000_000),
    st.integers(0, 3_600_000_000),
    st.integers(0, 2 * 86_400_000_000),
)
steps = st.lists(st.tuples(waits, plain), min_size=1, max_size=30)


class Twin:
    """The function and the model, fed with the same."""

    def __init__(self, valkey: "redis.Redis", policy: Policy, secret: SecretState, family: str) -> None:
        self.valkey, self.secret, self.family = valkey, secret, family
        self.counters = Counters()
        self.micros = int(START.timestamp()) * 1_000_000
        self.n = 0
        self.put(policy)

    def put(self, policy: Policy) -> None:
        self.policy = policy
        self.put_at = self.micros
        packed = policy.packed(b"the run!", now=self.now, ttl=10**8)
        values: dict[Any, Any] = {"p": packed, hotrecord.secret_field(DIGEST): self.secret.packed()}
        self.valkey.hset(hotrecord.record_key(self.family), mapping=values)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.micros // 1_000_000, UTC)

    def step(self, wait: int, context: Context) -> None:
        self.micros += wait
        if self.micros - self.put_at > 25 * 86_400_000_000:
            self.put(self.policy)
        self.n += 1
        lease = b"lease-%d" % self.n
        assert self.function(context, lease) == self.model(context, lease)

    def function(self, context: Context, lease: bytes, past_its_time: str = "n") -> list[Any]:
        self.valkey.hset("clock", mapping={"s": self.micros // 1_000_000, "us": self.micros % 1_000_000})
        tag = hotrecord.tag_of(self.family[:2])
        keys = [
            hotrecord.record_key(self.family),
            hotrecord.use_key(tag),
            hotrecord.epoch_key(tag),
            hotrecord.lease_key(self.family),
        ]
        head = hotwire.encode(
            "FCALL", "kagiban_verify_clock", 4, *keys, f"{self.family}0000", b"the run!", past_its_time
        ).partition(b"\r\n")[2]
        field = hotwire.encode(hotrecord.secret_field(DIGEST)).partition(b"\r\n")[2]
        nonce = hotwire.encode(lease).partition(b"\r\n")[2]
        code, _identity, *numbers = hotwire.ask(b"*20\r\n" + head + field + context.packed + nonce)
        return [code.decode(), *numbers]

    def model(self, context: Context, lease: bytes) -> list[Any]:
        code = checks.refusal(self.policy, self.secret, context, self.now)
        counters = self.counters if code is None else replace_counters(self.counters)
        policy = self.policy if code is None else unlimited_look(self.policy)
        taken = checks.take(
            policy,
            counters,
            cost=context.cost_micros,
            lease=lease,
            lease_seconds=context.lease_seconds,
            micros=self.micros,
        )
        if code is not None:
            return [code.value, *left(self.policy, self.counters, self.micros), self.micros // 1_000_000, 0]
        verdict = (taken.code or Code.VALID).value
        return [verdict, taken.minute, taken.hour, taken.budget, self.micros // 1_000_000, taken.retry]


def replace_counters(counters: Counters) -> Counters:
    return replace(counters, leases=dict(counters.leases))


def unlimited_look(policy: Policy) -> Policy:
    return replace(policy, rpm=0, rph=0, burst=0, concurrency=0, budget_micros=None)


def left(policy: Policy, counters: Counters, micros: int) -> list[int]:
    """What is left without taking anything."""
    look = replace_counters(counters)
    checks._turn_windows(policy, look, micros // 1_000_000)
    return [
        max(0, policy.rpm - look.in_minute) if policy.rpm else -1,
        max(0, policy.rph - look.in_hour) if policy.rph else -1,
        max(0, policy.budget_micros - look.spent) if policy.budget_micros is not None else -1,
    ]


families = st.integers(0, 10**9).map(lambda number: f"{number:08d}")
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(policy=free, steps=steps, family=families)
def test_limits_are_the_models(
    with_clock: str, valkey: "redis.Redis", policy: Policy, steps: list[tuple[int, Context]], family: str
) -> None:
    valkey.flushdb()
    twin = Twin(valkey, policy, SecretState(DIGEST, "live", proven=True), family)
    for wait, context in steps:
        twin.step(wait, context)


@many
@given(before=free, after=free, first=steps, second=steps)
def test_counters_survive_a_new_policy(
    with_clock: str,
    valkey: "redis.Redis",
    before: Policy,
    after: Policy,
    first: list[tuple[int, Context]],
    second: list[tuple[int, Context]],
) -> None:
    valkey.flushdb()
    # The hour begins elsewhere in another zone: that a key moves to it does not happen within an hour.
    after = replace(after, time_zone=before.time_zone)
    twin = Twin(valkey, before, SecretState(DIGEST, "live", proven=True), "00000000")
    for wait, context in first:
        twin.step(wait, context)
    twin.put(after)
    for wait, context in second:
        twin.step(wait, context)


@many
@given(policy=policies, secret=secrets, context=contexts)
def test_checks_before_the_limits_are_the_models(
    with_clock: str, valkey: "redis.Redis", policy: Policy, secret: SecretState, context: Context
) -> None:
    valkey.flushdb()
    Twin(valkey, policy, secret, "00000000").step(0, context)


def test_a_deadline_ends_a_key_by_itself_whatever_stands_in_its_record(
    with_clock: str, valkey: "redis.Redis"
) -> None:
    valkey.flushdb()
    policy = Policy(1, "active", "live", ("WS-0001",), b"{}", suspends_at=START + timedelta(hours=1))
    twin = Twin(valkey, policy, SecretState(DIGEST, "live", proven=True), "00000000")
    plain = Context(lease_seconds=1)
    twin.micros += 3_599 * 1_000_000
    assert twin.function(plain, b"one")[0] == "VALID"
    twin.micros += 1_000_000
    # The registry has to be asked; while it is away, nothing is served past the deadline.
    assert twin.function(plain, b"two")[0] == "MISS"
    assert twin.function(plain, b"two", "s")[0] == "EXPIRED"
    twin.put(policy)
    assert twin.function(plain, b"three")[0] == "SUSPENDED"
    assert checks.refusal(policy, twin.secret, plain, twin.now) == Code.SUSPENDED
    # A store whose clock is ahead of ours asks no more often than it must, and lets nothing through.
    twin.micros -= 2_000_000
    twin.put(policy)
    twin.micros += 4_000_000
    assert twin.function(plain, b"four")[0] == "EXPIRED"


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
