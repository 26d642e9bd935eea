"""Use of a key after its end: what the verifier refused because the key is dead (K9)."""

from dataclasses import dataclass
from datetime import date, datetime

from keys.models import Key
from keys.terms.terms import office_day

# What a dead key's checks are answered with.
DEAD_CODES = ("EXPIRED", "REVOKED")
DAYS_SHOWN = 14


@dataclass(frozen=True, slots=True)
class DeadUse:
    """Refused checks since the key's end, as `(day, count)`, newest first, days without any left out.

    The day of the end counts whole: use is kept by day.
    """

    days: list[tuple[date, int]]
    total: int
    today: int

    @property
    def shown(self) -> list[tuple[date, int]]:
        """The days that a page has room for."""
        return self.days[:DAYS_SHOWN]


def dead_use_of(key: Key, *, now: datetime) -> DeadUse:
    """Use after the end of one key, in one query; none at all for a key that runs."""
    if key.ended_at is None:
        return DeadUse([], 0, 0)
    rows = key.use_days.filter(day__gte=office_day(key.ended_at)).order_by("-day")
    counted = [
        (day, sum(codes.get(code, 0) for code in DEAD_CODES))
        for day, codes in rows.values_list("day", "by_code")
    ]
    days = [(day, n) for day, n in counted if n]
    today = office_day(now)
    return DeadUse(days, sum(n for _day, n in days), sum(n for day, n in days if day == today))
