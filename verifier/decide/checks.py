"""The checks of V2 in plain Python: what `functions.lua` decides, for when the hot store is away.

Also the model that the function is tested against: both say the same, or a test fails.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from keys.hotstore.call import lease_end
from keys.hotstore.record import MICROS, Policy, SecretState, Shared, burst_of, hour_shift, month_ends, ranges
from verifier.contract.codes import Code
from verifier.contract.question import Context

_BY_STATUS: Final = {
    "pending": Code.PENDING,
    "suspended": Code.SUSPENDED,
    "revoked": Code.REVOKED,
    "expired": Code.EXPIRED,
}
_BY_SECRET: Final = {"revoked": Code.REVOKED, "retired": Code.EXPIRED}
_OWN_RATES: Final = (Code.RATE_LIMITED_MINUTE, Code.RATE_LIMITED_HOUR)
_SHARED_RATES: Final = (Code.WORKSPACE_RATE_LIMITED_MINUTE, Code.WORKSPACE_RATE_LIMITED_HOUR)
_ADDRESS: Final = 32
_NARROWED: Final = frozenset({Code.IP_NOT_ALLOWED, Code.INSUFFICIENT_SCOPE})


@dataclass(frozen=True, slots=True)
class Windows:
    """What a key, or a workspace, has used of the windows it is in. Times as in the function."""

    minute: int = 0
    in_minute: int = 0
    hour: int = 0
    in_hour: int = 0
    arrival: int = 0
    month: int = 0
    spent: int = 0


@dataclass(slots=True)
class Counters:
    """What one key, or the keys of a workspace together, have used; a lease's end in ms since 1970.

    Leases that have ended may stand among them.
    """

    windows: Windows = Windows()
    leases: dict[bytes, int] = field(default_factory=dict)


Left = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Call:
    """What one check would take. `micros` is the time in µs since 1970, `cost` millionths of a USD."""

    micros: int
    cost: int
    lease: bytes
    lease_seconds: int

    @property
    def seconds(self) -> int:
        """The time in whole seconds since 1970."""
        return self.micros // MICROS

    @property
    def millis(self) -> int:
        """The time in whole ms since 1970."""
        return self.micros // 1000

    @property
    def moment(self) -> datetime:
        """The time to the second."""
        return datetime.fromtimestamp(self.seconds, UTC)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the limits said: a refusal with the seconds to wait, or None.

    What is left in minute, hour and budget (-1: no limit), of the key's own and of the workspace's limits.
    """

    code: Code | None
    retry: int
    left: Left
    shared: Left | None


def refusal(policy: Policy, secret: SecretState, context: Context, now: datetime) -> Code | None:
    """The first check before the limits that fails, in V2's order; None where all pass."""
    code = (
        _BY_SECRET.get(secret.status)
        or _BY_STATUS.get(policy.status_at(now))
        or _by_date(policy, secret, now)
        or _by_place(policy, context)
        or _by_country(policy, context)
        or _by_right(policy, context)
    )
    return Code.QUARANTINED if policy.quarantined and code in _NARROWED else code


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


def _by_country(policy: Policy, context: Context) -> Code | None:
    if policy.countries and context.country.decode() not in policy.countries:
        return Code.COUNTRY_NOT_ALLOWED
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


def take(policy: Policy, counters: Counters, shared: Counters, call: Call) -> Taken:
    """Count one check against every limit, or against none.

    `shared` counts what the keys of the workspace use together. Changes both counters.
    """
    common, shift = policy.shared, hour_shift(call.moment, policy.time_zone)
    own, all_keys = (turned(policy, each.windows, call) for each in (counters, shared))
    refusal = (
        _by_rate(policy, own, call, shift, _OWN_RATES)
        or _by_burst(policy, own, call)
        or _by_leases(policy, counters.leases, call)
        or (common and _by_rate(common, all_keys, call, shift, _SHARED_RATES))
        or _by_budget(policy.budget_micros, own, call, Code.BUDGET_EXCEEDED)
        or (common and _by_budget(common.budget_micros, all_keys, call, Code.WORKSPACE_BUDGET_EXCEEDED))
    )
    if not refusal:
        arrival = max(own.arrival, call.micros) + burst_of(policy)[0]
        own = counters.windows = replace(_one_more(own, call), arrival=arrival)
        counters.leases = _held_at(counters.leases, call.millis) if policy.concurrency else {}
        if policy.concurrency and call.lease_seconds:
            counters.leases[call.lease] = lease_end(call.lease_seconds * 1000, call.millis)
        if common:
            all_keys = shared.windows = _one_more(all_keys, call)
    code, retry = refusal or (None, 0)
    return Taken(code, retry, left_of(policy, own), left_of(common, all_keys) if common else None)


Refusal = tuple[Code, int] | None


def _by_rate(
    limits: Policy | Shared, windows: Windows, call: Call, shift: int, codes: tuple[Code, Code]
) -> Refusal:
    by_minute, by_hour = codes
    if limits.rpm and windows.in_minute >= limits.rpm:
        return by_minute, (windows.minute + 1) * 60 - call.seconds
    if limits.rph and windows.in_hour >= limits.rph:
        return by_hour, (windows.hour + 1) * 3600 - shift - call.seconds
    return None


def _by_burst(policy: Policy, own: Windows, call: Call) -> Refusal:
    increment, tolerance = burst_of(policy)
    late = max(own.arrival, call.micros) + increment - call.micros - tolerance
    return (Code.BURST_EXCEEDED, -(-late // MICROS)) if tolerance and late > 0 else None


def _by_leases(policy: Policy, leases: dict[bytes, int], call: Call) -> Refusal:
    if not policy.concurrency or not call.lease_seconds:
        return None
    held = _held_at(leases, call.millis)
    if len(held) < policy.concurrency:
        return None
    return Code.CONCURRENCY_EXCEEDED, max(1, -((call.millis - min(held.values())) // 1000))


def _held_at(leases: dict[bytes, int], millis: int) -> dict[bytes, int]:
    return {name: end for name, end in leases.items() if end > millis}


def _by_budget(budget: int | None, windows: Windows, call: Call, code: Code) -> Refusal:
    if budget is None or (windows.spent + call.cost <= budget and windows.spent < budget):
        return None
    # What no whole month's budget covers is not worth another try.
    return code, windows.month - call.seconds if 0 < budget >= call.cost else 0


def _one_more(windows: Windows, call: Call) -> Windows:
    return replace(
        windows,
        in_minute=windows.in_minute + 1,
        in_hour=windows.in_hour + 1,
        spent=windows.spent + call.cost,
    )


def left_of(limits: Policy | Shared, windows: Windows) -> Left:
    """What is left in minute, hour and budget (-1: no limit)."""
    budget = limits.budget_micros
    return (
        max(0, limits.rpm - windows.in_minute) if limits.rpm else -1,
        max(0, limits.rph - windows.in_hour) if limits.rph else -1,
        max(0, budget - windows.spent) if budget is not None else -1,
    )


def turned(policy: Policy, windows: Windows, call: Call) -> Windows:
    """The windows with those begun anew whose time has come; a clock that was set back opens none again."""
    minute = call.seconds // 60
    hour = (call.seconds + hour_shift(call.moment, policy.time_zone)) // 3600
    month, _ = month_ends(call.moment, policy.time_zone)
    if windows.minute < minute:
        windows = replace(windows, minute=minute, in_minute=0)
    if windows.hour < hour:
        windows = replace(windows, hour=hour, in_hour=0)
    if windows.month < month:
        windows = replace(windows, month=month, spent=0)
    return windows
