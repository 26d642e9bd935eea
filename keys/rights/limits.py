"""The limits that a key has at a moment: those that were agreed, less what its retirement takes (K9)."""

from dataclasses import dataclass
from datetime import datetime

from keys.models import Key
from keys.rights import retirement


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a minute, an hour and at once; 0 is no such limit. `share`: percent of what was agreed."""

    rpm: int
    rph: int
    burst: int
    share: int


def limits_of(key: Key, now: datetime) -> Limits:
    """What is in force for the key at this moment. Budget and concurrency do not fall."""
    share = retirement.WHOLE if key.retires_at is None else retirement.share_at(key.retires_at, now)
    rpm, rph, burst = (retirement.limited(limit, share) for limit in (key.rpm, key.rph, key.burst))
    return Limits(rpm=rpm, rph=rph, burst=burst, share=share)
