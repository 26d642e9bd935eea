"""The schedule of a planned retirement: when notice is given, limits fall, the key ends (K9)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.models.retirements import NOTICE, is_short
from keys.rights.retirement import WHOLE, Event, limited, next_change, notice_from, schedule_of, share_at

TOKYO, NEW_YORK = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
END = datetime(2026, 11, 5, 10, tzinfo=TOKYO)
PLANNED = datetime(2026, 9, 1, 15, tzinfo=TOKYO)


def test_the_whole_schedule_by_japanese_clocks() -> None:
    points = schedule_of(notice_from(END, PLANNED), END)
    assert [(f"{point.at.astimezone(TOKYO):%m-%d %H:%M}", point.event, point.share) for point in points] == [
        ("10-06 10:00", Event.NOTICE, 100),
        ("10-29 10:00", Event.FALL, 50),
        ("11-01 10:00", Event.FALL, 25),
        ("11-03 10:00", Event.FALL, 10),
        ("11-05 10:00", Event.END, 0),
    ]


def test_a_day_is_24_hours_where_clocks_are_put_back() -> None:
    # New York leaves summer time on 1 November 2026.
    end = datetime(2026, 11, 5, 10, tzinfo=NEW_YORK)
    points = schedule_of(notice_from(end, PLANNED), end)
    assert [f"{point.at.astimezone(NEW_YORK):%m-%d %H:%M}" for point in points] == [
        "10-06 11:00", "10-29 11:00", "11-01 10:00", "11-03 10:00", "11-05 10:00",
    ]  # fmt: skip
    assert points[1].at == end.astimezone(UTC) - timedelta(hours=7 * 24)


def test_short_notice_begins_at_once_and_leaves_out_what_has_passed() -> None:
    planned = END - timedelta(days=3)
    points = schedule_of(notice_from(END, planned), END)
    assert [(point.event, point.share) for point in points] == [
        (Event.NOTICE, 25),
        (Event.FALL, 10),
        (Event.END, 0),
    ]
    assert is_short(END, planned)
    assert not is_short(END, END - NOTICE)


@pytest.mark.parametrize(
    ("left", "share"),
    [
        (timedelta(days=8), 100),
        (timedelta(days=7, microseconds=1), 100),
        (timedelta(days=7), 50),
        (timedelta(days=4), 25),
        (timedelta(days=2), 10),
        (timedelta(microseconds=1), 10),
    ],
)
def test_limits_fall_at_the_moment(left: timedelta, share: int) -> None:
    assert share_at(END, END - left) == share


@given(st.integers(0, 10**6), st.sampled_from([10, 25, 50, 100]))
def test_a_limit_never_falls_to_none_nor_opens(limit: int, share: int) -> None:
    fallen = limited(limit, share)
    assert (fallen == 0) == (limit == 0)
    assert fallen <= limit
    assert limited(limit, WHOLE) == limit


@given(st.integers(1, 40 * 86_400), st.integers(0, 45 * 86_400))
def test_between_two_changes_nothing_changes(ahead: int, passed: int) -> None:
    """What the verifier was told holds until `next_change`, to the second."""
    planned = END - timedelta(seconds=ahead)
    notice_at, now = notice_from(END, planned), planned + timedelta(seconds=passed)
    change = next_change(notice_at, END, now)
    if change is None:
        assert now >= END
        return
    last = change - timedelta(seconds=1)
    if last > now:
        assert share_at(END, last) == share_at(END, now)
        assert (last >= notice_at) == (now >= notice_at)
    assert share_at(END, change) < share_at(END, now) or change in {notice_at, END}
