"""Business hours: what a deadline counts while the office is open (A5). Pure: no clock is read here.

A business day counts as 24 hours, as people mean it who write "answer within 24 hours": what is asked on
Friday at 15:00 is due on Monday at 15:00. So the hours that the office is open (09:00 to 18:00) stand for a
whole day; nights, weekends and holidays stand for nothing; what comes in then counts from the next opening.
With `day_counts` set to the length of the office day, hours are hours on the office's clock instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays
from django.conf import settings

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Office:
    """When the office is open: a half-open day, so that closing time belongs to the next business day.

    `weekdays` as in `date.weekday()`. `closed` are days beside the country's holidays: `12-29` each year, or
    `2027-06-01` once. ValueError for hours that make no day, or no weekday at all.
    """

    opens: time = time(9)
    closes: time = time(18)
    weekdays: frozenset[int] = frozenset(range(5))
    closed: frozenset[str] = frozenset({"12-29", "12-30", "12-31", "01-01", "01-02", "01-03"})
    country: str = "JP"
    zone: str = "Asia/Tokyo"
    day_counts: timedelta = DAY

    def __post_init__(self) -> None:
        """An office that never opens would make every deadline endless."""
        if self.opens >= self.closes:
            raise ValueError("The office must open before it closes.")
        if not self.weekdays or not self.weekdays <= set(range(7)) or self.day_counts <= NOTHING:
            raise ValueError("The office must be open on some weekday, and a day must count for something.")

    @property
    def length(self) -> timedelta:
        """How long the office is open on a business day."""
        return datetime.combine(date.min, self.closes) - datetime.combine(date.min, self.opens)

    def is_business_day(self, day: date) -> bool:
        """Whether the office opens on this day."""
        if day.weekday() not in self.weekdays or day in holidays_of(self.country, day.year):
            return False
        return f"{day:%m-%d}" not in self.closed and day.isoformat() not in self.closed

    def is_open(self, moment: datetime) -> bool:
        """Whether somebody can be expected to read their mail now."""
        local = moment.astimezone(ZoneInfo(self.zone))
        return self.is_business_day(local.date()) and self.opens <= local.time() < self.closes

    def add(self, start: datetime, hours: float) -> datetime:
        """When `hours` business hours after `start` have passed: always a moment within office hours."""
        left = timedelta(hours=hours) * (self.length / self.day_counts)
        for opening, end in self._days_from(start):
            begin = max(opening, start.astimezone(UTC))
            if begin + left < end:
                return (begin + left).astimezone(start.tzinfo)
            left -= end - begin
        raise AssertionError("unreachable: days go on")

    def between(self, start: datetime, end: datetime) -> float:
        """How many business hours lie between the two: the inverse of `add`. 0 when `end` is not later."""
        total = NOTHING
        first, last = start.astimezone(UTC), end.astimezone(UTC)
        for begin, close in self._days_from(start):
            if begin >= last:
                break
            total += max(min(close, last) - max(begin, first), NOTHING)
        return total * (self.day_counts / self.length) / HOUR

    def _days_from(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Opening and closing of each business day that is not over at `start`, in UTC."""
        zone = ZoneInfo(self.zone)
        day = start.astimezone(zone).date()
        while True:
            if self.is_business_day(day):
                begin, end = (
                    datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)
                    for clock in (self.opens, self.closes)
                )
                if end > start:
                    yield begin, end
            day += DAY


@cache
def holidays_of(country: str, year: int) -> frozenset[date]:
    """The country's public holidays of a year, substitutes and "citizens' holidays" between two included."""
    return frozenset(holidays.country_holidays(country, years=year))


def office() -> Office:
    """The office as the settings have it."""
    return Office(
        opens=time.fromisoformat(settings.BUSINESS_OPENS),
        closes=time.fromisoformat(settings.BUSINESS_CLOSES),
        weekdays=frozenset(WEEKDAYS.index(day) for day in settings.BUSINESS_WEEKDAYS),
        closed=frozenset(settings.BUSINESS_CLOSED_DAYS),
        country=settings.BUSINESS_HOLIDAYS,
        zone=settings.TIME_ZONE,
        day_counts=timedelta(hours=settings.BUSINESS_DAY_HOURS),
    )


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def add_business_hours(start: datetime, hours: float) -> datetime:
    """`start` and so many business hours, by the office of the settings."""
    return office().add(start, hours)


def business_hours_between(start: datetime, end: datetime) -> float:
    """The business hours from `start` to `end`, by the office of the settings."""
    return office().between(start, end)
