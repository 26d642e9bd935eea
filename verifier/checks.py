"""The checks of V2 in plain Python: what `lua/hotstore.lua` decides, for when the hot store is away.

Also the model that the function is tested against: both say the same, or a test fails.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from keys.hotrecord import MICROS, Policy, SecretState, burst_of, hour_shift, month_ends, ranges
from verifier.codes import Code
from verifier.question import Context

_BY_STATUS: Final = {
    "pending": Code.PENDING,
    "suspended": Code.SUSPENDED,
    "revoked": Code.REVOKED,
    "expired": Code.EXPIRED,
}
_BY_SECRET: Final = {"revoked": Code.REVOKED, "retired": Code.EXPIRED}
_ADDRESS: Final = 32


@dataclass(slots=True)
class Counters:
    """What one key has used of its windows. Times of windows as in the function; arrival in µs."""

    minute: int = 0
    in_minute: int = 0
    hour: int = 0
    in_hour: int = 0
    arrival: int = 0
    month: int = 0
    spent: int = 0
    leases: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the limits said: a refusal with the seconds to wait, or None; what is left (-1: no limit)."""

    code: Code | None
    retry: int
    minute: int
    hour: int
    budget: int


def refusal(policy: Policy, secret: SecretState, context: Context, now: datetime) -> Code | None:
    """The first check before the limits that fails, in V2's order; None where all pass."""
    return (
        _BY_SECRET.get(secret.status)
        or _BY_STATUS.get(policy.status_at(now))
        or _by_date(policy, secret, now)
        or _by_place(policy, context)
        or _by_right(policy, context)
    )


def _by_date(policy: Policy, secret: SecretState, now: datetime) -> Code | None:
    if policy.starts_at is not None and now < policy.starts_at:
        return Code.NOT_YET_VALID
    ends = [policy.expires_at, secret.ends_at if secret.status == "overlap" else None]
    return Code.EXPIRED if any(end is not None and now >= end for end in ends) else None


def _by_place(policy: Policy, context: Context) -> Code | None:
    if context.environment and context.environment != policy.environment:
        return Code.WRONG_ENVIRONMENT
    if context.workspace and context.workspace not in policy.workspace:
        return Code.WRONG_WORKSPACE
    packed = ranges(policy.ip_ranges)
    if packed and not any(
        packed[i : i + _ADDRESS] <= context.ip <= packed[i + _ADDRESS : i + 2 * _ADDRESS]
        for i in range(0, len(packed), 2 * _ADDRESS)
    ):
        return Code.IP_NOT_ALLOWED
    return None


def _by_right(policy: Policy, context: Context) -> Code | None:
    if not _lists(policy.scopes, context.scopes):
        return Code.INSUFFICIENT_SCOPE
    if "*" not in policy.models and not _lists(policy.models, context.model):
        return Code.MODEL_NOT_ALLOWED
    if "*" not in policy.features and not _lists(policy.features, context.features):
        return Code.FEATURE_NOT_ALLOWED
    return None


def _lists(listed: Collection[str], asked: str) -> bool:
    return all(word in listed for word in asked.split())


def take(
    policy: Policy, counters: Counters, *, cost: int, lease: bytes, lease_seconds: int, micros: int
) -> Taken:
    """Count one check against every limit, or none: minute, hour, burst, concurrency, then budget.

    `micros` is the time in µs since 1970, `cost` millionths of a USD. Changes `counters`.
    """
    seconds = micros // MICROS
    shift = _turn_windows(policy, counters, seconds)
    increment, tolerance = burst_of(policy)
    arrival = max(counters.arrival, micros)
    budget = policy.budget_micros
    counters.leases = {name: end for name, end in counters.leases.items() if end > micros // 1000}
    code, retry = None, 0
    if policy.rpm and counters.in_minute >= policy.rpm:
        code, retry = Code.RATE_LIMITED_MINUTE, (counters.minute + 1) * 60 - seconds
    elif policy.rph and counters.in_hour >= policy.rph:
        code, retry = Code.RATE_LIMITED_HOUR, (counters.hour + 1) * 3600 - shift - seconds
    elif tolerance and arrival + increment - micros > tolerance:
        code, retry = Code.BURST_EXCEEDED, -((micros + tolerance - arrival - increment) // MICROS)
    elif policy.concurrency and len(counters.leases) >= policy.concurrency:
        wait = min(counters.leases.values()) - micros // 1000
        code, retry = Code.CONCURRENCY_EXCEEDED, max(1, -(-wait // 1000))
    elif budget is not None and (counters.spent + cost > budget or counters.spent >= budget):
        code, retry = Code.BUDGET_EXCEEDED, counters.month - seconds
    else:
        counters.in_minute += 1
        counters.in_hour += 1
        counters.spent += cost
        counters.arrival = arrival + increment if tolerance else arrival
        if policy.concurrency:
            counters.leases[lease] = micros // 1000 + lease_seconds * 1000
    return Taken(
        code,
        retry,
        max(0, policy.rpm - counters.in_minute) if policy.rpm else -1,
        max(0, policy.rph - counters.in_hour) if policy.rph else -1,
        max(0, budget - counters.spent) if budget is not None else -1,
    )


def _turn_windows(policy: Policy, counters: Counters, seconds: int) -> int:
    """Begin the windows anew whose time has come; a clock that was set back opens none again."""
    moment = datetime.fromtimestamp(seconds, UTC)
    shift = hour_shift(moment, policy.time_zone)
    minute, hour = seconds // 60, (seconds + shift) // 3600
    month, _ = month_ends(moment, policy.time_zone)
    if counters.minute < minute:
        counters.minute, counters.in_minute = minute, 0
    if counters.hour < hour:
        counters.hour, counters.in_hour = hour, 0
    if counters.month < month:
        counters.month, counters.spent = month, 0
    return shift
