"""The function on Valkey against the same checks in plain Python, over random times (V2, V3).

Both are fed with the same calls, by a clock that the test sets; every answer has to be the same, to the last
number. The record is written by the function that writes it, and is read again when it is out of date.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from keys.hotstore import record as hotrecord
from keys.hotstore.call import read_verdict
from keys.hotstore.record import MICROS, Policy, SecretState, Shared
from tests.core.test_addresses import ADDRESSES, networks, truly_holds
from tests.twins import (
    DIGEST,
    START,
    WORKSPACE,
    AtOnce,
    Twin,
    add_most,
    at,
    by_limit,
    drain,
    load_with_clock,
    set_clock,
)
from verifier.contract.question import Context, address
from verifier.decide.checks import Counters

# One workspace: its families begin alike, so that its keys lie under one hash tag.
FAMILIES = ("Wsaaaaaa", "Wsbbbbbb", "Wscccccc")


@pytest.fixture
def with_clock(valkey: "redis.Redis") -> "redis.Redis":
    load_with_clock()
    return valkey


# --- the checks before the limits -------------------------------------------------------------------

words = st.lists(st.sampled_from(["a", "b", "a:b", "*"]), max_size=3, unique=True).map(tuple)
moments = st.none() | st.integers(-3, 3).map(lambda days: START + timedelta(days=days))
secrets = st.builds(
    SecretState,
    digest=st.just(DIGEST),
    status=st.sampled_from(["live"] * 5 + ["overlap", "retired", "revoked"]),
    ends_at=moments,
    proven=st.just(True),
)
# Often there is no limit of a kind, so that each gets its turn to be the first that is reached.
limits: dict[str, Any] = {
    "rpm": st.sampled_from([0, 0, 0, 1, 4, 9]),
    "rph": st.sampled_from([0, 0, 0, 1, 7, 20]),
    "burst": st.sampled_from([0, 0, 0, 1, 4]),
    "concurrency": st.sampled_from([0, 0, 0, 1, 3]),
    "budget_micros": st.sampled_from([None, None, None, 0, 5, 30]),
}
some_shared = st.builds(
    Shared,
    workspace=st.just(WORKSPACE),
    rpm=st.sampled_from([0, 2, 2, 8]),
    rph=st.sampled_from([0, 0, 3, 15]),
    budget_micros=st.sampled_from([None, None, 4, 40]),
)
shared_limits = some_shared | some_shared | st.none()
ZONES = [
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/New_York",
    "America/St_Johns",
    "UTC",
]
FULL_HOURS = {"Asia/Tokyo", "America/New_York", "UTC"}
policies = st.builds(
    Policy,
    revision=st.just(1),
    status=st.sampled_from(["active"] * 8 + ["retiring", "pending", "suspended", "revoked", "expired"]),
    environment=st.sampled_from(["live", "dev"]),
    workspace=st.just((WORKSPACE, "main")),
    identity=st.just(b'{"key":"KB-0001"}'),
    time_zone=st.sampled_from(ZONES),
    starts_at=moments.filter(lambda at: at is None or at <= START) | moments,
    expires_at=moments.filter(lambda at: at is None or at > START) | moments,
    suspends_at=moments.filter(lambda at: at is None or at > START) | moments,
    ip_ranges=st.sampled_from([(), ("10.0.0.0/8",), ("10.1.0.0/16", "2001:db8::/32")]),
    scopes=words,
    models=words,
    features=words,
    shared=shared_limits,
    **limits,
)
asked_words = st.sampled_from(["", "", "", "a", "b", "a b", "a:b", "c"])
contexts = st.builds(
    Context,
    ip=st.sampled_from(["", "10.1.2.3", "10.9.9.9", "2001:db8::1", "9.255.255.255"]).map(
        lambda text: address(text) if text else b""
    ),
    environment=st.sampled_from(["", "live", "dev", "production"]),
    workspace=st.sampled_from(["", "main", WORKSPACE, "WS-0002"]),
    scopes=asked_words,
    model=asked_words,
    features=asked_words,
    cost_micros=st.integers(0, 6),
    lease_seconds=st.integers(0, 90),
)


@settings(max_examples=200)
@given(policy=policies, secret=secrets, context=contexts)
def test_checks_before_the_limits(
    with_clock: "redis.Redis", policy: Policy, secret: SecretState, context: Context
) -> None:
    with_clock.flushdb()
    micros = int(START.timestamp()) * MICROS
    set_clock(with_clock, micros)
    twin = Twin(FAMILIES[0], policy, secret, Counters())
    twin.put(START)
    twin.ask(micros, context, b"lease")


@settings(max_examples=200)
@given(network=networks(), text=ADDRESSES)
@example("::/64", "203.0.113.7")
@example("::fffe:0:0/95", "255.255.255.255")
@example("::ffff:10.0.0.0/104", "10.0.0.2")
@example("::/0", "::1:0:0:0")
def test_a_key_works_from_its_range_in_the_same_family_only(
    with_clock: "redis.Redis", network: str, text: str
) -> None:
    with_clock.flushdb()
    micros = int(START.timestamp()) * MICROS
    set_clock(with_clock, micros)
    policy = Policy(1, "active", "live", (WORKSPACE,), b"{}", ip_ranges=(network,))
    twin = Twin(FAMILIES[0], policy, SecretState(DIGEST, "live", proven=True), Counters())
    twin.put(START)
    code = "VALID" if truly_holds(network, text) else "IP_NOT_ALLOWED"
    assert twin.ask(micros, Context(ip=address(text)), b"lease") == code


def test_a_deadline_ends_a_key_by_itself_whatever_stands_in_its_record(with_clock: "redis.Redis") -> None:
    with_clock.flushdb()
    policy = Policy(1, "active", "live", (WORKSPACE,), b"{}", suspends_at=START + timedelta(hours=1))
    twin = Twin(FAMILIES[0], policy, SecretState(DIGEST, "live", proven=True), Counters())

    def told(second: int, mode: bytes = b"n") -> Any:
        set_clock(with_clock, (int(START.timestamp()) + second) * MICROS)
        said = twin.function(Context(), b"lease", mode)
        return said[0] if isinstance(said, list) else read_verdict(said)[0]

    twin.put(START + timedelta(seconds=3_500))
    assert told(3_599) == b"VALID"
    # The registry has to be asked; while it is away, nothing is served past the deadline.
    assert told(3_600) == b"MISS"
    assert told(3_600, b"s") == b"EXPIRED"
    twin.put(START + timedelta(seconds=3_600))
    assert told(3_600) == b"SUSPENDED"
    # A store whose clock is ahead of ours asks no more often than it must, and lets nothing through.
    twin.put(START + timedelta(seconds=3_598))
    assert told(3_602) == b"EXPIRED"


# --- the limits, over time --------------------------------------------------------------------------

# Shortly before clocks are put (Lord Howe's by half an hour), months end, years end, and in between.
STARTS = [
    datetime(2026, 10, 3, 15, 20, tzinfo=UTC),
    datetime(2026, 4, 4, 14, 50, tzinfo=UTC),
    datetime(2026, 11, 1, 5, 50, tzinfo=UTC),
    datetime(2026, 3, 8, 5, 20, tzinfo=UTC),
    datetime(2026, 11, 30, 14, 50, tzinfo=UTC),
    datetime(2026, 11, 30, 18, 20, tzinfo=UTC),
    datetime(2028, 2, 29, 23, 50, tzinfo=UTC),
    datetime(2026, 12, 31, 13, 20, tzinfo=UTC),
    datetime(2027, 6, 15, 12, 29, 50, tzinfo=UTC),
]
waits = st.one_of(
    st.integers(0, 2_000),
    st.integers(0, 20 * MICROS),
    st.integers(0, 600 * MICROS),
    st.integers(0, 2 * 3600 * MICROS),
    st.integers(0, 40 * 86_400 * MICROS),
)
gaps = st.sampled_from([0, 1_000, 300_000, 7 * MICROS, 45 * MICROS])
which = st.integers(0, len(FAMILIES) - 1)
costs = st.integers(0, 6)
lease_times = st.integers(0, 90)


class Limits(RuleBasedStateMachine):
    """Three keys of a workspace, asked for at random while time passes and limits change.

    Their secrets are replaced, their ends planned, and calls are reported late, twice or never.
    """

    valkey: ClassVar["redis.Redis"]

    def __init__(self) -> None:
        super().__init__()
        self.n_leases = 0
        self.drained: AtOnce = {}

    @initialize(start=st.sampled_from(STARTS), zone=st.sampled_from(ZONES), data=st.data())
    def begin(self, start: datetime, zone: str, data: st.DataObject) -> None:
        self.valkey.flushdb()
        self.micros = int(start.timestamp()) * MICROS
        set_clock(self.valkey, self.micros)
        shared, common = Counters(), data.draw(shared_limits)
        plain = Policy(1, "active", "live", (WORKSPACE,), b"{}", time_zone=zone, shared=common)
        secret = SecretState(DIGEST, "live", proven=True)
        self.hours_are_full = zone in FULL_HOURS
        self.twins = []
        for family in FAMILIES:
            terms = data.draw(st.fixed_dictionaries(limits))
            self.twins.append(Twin(family, replace(plain, **terms), secret, shared))
            self.twins[-1].put(start)

    @property
    def now(self) -> datetime:
        return at(self.micros)

    @rule(wait=waits)
    def time_passes(self, wait: int) -> None:
        self.micros += wait
        set_clock(self.valkey, self.micros)

    @rule(seconds=st.integers(1, 2 * 3600))
    def clock_is_set_back(self, seconds: int) -> None:
        self.micros -= seconds * MICROS
        self.hours_are_full = False
        set_clock(self.valkey, self.micros)
        for twin in self.twins:
            if twin.is_of_another_time(self.now):
                twin.put(self.now)

    @rule(numbers=st.lists(which, min_size=1, max_size=12), cost=costs, seconds=lease_times, gap=gaps)
    def ask(self, numbers: list[int], cost: int, seconds: int, gap: int) -> None:
        context = Context(cost_micros=cost, lease_seconds=seconds)
        for number in numbers:
            self.time_passes(gap)
            self.n_leases += 1
            # By any of the key's secrets: they share its limits.
            self.twins[number].ask(self.micros, context, b"lease-%d" % self.n_leases, self.n_leases % 3)

    @rule(number=which)
    def ask_what_is_refused(self, number: int) -> None:
        assert self.twins[number].ask(self.micros, Context(scopes="no"), b"-") in {
            "INSUFFICIENT_SCOPE",
            "EXPIRED",  # by its planned end
        }

    @rule(number=which, terms=st.fixed_dictionaries({}, optional=limits))
    def limits_of_a_key_change(self, number: int, terms: dict[str, Any]) -> None:
        self.twins[number].change(self.now, **terms)

    @rule(common=shared_limits)
    def limits_of_the_workspace_change(self, common: Shared | None) -> None:
        for twin in self.twins:
            twin.change(self.now, shared=common)

    @rule(number=which, overlap=st.integers(0, 3 * 86_400))
    def secret_is_replaced(self, number: int, overlap: int) -> None:
        self.twins[number].rotate(self.now, self.now + timedelta(seconds=overlap))

    @rule(number=which, days=st.sampled_from([7, 4, 2, 0]), seconds=st.integers(1, 4_000))
    def end_is_planned(self, number: int, days: int, seconds: int) -> None:
        """So that limits, or all of it, end soon after."""
        self.twins[number].retire(self.now, self.now + timedelta(days=days, seconds=seconds))

    @rule(number=which)
    def end_is_called_off(self, number: int) -> None:
        self.twins[number].retire(self.now, None)

    @rule(number=which, n=st.integers(1, 12))
    def time_changes_what_a_key_may_do(self, number: int, n: int) -> None:
        """The last second of what was, and the first of what is then."""
        change = self.twins[number].next_change(self.now)
        if change is not None:
            seconds = int(change.timestamp())
            self.time_passes(max(0, (seconds - 1) * MICROS - self.micros))
            self.ask([number] * 3, 0, 1, 0)
            self.time_passes(seconds * MICROS - self.micros)
            self.ask([number] * n, 0, 1, 0)

    @rule(
        number=which,
        # Which of the last checks, under which of two ids, and what it really cost.
        rows=st.lists(
            st.tuples(st.integers(0, 5), st.integers(0, 1), st.none() | st.integers(0, 40)),
            min_size=1,
            max_size=5,
        ),
    )
    def ends_of_calls_are_reported(self, number: int, rows: list[tuple[int, int, int | None]]) -> None:
        twin = self.twins[number]
        last = twin.held[-6:]
        if last:
            picked = [(last[place % len(last)], name, cost) for place, name, cost in rows]
            twin.report(
                [(held, b"%b-%d" % (held.lease, name), cost) for held, name, cost in picked],
                self.micros // 1000,
            )
            self.ask([number], 1, 1, 0)

    @rule(worker_dies=st.booleans())
    def drain(self, worker_dies: bool) -> None:
        add_most(self.drained, drain(self.twins[0].tag, worker_dies=worker_dies))
        self.compare_most()

    def compare_most(self) -> None:
        if set(self.valkey.hkeys(hotrecord.use_key(self.twins[0].tag))) - {b"="}:
            return  # behind a dead worker's batch
        meant: AtOnce = {}
        for twin in self.twins:
            add_most(meant, twin.most)
        assert by_limit(self.drained) == by_limit(meant)
        # Peaks begin anew with the hour: in zones whose hours are ours, with the day, too.
        if self.hours_are_full:
            assert self.drained == meant

    def teardown(self) -> None:
        if hasattr(self, "twins"):
            self.drain(worker_dies=False)
            self.drain(worker_dies=False)


def test_the_most_at_once_is_noted_when_it_grows_and_begins_anew_with_the_day(
    with_clock: "redis.Redis",
) -> None:
    with_clock.flushdb()
    start = datetime(2026, 11, 30, 14, 30, tzinfo=UTC)  # half an hour to midnight in Tokyo
    policy = Policy(1, "active", "live", (WORKSPACE,), b"{}", rpm=60, burst=5, concurrency=9)
    twin = Twin(FAMILIES[0], policy, SecretState(DIGEST, "live", proven=True), Counters())
    micros = int(start.timestamp()) * MICROS

    def ask(second: int, n: int) -> dict[tuple[str, int], int]:
        at = micros + second * MICROS
        set_clock(with_clock, at)
        for number in range(n):
            lease = b"%d-%d" % (second, number)
            assert twin.ask(at, Context(lease_seconds=85), lease) == "VALID"
        return {(limit, day.day): n for (_family, day, limit), n in drain(twin.tag).items()}

    twin.put(start)
    assert ask(0, 3) == {("burst", 30): 3, ("concurrency", 30): 3}
    assert ask(1, 1) == {("concurrency", 30): 4}
    assert ask(200, 2) == {}
    assert ask(1_700, 5) == {("burst", 30): 5, ("concurrency", 30): 5}
    assert ask(1_800, 1) == {("burst", 1): 1, ("concurrency", 1): 1}


def test_limits_over_time(with_clock: "redis.Redis") -> None:
    Limits.valkey = with_clock
    walks = settings(max_examples=50, stateful_step_count=40)
    run_state_machine_as_test(Limits, settings=walks)


def test_limits_of_a_retiring_key_fall_to_the_second(with_clock: "redis.Redis") -> None:
    with_clock.flushdb()
    policy = Policy(1, "active", "live", (WORKSPACE,), b"{}", rpm=100, rph=1_000, burst=40)
    twin = Twin(FAMILIES[0], policy, SecretState(DIGEST, "live", proven=True), Counters())
    twin.retire(START, START + timedelta(days=7, seconds=30))
    second = int(START.timestamp())
    for n, since in enumerate((0, 29, 30, 31, 3 * 86_400 + 29, 3 * 86_400 + 30, 7 * 86_400 + 29)):
        set_clock(with_clock, (second + since) * MICROS)
        assert twin.ask((second + since) * MICROS, Context(), b"%d" % n) == "VALID"
    set_clock(with_clock, (second + 7 * 86_400 + 30) * MICROS)
    assert twin.ask((second + 7 * 86_400 + 30) * MICROS, Context(), b"-") == "EXPIRED"
