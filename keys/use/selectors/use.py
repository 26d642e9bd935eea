"""Use of keys by day: the sparkline's data, and what would be cut off now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from keys.models import Key, KeyUseDay
from keys.terms.terms import office_day

SPARK_DAYS = 30


@dataclass(frozen=True, slots=True)
class AtOnce:
    """The most of a limit that was used at once, and the last day on which it was; None: not measured."""

    n: int = 0
    day: date | None = None


def most_at_once(days: Iterable[tuple[int, date]]) -> AtOnce:
    """The most of several days' peaks, of which 0 was not measured."""
    n, day = max(days, default=(0, None))
    return AtOnce(n, day) if n else AtOnce()


@dataclass(frozen=True, slots=True)
class UseDay:
    """One day (Asia/Tokyo) of one key's use. Peaks of 0 were not measured."""

    day: date
    n_allowed: int
    n_refused: int
    peak_burst: int = 0
    peak_concurrency: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """The last 30 days of one key, oldest first, today last; days without a call are there with zeros."""

    days: Sequence[UseDay]

    @property
    def allowed(self) -> list[int]:
        """Calls that were let through, by day."""
        return [day.n_allowed for day in self.days]

    @property
    def n_allowed(self) -> int:
        """All calls that were let through."""
        return sum(day.n_allowed for day in self.days)

    @property
    def n_refused(self) -> int:
        """All calls that were refused."""
        return sum(day.n_refused for day in self.days)

    @property
    def n_today(self) -> int:
        """Calls let through today: what a stop would cut off."""
        return self.days[-1].n_allowed

    @property
    def n_yesterday(self) -> int:
        """Calls let through yesterday."""
        return self.days[-2].n_allowed

    @property
    def peak(self) -> UseDay:
        """The busiest day."""
        return max(self.days, key=lambda day: day.n_allowed)

    @property
    def burst(self) -> AtOnce:
        """The most of the burst that was used at once."""
        return most_at_once((day.peak_burst, day.day) for day in self.days)

    @property
    def concurrency(self) -> AtOnce:
        """The most calls that ran at the same time."""
        return most_at_once((day.peak_concurrency, day.day) for day in self.days)

    @property
    def newest_first(self) -> list[UseDay]:
        """For a table."""
        return list(reversed(self.days))


def use_of(keys: Iterable[Key], *, now: datetime) -> dict[int, Use]:
    """Use of each key (by its database id) in one query."""
    today = office_day(now)
    days = [today - timedelta(days=back) for back in range(SPARK_DAYS - 1, -1, -1)]
    ids = [key.pk for key in keys]
    found = {(row.key_id, row.day): row for row in KeyUseDay.objects.filter(key__in=ids, day__gte=days[0])}
    return {pk: Use([_use_day(day, found.get((pk, day))) for day in days]) for pk in ids}


def _use_day(day: date, row: KeyUseDay | None) -> UseDay:
    if row is None:
        return UseDay(day, 0, 0)
    return UseDay(day, row.n_allowed, row.n_refused, row.peak_burst, row.peak_concurrency)
