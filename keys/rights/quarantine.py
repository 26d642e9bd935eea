"""Quarantine: what a key may still do while something about it is looked into (K6); pure functions.

It may read, with a tenth of its limits, from the addresses that it was used from before. So what runs goes on
running, and whoever has stolen the key gets nothing. It ends by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from keys.models import Key
from keys.rights.limits import Limits, limits_of

SHARE: Final = 10
MAX_HOURS: Final = 168
# An address that was not seen before then may be the thief's.
KNOWN_FOR: Final = timedelta(days=1)
# Of a key that has no limit of requests a minute a tenth is this.
RPM_OF_NO_LIMIT: Final = 10
# Nobody calls from the unspecified address: for a key of which no address is known.
_NOWHERE: Final = "::/128"


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What is left of a key's rights."""

    scopes: tuple[str, ...]
    ip_ranges: tuple[str, ...]
    limits: Limits


def is_in_force(key: Key, now: datetime) -> bool:
    """Whether the key is in quarantine at this moment."""
    return key.quarantined_until is not None and now < key.quarantined_until


def limits_in_force(key: Key, now: datetime) -> Limits:
    """What the verifier holds the key to at this moment: less while it retires, a tenth in quarantine."""
    limits = limits_of(key, now)
    return narrowed(key, limits).limits if is_in_force(key, now) else limits


def narrowed(key: Key, limits: Limits) -> Narrowed:
    """What a key in quarantine may do, of what it may do otherwise. Scopes taken away since stay away."""
    return Narrowed(
        scopes=tuple(scope for scope in key.scopes if scope in key.quarantine_scopes),
        ip_ranges=tuple(key.quarantine_addresses) or (_NOWHERE,),
        limits=Limits(
            rpm=_tenth(limits.rpm) or RPM_OF_NO_LIMIT,
            rph=_tenth(limits.rph),
            burst=_tenth(limits.burst),
            share=limits.share,
        ),
    )


def _tenth(limit: int) -> int:
    return max(1, limit * SHARE // 100) if limit else 0
