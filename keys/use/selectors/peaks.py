"""What a key really uses of its limits, beside which a change of them is judged (R3)."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from keys.models import Key
from keys.terms.terms import office_day
from keys.use.selectors.limits import use_now
from keys.use.selectors.use import AtOnce, most_at_once


@dataclass(frozen=True, slots=True)
class Peaks:
    """The busiest minute and hour of the last `days` days, today included, and all calls let through."""

    days: int
    in_minute: int
    in_hour: int
    n_allowed: int
    n_limited: int
    """Calls refused because a limit was reached."""
    at_once: dict[str, AtOnce]
    """The most of `burst` and of `concurrency` used at once."""
    n_refused: dict[str, int]
    """Calls refused because of one of these two."""
    spent_usd: Decimal | None
    """Of this month's budget; None while the hot store can't be asked."""

    @property
    def is_unused(self) -> bool:
        """Whether there was no call at all."""
        return self.n_allowed == 0 and self.in_hour == 0


def peaks_of(key: Key, *, now: datetime, days: int | None = None) -> Peaks:
    """The key's peaks, those of the minute and hour that run now among them. The workspace must be loaded."""
    days = days or settings.CHANGE_PEAK_DAYS
    since = office_day(now) - timedelta(days=days - 1)
    rows = list(key.use_days.filter(day__gte=since))
    running = use_now([key], now=now).get(key.pk)
    refused = Counter[str]()
    for row in rows:
        refused.update({code: n for code, n in row.by_code.items() if code in LIMITS})
    return Peaks(
        days=days,
        in_minute=max([running.in_minute if running else 0, *(row.peak_minute for row in rows)]),
        in_hour=max([running.in_hour if running else 0, *(row.peak_hour for row in rows)]),
        n_allowed=sum(row.n_allowed for row in rows),
        n_limited=refused.total(),
        at_once={
            "burst": most_at_once((row.peak_burst, row.day) for row in rows),
            "concurrency": most_at_once((row.peak_concurrency, row.day) for row in rows),
        },
        n_refused={
            "burst": refused["BURST_EXCEEDED"],
            "concurrency": refused["CONCURRENCY_EXCEEDED"],
        },
        spent_usd=running.spent_usd if running else None,
    )


LIMITS = (
    "RATE_LIMITED_MINUTE",
    "RATE_LIMITED_HOUR",
    "BURST_EXCEEDED",
    "CONCURRENCY_EXCEEDED",
    "BUDGET_EXCEEDED",
)
