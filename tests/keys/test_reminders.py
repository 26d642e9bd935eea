"""Reminders of rotation and expiry: the right days, once each, to people who are still there."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from keys.life.services.reminders import remind_rotation, step_of, warn_expiry
from keys.models import Key
from keys.terms.terms import OFFICE_ZONE, end_of_day, office_day
from notifications.models import Message
from tests.cast import Cast
from tests.key_stories import reveal, revoke, suspend

# Keys are issued now, and due some weeks later.
TODAY = office_day(datetime.now(UTC)) + timedelta(days=81)
NOON = datetime.combine(TODAY, time(12), OFFICE_ZONE)


def key_due(cast: Cast, **fields: Any) -> Key:
    key = cast.key()
    reveal(key)
    Key.objects.filter(pk=key.pk).update(**({"expires_at": end_of_day(TODAY + timedelta(days=324))} | fields))
    key.refresh_from_db()
    return key


@pytest.mark.parametrize(
    ("days", "step"),
    [
        (31, ""), (30, "30"), (29, "30"), (28, "30"), (27, ""), (15, ""), (14, "14"), (12, "14"), (8, ""),
        (7, "7"), (5, "7"), (4, ""), (3, "3"), (2, "3"), (1, "1"), (0, "1"), (-1, "late-1"), (-20, "late-20"),
    ],
)  # fmt: skip
def test_which_reminder_a_day_asks_for(days: int, step: str) -> None:
    assert step_of(days, daily_when_late=True) == step
    if days < 0:
        assert step_of(days, daily_when_late=False) == ""


def test_a_rotation_is_remembered_once_a_step_and_then_daily(cast: Cast) -> None:
    key = key_due(cast, rotation_due_on=TODAY + timedelta(days=30))
    hours = [(day, hour) for day in range(36) for hour in range(3)]
    sent = [30 - day for day, hour in hours if remind_rotation(now=NOON + timedelta(days=day, hours=hour))]
    assert sent == [30, 14, 7, 3, 1, -1, -2, -3, -4, -5]
    mails = Message.objects.filter(kind="rotation_due")
    assert mails.count() == 20
    assert {mail.recipient_ref for mail in mails} == {key.owner.public_id, key.recipient.public_id}
    assert mails.order_by("id")[0].context == {"key": key.public_id, "days": 30}


def test_a_day_that_was_slept_over_is_made_up_for(cast: Cast) -> None:
    key_due(cast, rotation_due_on=TODAY + timedelta(days=13))
    assert remind_rotation(now=NOON) == 2
    assert remind_rotation(now=NOON + timedelta(days=1)) == 0


def test_after_a_rotation_the_reminders_begin_anew(cast: Cast) -> None:
    key = key_due(cast, rotation_due_on=TODAY)
    assert remind_rotation(now=NOON - timedelta(days=1)) == 2
    Key.objects.filter(pk=key.pk).update(rotation_due_on=TODAY + timedelta(days=90))
    assert remind_rotation(now=NOON + timedelta(days=89)) == 2


def test_an_expiry_is_warned_of_five_times(cast: Cast) -> None:
    key = key_due(cast, expires_at=end_of_day(TODAY + timedelta(days=30)))
    sent = [30 - day for day in range(33) if warn_expiry(now=NOON + timedelta(days=day))]
    assert sent == [30, 14, 7, 3, 1]
    assert Message.objects.filter(kind="key_expiring", recipient_ref=key.owner.public_id).count() == 5


def test_keys_that_ended_or_wait_are_left_alone(cast: Cast) -> None:
    ended = key_due(cast, rotation_due_on=TODAY, expires_at=end_of_day(TODAY))
    revoke(ended, cast.ops)
    cast.key()
    assert remind_rotation(now=NOON) == 0
    assert warn_expiry(now=NOON) == 0
    stopped = key_due(cast, rotation_due_on=TODAY, expires_at=end_of_day(TODAY + timedelta(days=7)))
    suspend(stopped, cast.ops)
    assert remind_rotation(now=NOON) == 0
    assert warn_expiry(now=NOON) == 2


def test_people_who_left_get_no_reminder(cast: Cast) -> None:
    key = key_due(cast, rotation_due_on=TODAY)
    key.recipient.is_active = False
    key.recipient.save(update_fields=["is_active"])
    assert remind_rotation(now=NOON) == 1


def test_at_midnight_a_reminder_waits_for_the_office(cast: Cast) -> None:
    key_due(cast, rotation_due_on=TODAY + timedelta(days=7))
    remind_rotation(now=NOON.replace(hour=0, minute=5))
    assert {m.next_attempt_at for m in Message.objects.filter(kind="rotation_due")} == {NOON.replace(hour=9)}


def test_a_repeated_run_asks_the_database_next_to_nothing(
    cast: Cast, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        key_due(cast, rotation_due_on=TODAY + timedelta(days=7))
    assert remind_rotation(now=NOON) == 10
    with django_assert_max_num_queries(6):
        assert remind_rotation(now=NOON) == 0
