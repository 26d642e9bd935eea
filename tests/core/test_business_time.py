"""What a deadline counts: business days of a Japanese office, holidays and the year's end left out (A5)."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from core.business_time import Office, add_business_hours, business_hours_between

TOKYO = ZoneInfo("Asia/Tokyo")
OFFICE = Office()
NEW_YORK = Office(country="US", zone="America/New_York")
CLOCK_HOURS = Office(day_counts=timedelta(hours=9))
OFFICES = st.sampled_from([OFFICE, NEW_YORK, CLOCK_HOURS, Office(opens=time(8, 30), closes=time(17, 15))])
START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 7 * 365 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
HOURS = st.integers(0, 24 * 30)
LATER = st.timedeltas(timedelta(), timedelta(99))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2026-11-18 15:00", 24, "2026-11-19 15:00"),  # the same time on the next business day
        ("2026-11-20 15:00", 24, "2026-11-24 15:00"),  # a weekend, and Labour Thanksgiving Day on Monday
        ("2026-11-18 20:00", 24, "2026-11-20 09:00"),  # in the evening: counts from the next opening
        ("2026-11-18 18:00", 24, "2026-11-20 09:00"),  # closing time belongs to the next day
        ("2026-11-21 12:00", 24, "2026-11-25 09:00"),  # on a Saturday
        ("2026-11-18 09:00", 12, "2026-11-18 13:30"),  # half of a business day
        ("2026-04-28 15:00", 24, "2026-04-30 15:00"),  # Showa Day in Golden Week
        ("2026-05-01 15:00", 24, "2026-05-07 15:00"),  # 3 to 6 May, the substitute holiday included
        ("2026-04-30 15:00", 72, "2026-05-08 15:00"),
        ("2026-09-18 10:00", 24, "2026-09-24 10:00"),  # 21 and 23 September, and the 22nd between them
        ("2026-12-28 17:00", 24, "2027-01-04 17:00"),  # 29 December to 3 January
        ("2026-12-28 17:00", 0, "2026-12-28 17:00"),
        ("2027-01-01 00:00", 0, "2027-01-04 09:00"),  # nothing is ever due while the office is closed
    ],
)
def test_when_so_many_business_hours_have_passed(start: str, hours: int, due: str) -> None:
    assert OFFICE.add(at(start), hours) == at(due)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-11-20 15:00", "2026-11-24 15:00", 24),
        ("2026-11-21 00:00", "2026-11-24 09:00", 0),
        ("2026-11-24 09:00", "2026-11-24 18:00", 24),
        ("2026-12-29 09:00", "2027-01-03 18:00", 0),
        ("2026-11-24 15:00", "2026-11-20 15:00", 0),
    ],
)
def test_how_many_business_hours_lie_between(start: str, end: str, hours: float) -> None:
    assert OFFICE.between(at(start), at(end)) == hours


def test_hours_can_be_those_of_the_office_clock() -> None:
    assert CLOCK_HOURS.add(at("2026-11-18 15:00"), 9) == at("2026-11-19 15:00")


@given(office=OFFICES, start=MOMENTS, hours=HOURS)
def test_it_is_always_within_office_hours(office: Office, start: datetime, hours: int) -> None:
    assert office.is_open(office.add(start, hours))


@given(office=OFFICES, start=MOMENTS, hours=HOURS)
def test_adding_and_counting_are_each_others_inverse(office: Office, start: datetime, hours: int) -> None:
    assert office.between(start, office.add(start, hours)) == pytest.approx(hours, abs=1e-6)


@given(
    office=OFFICES, start=MOMENTS, hours=HOURS, more=HOURS, later=st.timedeltas(timedelta(), timedelta(99))
)
def test_later_and_longer_never_end_sooner(
    office: Office, start: datetime, hours: int, more: int, later: timedelta
) -> None:
    due = office.add(start, hours)
    assert due >= start
    assert office.add(start, hours + more) >= due
    assert office.add(start + later, hours) >= due
    assert office.between(start, start + later) >= 0


@given(start=MOMENTS, days=st.integers(0, 60))
def test_a_change_of_the_clocks_changes_no_time_of_day(start: datetime, days: int) -> None:
    first = NEW_YORK.add(start, 0).astimezone(ZoneInfo("America/New_York"))
    assert NEW_YORK.add(start, 24 * days).astimezone(ZoneInfo("America/New_York")).time() == first.time()


def test_the_settings_say_when_the_office_is_open(settings: Settings) -> None:
    settings.BUSINESS_OPENS, settings.BUSINESS_CLOSES = "10:00", "19:00"
    settings.BUSINESS_CLOSED_DAYS = [*settings.BUSINESS_CLOSED_DAYS, "2026-11-19"]
    due = add_business_hours(at("2026-11-18 18:30"), 24)
    assert due == at("2026-11-20 18:30")
    assert business_hours_between(at("2026-11-18 18:30"), due) == 24


@pytest.mark.parametrize(
    "wrong", [{"opens": time(18), "closes": time(9)}, {"weekdays": frozenset()}, {"day_counts": timedelta()}]
)
def test_an_office_that_never_opens_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="office must"):
        Office(**wrong)  # type: ignore[arg-type]  # one wrong value at a time


def test_year_end_closing_is_a_setting() -> None:
    assert not OFFICE.is_business_day(date(2026, 12, 29))
    assert Office(closed=frozenset()).is_business_day(date(2026, 12, 29))
