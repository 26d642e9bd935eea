"""What a check needs of a time zone, worked out once for each quarter of an hour.

Time zones differ by quarters, so hours and months begin at one, and clocks are put there.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from keys.hotstore.record import hour_shift, month_ends

_QUARTER: Final = 900


def month_end(now: int, time_zone: str) -> int:
    """The end of the budget month that runs at `now`; both in seconds since 1970."""
    return _month_end(now // _QUARTER, time_zone)


def shift(now: int, time_zone: str) -> int:
    """By how many seconds full hours there differ from UTC's at `now`, in seconds since 1970."""
    return _shift(now // _QUARTER, time_zone)


@lru_cache(maxsize=1_000)
def _month_end(quarter: int, time_zone: str) -> int:
    return month_ends(datetime.fromtimestamp(quarter * _QUARTER, UTC), time_zone)[0]


@lru_cache(maxsize=1_000)
def _shift(quarter: int, time_zone: str) -> int:
    return hour_shift(datetime.fromtimestamp(quarter * _QUARTER, UTC), time_zone)
