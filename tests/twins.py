"""A key in the hot store and in a model of it in plain Python, fed with the same calls (V2, V3).

Both go by a clock that the test sets; every answer has to be the same, to the last number.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import redis

from keys.hotstore import client as hotwire
from keys.hotstore import record as hotrecord
from keys.hotstore.call import read_verdict
from keys.hotstore.record import MICROS, Policy, SecretState, burst_of, hour_shift, month_ends
from keys.models import Key
from keys.rights import retirement
from keys.rights.limits import limits_of
from keys.terms.terms import office_day
from verifier.contract.codes import Code
from verifier.contract.question import Context
from verifier.decide import checks, warm
from verifier.decide.checks import Call, Counters, Windows

CLOCK = "({ redis.call('HGET', 'clock', 's'), redis.call('HGET', 'clock', 'us') })"
START = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
DIGEST = b"d" * 32
RUN = b"the run!"
TTL = 300
WORKSPACE = "WS-0001"
MARKS_STAND_S = 90_000


def load_with_clock() -> None:
    """The same library under another name, with a clock that the test sets. Only its text knows of it."""
    source = (Path(hotwire.__file__).with_name("functions.lua")).read_text()
    assert source.count("redis.call('TIME')") == 3
    source = source.replace("redis.call('TIME')", CLOCK).replace("@VERSION@", "clock")
    hotwire.ask(hotwire.encode("FUNCTION", "LOAD", "REPLACE", source))


def set_clock(valkey: "redis.Redis", micros: int) -> None:
    """Let it be so many µs since 1970."""
    valkey.hset("clock", mapping={"s": micros // MICROS, "us": micros % MICROS})


def at(micros: int) -> datetime:
    """The time to the second."""
    return datetime.fromtimestamp(micros // MICROS, UTC)


def call(name: str, keys: list[bytes], *arguments: hotwire.Argument) -> Any:
    """Call one of that library's functions."""
    return hotwire.ask(hotwire.encode("FCALL", f"kagiban_{name}_clock", len(keys), *keys, *arguments))


@dataclass(frozen=True)
class Held:
    """What a check reserved that was let through, as its id carries it. `held`: until when, in ms (or 0)."""

    lease: bytes
    at: int
    month: int
    reserved: int
    held: int
    in_common: bool


# The most of a limit that was used at once, by family, day and limit.
AtOnce = dict[tuple[str, date, str], int]


class Twin:
    """One key, in the store and in the model. `secrets`: the newest first."""

    def __init__(self, family: str, policy: Policy, secret: SecretState, shared: Counters) -> None:
        self.family, self.policy, self.secrets, self.shared = family, policy, [secret], shared
        self.counters = Counters()
        self.most: AtOnce = {}
        self.tag = hotrecord.tag_of(family[:2])
        self.record = hotrecord.record_key(family)
        self.in_common = hotrecord.shared_key(family, WORKSPACE)
        self.put_at = START
        self.retires_at: datetime | None = None
        self.notice_at = START
        self.held: list[Held] = []
        self.reported: set[bytes] = set()
        self.settled: set[bytes] = set()

    # --- the record ---------------------------------------------------------------------------------

    def policy_at(self, now: datetime) -> Policy:
        """The policy that the registry would tell of now: a retiring key's limits fall by its schedule."""
        policy, end = self.policy, self.retires_at
        if end is None:
            return policy
        agreed = Key(rpm=policy.rpm, rph=policy.rph, burst=policy.burst, retires_at=end)
        limits = limits_of(agreed, now)
        return replace(
            policy,
            rpm=limits.rpm,
            rph=limits.rph,
            burst=limits.burst,
            expires_at=end,
            changes_at=retirement.next_change(self.notice_at, end, now),
        )

    def put(self, now: datetime) -> None:
        """Write the record as `hotstore.write` does."""
        policy = self.policy_at(now)
        epoch_key = hotrecord.epoch_key(self.tag)
        keys = [self.record, epoch_key]
        if policy.shared:
            keys.append(self.in_common)
        epoch = call("begin", [epoch_key], "epoch")
        states: list[bytes] = []
        for secret in self.secrets:
            states += [hotrecord.secret_field(secret.digest), secret.packed()]
        packed = policy.packed(RUN, now=now, ttl=TTL)
        assert call("put", keys, epoch, policy.revision, packed, 86_400, *states) == b"PUT"
        self.put_at = now

    def change(self, now: datetime, **terms: Any) -> None:
        """Give the key other terms, in force with the next call."""
        self.policy = replace(self.policy, revision=self.policy.revision + 1, **terms)
        self.put(now)

    def rotate(self, now: datetime, overlap_ends_at: datetime) -> None:
        """Make a new secret; the one before it works until then, all others are over."""
        fresh = SecretState(b"%016d" % len(self.secrets) * 2, "live", proven=True)
        last, *older = self.secrets
        self.secrets = [
            fresh,
            replace(last, status="overlap", ends_at=overlap_ends_at),
            *(replace(secret, status="retired", ends_at=None) for secret in older),
        ]
        self.change(now)

    def retire(self, now: datetime, ends_at: datetime | None) -> None:
        """Plan the key's end, with notice from now on, or call it off."""
        self.retires_at, self.notice_at = ends_at, now
        self.change(now)

    def next_change(self, now: datetime) -> datetime | None:
        """When time alone will change what the key may do: its limits or its end, or an overlap's end."""
        ends = [secret.ends_at for secret in self.secrets]
        if self.retires_at is not None:
            ends.append(retirement.next_change(self.notice_at, self.retires_at, now))
        return min((end for end in ends if end is not None and end > now), default=None)

    def is_of_another_time(self, now: datetime) -> bool:
        """Whether the record was written in another month, by other clocks, or under other limits.

        A record is as good as the clock of whoever wrote it: one from next month begins that month, and it
        is begun once, whatever the store's clock says afterwards.
        """
        zone, then = self.policy.time_zone, self.put_at
        return (
            month_ends(now, zone) != month_ends(then, zone)
            or hour_shift(now, zone) != hour_shift(then, zone)
            or self.policy_at(now) != self.policy_at(then)
        )

    # --- a check ------------------------------------------------------------------------------------

    def ask(self, micros: int, context: Context, lease: bytes, which: int = 0) -> str:
        """One call of both by one of the secrets; returns the code on which they agree."""
        asked = Call(micros, context.cost_micros, lease, context.lease_seconds)
        secret = self.secrets[which % len(self.secrets)]
        said = self.function(context, lease, secret=secret)
        if said[:2] == [b"MISS", b"STALE"]:
            self.put(asked.moment)
            said = self.function(context, lease, secret=secret)
        code, _identity, minute, hour, budget, now, retry, held, shared = read_verdict(said)
        policy = self.policy_at(asked.moment)
        meant = self.model(policy, secret, context, asked)
        assert [code.decode(), minute, hour, budget, now, retry, *(shared or ())] == meant
        ends = self.counters.leases.get(lease, 0) if meant[0] == "VALID" else 0
        assert held == (ends and ends - asked.seconds * 1000)
        if meant[0] == "VALID":
            self.note_most(policy, asked)
            month, _next = month_ends(asked.moment, policy.time_zone)
            common = policy.shared is not None
            self.held.append(Held(lease, asked.seconds, month, context.cost_micros, ends, common))
        return str(meant[0])

    def note_most(self, policy: Policy, asked: Call) -> None:
        """Note what is in use of both limits now that this call was let through."""
        windows, (increment, _tolerance) = self.counters.windows, burst_of(policy)
        used = {
            "burst": -((asked.micros - windows.arrival) // increment) if increment else 0,
            "concurrency": len(self.counters.leases) if policy.concurrency and asked.lease_seconds else 0,
        }
        day = office_day(datetime.fromtimestamp(windows.minute * 60, UTC))
        add_most(self.most, {(self.family, day, limit): n for limit, n in used.items() if n})

    def function(
        self, context: Context, lease: bytes, mode: bytes = b"n", *, secret: SecretState | None = None
    ) -> Any:
        """What the store answers."""
        key_id = f"{self.family}0000".encode()
        digest = (secret or self.secrets[0]).digest
        command = warm.command(context, key_id, digest, run=RUN, lease=lease.rjust(10, b"-"), mode=mode)
        ours, theirs = (hotwire.encode(f"kagiban_verify_{name}")[4:] for name in (hotwire.VERSION, "clock"))
        assert command.count(ours) == 1
        return hotwire.ask(command.replace(ours, theirs))

    def model(self, policy: Policy, secret: SecretState, context: Context, asked: Call) -> list[Any]:
        """What the checks in Python say."""
        code = checks.refusal(policy, secret, context, asked.moment)
        if code is not None:
            left = checks.left_of(policy, checks.turned(policy, self.counters.windows, asked))
            return [code.value, *left, asked.seconds, 0]
        taken = checks.take(policy, self.counters, self.shared, asked)
        verdict = (taken.code or Code.VALID).value
        return [verdict, *taken.left, asked.seconds, taken.retry, *(taken.shared or ())]

    # --- reports of calls that have ended -----------------------------------------------------------

    def report(self, rows: Iterable[tuple[Held, bytes, int | None]], millis: int) -> list[str]:
        """Report to both now: of each check, under this id, what it really cost; what became of each."""
        rows = list(rows)
        places, arguments = [hotrecord.use_key(self.tag)], list[hotwire.Argument]()
        for held, name, cost in rows:
            places += [
                hotrecord.reported_key(self.family, name),
                hotrecord.settled_key(self.family, held.lease),
                self.record,
                self.in_common if held.in_common else self.record,
            ]
            line = f"{held.at // 60}|{self.family}|"
            told = "" if cost is None else cost
            arguments += [line, 200, 12, "25", held.held, held.month, held.reserved, held.reserved, told]
        said = [words.decode() for words in call("report", places, MARKS_STAND_S, *arguments)]
        assert said == [self._reported(*row, millis) for row in rows]
        return said

    def _reported(self, held: Held, name: bytes, cost: int | None, millis: int) -> str:
        if name in self.reported:
            return "REPEATED"
        self.reported.add(name)
        was_held = self.counters.leases.pop(held.lease, 0) > millis
        answer = "TAKEN RELEASED" if was_held else "TAKEN NOT_HELD"
        if cost is None:
            return answer
        if held.lease in self.settled:
            return f"{answer} SETTLED_BEFORE"
        self.settled.add(held.lease)
        for counters in (self.counters, self.shared) if held.in_common else (self.counters,):
            counters.windows = _settled(counters.windows, held.month, cost - held.reserved)
        return f"{answer} SETTLED"


def _settled(windows: Windows, month: int, difference: int) -> Windows:
    """In the month of the check, while that month runs."""
    if windows.month > month:
        return windows
    spent = windows.spent if windows.month == month else 0
    return replace(windows, month=month, spent=max(0, spent + difference))


def add_most(most: AtOnce, more: AtOnce) -> None:
    """Keep the larger of each."""
    for where, n in more.items():
        most[where] = max(n, most.get(where, 0))


def drain(tag: bytes, *, worker_dies: bool = False) -> AtOnce:
    """Take a batch, as the drain does, and drop it unless the worker died before; what it says of peaks."""
    keys = [hotrecord.use_key(tag), hotrecord.batch_key(tag)]
    flat = call("take", keys, b"batch")
    most: AtOnce = {}
    for line, n in zip(flat[::2], flat[1::2], strict=True):
        match line.decode().split("|"):
            case [minute, key_id, "most", "of", limit]:
                day = office_day(datetime.fromtimestamp(int(minute) * 60, UTC))
                add_most(most, {(key_id[:8], day, limit): int(n)})
    if not worker_dies:
        call("done", keys[1:], b"batch")
    return most


def by_limit(most: AtOnce) -> dict[tuple[str, str], int]:
    """The same, of all days together."""
    together: dict[tuple[str, str], int] = {}
    for (family, _day, limit), n in most.items():
        together[family, limit] = max(n, together.get((family, limit), 0))
    return together
