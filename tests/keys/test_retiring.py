"""Planned retirement of a key, by the clock: notice, falling limits, the end, use after it (K9)."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.translation import override

from approvals.models import KeyChange
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict, Invalid
from keys.hotstore import publish as hotstore
from keys.hotstore.record import Policy
from keys.life.services.reminders import remind_rotation, warn_expiry
from keys.life.services.retiring import watch_retirements
from keys.models import Key, KeyUseDay, Retirement, Secret
from keys.status.services import expire_keys, reactivate_key
from keys.terms.terms import end_of_day, office_day, office_minute
from keys.use.selectors.after_end import dead_use_of
from keys.use.services.use import Use, record_use
from notifications.models import Message
from tests.cast import Cast, decide, open_step
from tests.changes import ask_change, live_key, retirement
from tests.key_stories import revoke, suspend

pytestmark = pytest.mark.django_db
STATES = Retirement.State


def in_days(days: float) -> datetime:
    """A whole minute, so many days from now."""
    return (timezone.now() + timedelta(days=days)).replace(second=0, microsecond=0)


def policy_at(key: Key, now: datetime) -> Policy:
    found = hotstore.read(key.family, now=now)
    assert found is not None
    return found.policy


def mails(kind: str = "") -> Counter[str]:
    found = Message.objects.filter(kind__startswith="key_")
    return Counter((found.filter(kind=kind) if kind else found).values_list("kind", flat=True))


def actions(key: Key) -> list[str]:
    events = Event.objects.filter(objects_touched__contains=[f"key:{key.public_id}"]).order_by("id")
    return [
        action for action in events.values_list("action", flat=True) if "retir" in action or "fell" in action
    ]


def hours_of_a_retirement(start: datetime, end: datetime) -> Iterator[datetime]:
    """Every hour near a change of its schedule, every sixth of the others."""
    now = start
    while now < end + timedelta(hours=2):
        now += timedelta(hours=1)
        left = int((end - now) / timedelta(hours=1))
        if left % 6 == 0 or any(abs(left - days * 24) <= 2 for days in (40, 30, 7, 4, 2, 0)):
            yield now


@pytest.mark.long
def test_forty_days_from_the_plan_to_the_end(cast: Cast) -> None:
    key, _text = live_key(cast)
    start, end = timezone.now(), in_days(40)
    replacement, _text = live_key(cast, name="Its replacement")
    retirement(cast, key, end, replacement=replacement.public_id)
    key.refresh_from_db()
    assert (key.status, key.retires_at, key.replacement) == ("active", end, replacement)
    story: list[tuple[int, str, int, int]] = []
    for now in hours_of_a_retirement(start, end):
        for _twice in range(2):
            watch_retirements(now=now)
            warn_expiry(now=now)
            expire_keys(now=now)
        key.refresh_from_db()
        left = int((end - now) / timedelta(hours=1))
        state = (key.status, policy_at(key, now).rpm, policy_at(key, now).burst)
        if not story or story[-1][1:] != state:
            story.append((left, *state))
    assert story == [
        (40 * 24 - 2, "active", 100, 20),
        (30 * 24 - 1, "retiring", 100, 20),
        (7 * 24 - 1, "retiring", 50, 10),
        (4 * 24 - 1, "retiring", 25, 5),
        (2 * 24 - 1, "retiring", 10, 2),
        (0, "expired", 10, 2),
    ]
    assert actions(key) == [
        "key.retirement_planned", "key.retiring", *["key.limits_fell"] * 3, "key.retired",
    ]  # fmt: skip
    # To owner and recipient; never a second time, and none of the expiry's own warnings beside them.
    assert mails() - Counter(key_revealed=9) == {"key_retiring": 2, "key_limits_fell": 6, "key_retired": 2}
    assert Secret.objects.get(key=key).status == "retired"
    plan = Retirement.objects.get()
    assert (plan.state, plan.asked_by, plan.reason) == (STATES.DONE, cast.requester, "The API is replaced.")


def test_the_verifier_needs_no_sweep(cast: Cast) -> None:
    key, _text = live_key(cast)
    end = in_days(40)
    retirement(cast, key, end)
    notice, last = end - timedelta(days=30), end - timedelta(microseconds=1)
    assert policy_at(key, timezone.now()).changes_at == notice
    assert b'"retiring_since":null' in policy_at(key, notice - timedelta(seconds=1)).identity
    assert b'"retiring_since":"2' in policy_at(key, notice).identity
    assert [policy_at(key, at).rpm for at in (notice, end - timedelta(days=7), last)] == [100, 50, 10]
    assert policy_at(key, notice).expires_at == end


def test_short_notice_needs_a_reason_and_begins_at_once(cast: Cast) -> None:
    key, _text = live_key(cast)
    end = in_days(3)
    with pytest.raises(Invalid, match="30") as refused:
        retirement(cast, key, end)
    assert refused.value.field == "short_notice"
    retirement(cast, key, end, short_notice="The partner asked for it.")
    key.refresh_from_db()
    plan = Retirement.objects.get()
    assert (key.status, plan.state, plan.is_short) == ("retiring", STATES.NOTICED, True)
    assert plan.short_notice == "The partner asked for it."
    assert policy_at(key, timezone.now()).rpm == 25
    assert watch_retirements(now=timezone.now()) == 0  # the notice has said what is in force
    assert mails("key_retiring").total() == 2
    assert watch_retirements(now=end - timedelta(days=1)) == 1


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"retires_at": "2020-01-01T10:00+09:00"}, "passed"),
        ({"retires_at": "2040-01-01T10:00+09:00"}, "expiry"),
        ({"replacement": "KB-0001"}, "when"),
        ({"retires_at": "soon", "replacement": "KB-9999"}, "same partner"),
        ({"retires_at": "soon", "replacement": "itself"}, "itself"),
    ],
)
def test_what_can_not_be_planned(cast: Cast, wish: dict[str, str], words: str) -> None:
    key, _text = live_key(cast)
    soon = office_minute(in_days(46))
    known = {"soon": soon, "itself": key.public_id, "KB-0001": key.public_id}
    terms: dict[str, Any] = {name: known.get(value, value) for name, value in wish.items()}
    with override("en"), pytest.raises(Invalid, match=words):
        ask_change(key, cast.requester, **terms)


def test_a_key_that_nobody_has_is_revoked_not_retired(cast: Cast) -> None:
    with pytest.raises(Invalid):
        ask_change(cast.key(), cast.requester, retires_at=office_minute(in_days(46)))


def test_ending_on_the_last_day_is_possible(cast: Cast) -> None:
    key, _text = live_key(cast)
    retirement(cast, key, key.expires_at)
    assert expire_keys(now=key.expires_at) == 1
    assert actions(key)[-1] == "key.retired"


def test_moving_and_calling_off_loosen_and_go_the_whole_way(cast: Cast) -> None:
    key, _text = live_key(cast)
    retirement(cast, key, in_days(20), short_notice="It leaks money.")
    key.refresh_from_db()
    since = key.retiring_from
    late = in_days(60)
    sooner = ask_change(key, cast.requester, retires_at=office_minute(in_days(10)), short_notice="x")
    assert KeyChange.objects.get(request=sooner).direction == "tightens"
    decide(sooner, cast.pm)
    later = ask_change(key, cast.requester, retires_at=office_minute(late))
    assert KeyChange.objects.get(request=later).direction == "loosens"
    for person in (cast.pm, cast.legal, cast.tech):
        decide(later, person)
    key.refresh_from_db()
    # What the partner was told does not begin anew: since when it is retiring stays.
    assert (key.status, key.retires_at, key.retiring_from) == ("retiring", late, since)
    assert policy_at(key, timezone.now()).rpm == 100
    off = ask_change(key, cast.requester, retires_at="")
    assert open_step(off).role == "pm"
    for person in (cast.pm, cast.legal, cast.tech):
        decide(off, person)
    key.refresh_from_db()
    assert (key.status, key.retires_at, key.retiring_from) == ("active", None, None)
    assert actions(key) == [
        "key.retirement_planned", "key.retiring", "key.retirement_moved", "key.retirement_moved",
        "key.retirement_called_off",
    ]  # fmt: skip
    assert Retirement.objects.get().state == STATES.CALLED_OFF
    assert watch_retirements(now=in_days(100)) == 0


def test_a_stopped_key_is_noticed_and_starts_again_as_retiring(cast: Cast) -> None:
    key, _text = live_key(cast)
    retirement(cast, key, in_days(32), short_notice="They asked.")
    suspend(key, cast.security)
    assert watch_retirements(now=in_days(3)) == 1
    key.refresh_from_db()
    assert (key.status, mails("key_retiring").total()) == ("suspended", 2)
    actor = staff_actor(cast.security)
    reactivate_key(actor=actor, by=cast.security, key=key, reason="Fine.", now=in_days(4))
    key.refresh_from_db()
    assert key.status == "retiring"


def test_a_key_that_is_revoked_before_has_no_plan_any_more(cast: Cast) -> None:
    key, _text = live_key(cast)
    retirement(cast, key, in_days(46))
    revoke(key, cast.security)
    assert Retirement.objects.get().state == STATES.OVERTAKEN
    assert watch_retirements(now=in_days(45)) == 0
    with pytest.raises(Conflict):
        ask_change(key, cast.requester, retires_at="")


def test_a_secret_that_would_be_due_after_the_end_is_not_reminded_of(cast: Cast) -> None:
    key, _text = live_key(cast)
    retirement(cast, key, in_days(31), short_notice="They asked.")
    now = end_of_day(office_day(in_days(3))) - timedelta(hours=5)
    Key.objects.filter(pk=key.pk).update(rotation_due_on=office_day(now) + timedelta(days=30))
    assert remind_rotation(now=now) == 0
    Key.objects.filter(pk=key.pk).update(rotation_due_on=office_day(now) + timedelta(days=7))
    assert remind_rotation(now=now) == 2


def test_use_after_the_end_is_counted_and_told_once_a_day(cast: Cast) -> None:
    key, _text = live_key(cast)
    secret = Secret.objects.get(key=key)
    end = in_days(45)
    retirement(cast, key, end)

    def use(batch: str, now: datetime, code: str = "EXPIRED", n: int = 3) -> None:
        record_use(batch=batch, uses=[Use(int(now.timestamp()) // 60, secret.public_id, code, n)], now=now)

    use("before", end - timedelta(days=1), "VALID")
    expire_keys(now=end)
    first, second = end + timedelta(days=1), end + timedelta(days=2)
    use("one", first)
    use("two", first + timedelta(minutes=2))
    use("three", second, n=4)
    use("three", second, n=4)
    assert mails("key_used_after_end").total() == 2
    assert set(Message.objects.filter(kind="key_used_after_end").values_list("recipient_ref", flat=True)) == {
        key.owner.public_id
    }
    key.refresh_from_db()
    found = dead_use_of(key, now=second)
    assert (found.days, found.total, found.today) == (
        [(office_day(second), 4), (office_day(first), 6)],
        10,
        4,
    )
    assert KeyUseDay.objects.filter(key=key).count() == 3
