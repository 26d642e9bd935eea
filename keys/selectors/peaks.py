"""What a key really uses of its limits, beside which a change of them is judged (R3)."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, Sum

from keys.models import Key
from keys.selectors.limits import use_now
from keys.terms import office_day


@dataclass(frozen=True, slots=True)
class Peaks:
    """The busiest minute and hour of the last `days` days, today included, and all calls let through."""

    days: int
    in_minute: int
    in_hour: int
    n_allowed: int
    n_limited: int
    """Calls refused because a limit was reached."""
    n_burst: int = 0
    n_concurrency: int = 0
    """Those of them that the burst and the concurrent calls were in the way of: their use is not measured."""

    @property
    def is_unused(self) -> bool:
        """Whether there was no call at all."""
        return self.n_allowed == 0 and self.in_hour == 0


def peaks_of(key: Key, *, now: datetime, days: int | None = None) -> Peaks:
    """The key's peaks, those of the minute and hour that run now among them. The workspace must be loaded."""
    days = days or settings.CHANGE_PEAK_DAYS
    since = office_day(now) - timedelta(days=days - 1)
    rows = key.use_days.filter(day__gte=since)
    seen = rows.aggregate(minute=Max("peak_minute"), hour=Max("peak_hour"), allowed=Sum("n_allowed"))
    running = use_now([key], now=now).get(key.pk)
    refused = Counter[str]()
    for codes in rows.values_list("by_code", flat=True):
        refused.update({code: n for code, n in codes.items() if code in LIMITS})
    return Peaks(
        days=days,
        in_minute=max(seen["minute"] or 0, running.in_minute if running else 0),
        in_hour=max(seen["hour"] or 0, running.in_hour if running else 0),
        n_allowed=seen["allowed"] or 0,
        n_limited=refused.total(),
        n_burst=refused["BURST_EXCEEDED"],
        n_concurrency=refused["CONCURRENCY_EXCEEDED"],
    )


LIMITS = (
    "RATE_LIMITED_MINUTE",
    "RATE_LIMITED_HOUR",
    "BURST_EXCEEDED",
    "CONCURRENCY_EXCEEDED",
    "BUDGET_EXCEEDED",
)
