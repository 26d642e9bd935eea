"""The schedule of a planned retirement: pure functions over moments (K9).

The end is a moment, not a day, so that it can lie in office hours. A day of the schedule is 24 hours: by
Japanese clocks always the same time of day; by clocks that are put forward or back it may be an hour off.
Moments are counted in UTC: Python's arithmetic within one zone goes by the clock on its wall.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from keys.models.retirements import NOTICE

# How long before the end limits fall, and to how many percent of what was agreed.
FALLS: Final = ((timedelta(days=7), 50), (timedelta(days=4), 25), (timedelta(days=2), 10))
WHOLE: Final = 100


class Event(StrEnum):
    """What happens at a point of the schedule."""

    NOTICE = "notice"
    FALL = "fall"
    END = "end"


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the schedule; `share` of the limits is in force from then on, 0 from the end."""

    at: datetime
    event: Event
    share: int


def notice_from(ends_at: datetime, planned_at: datetime) -> datetime:
    """When notice is given: 30 days ahead, or at once where fewer are left."""
    return max(planned_at.astimezone(UTC), ends_at.astimezone(UTC) - NOTICE)


def schedule_of(notice_at: datetime, ends_at: datetime) -> list[Point]:
    """All points in their order. What is due before the notice happens with it, under the last such share."""
    ends_at = ends_at.astimezone(UTC)
    points = [Point(notice_at, Event.NOTICE, share_at(ends_at, notice_at))]
    points += [
        Point(ends_at - ahead, Event.FALL, share) for ahead, share in FALLS if ends_at - ahead > notice_at
    ]
    return [*points, Point(ends_at, Event.END, 0)]


def share_at(ends_at: datetime, now: datetime) -> int:
    """How many percent of its limits a key has at this moment: 100, 50, 25 or 10."""
    left = ends_at.astimezone(UTC) - now.astimezone(UTC)
    return min((share for ahead, share in FALLS if left <= ahead), default=WHOLE)


def limited(limit: int, share: int) -> int:
    """That much of a limit, rounded down, but never none at all; 0 is no limit of this kind and stays."""
    return max(1, limit * share // WHOLE) if limit else 0


def next_change(notice_at: datetime, ends_at: datetime, now: datetime) -> datetime | None:
    """The next moment at which anything of the schedule changes; None once the end has come."""
    return next((point.at for point in schedule_of(notice_at, ends_at) if point.at > now), None)
