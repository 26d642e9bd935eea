"""Planned retirement on the pages: asked for as a change, its schedule, use after the end (K9, R3)."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from approvals.models import KeyChange, Request
from core.errors import Conflict, Invalid
from keys.models import Key, KeyUseDay, Retirement
from keys.status.services import expire_keys
from keys.terms.terms import OFFICE_ZONE, office_day, office_minute
from tests.approvals.test_change_pages import begin, posted, text_of
from tests.cast import Cast, decide, sign_in
from tests.changes import ask_change, changed, live_key, retirement

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with override("en"):
        yield


def typed(moment: datetime) -> str:
    return f"{moment.astimezone(OFFICE_ZONE):%Y-%m-%dT%H:%M}"


def in_days(days: float) -> datetime:
    return (timezone.now() + timedelta(days=days)).replace(second=0, microsecond=0)


def page_of(browser: Client, key: Key) -> str:
    return text_of(browser.get(reverse("keys:key-detail", args=[key.public_id])))


def test_from_the_button_on_the_key_to_the_schedule_on_it(cast: Cast) -> None:
    key, _text = live_key(cast)
    other, _text = live_key(cast, name="The next one")
    browser, end = sign_in(cast.requester), in_days(40)
    assert "Plan its retirement" in page_of(browser, key)
    new = reverse("approvals:change-new", args=[key.public_id])
    url = browser.post(new, {"about": "retirement"})["Location"]
    assert url.endswith("#retirement")
    data = posted(
        browser,
        url,
        why="v2 replaces it.",
        retires_at=typed(end),
        replacement=other.public_id,
        action="submit",
    )
    panel = browser.post(
        reverse("approvals:request-path-panel", args=[Request.objects.get().public_id]), data,
        headers={"hx-request": "true"},
    )  # fmt: skip
    words = text_of(panel)
    assert "one approval by a PM or security is enough" in words
    assert "Limits fall to 25 %" in words
    assert browser.post(url, data).status_code == 302
    request = Request.objects.get()
    detail = text_of(browser.get(reverse("approvals:request-detail", args=[request.public_id])))
    assert "Planned retirement" in detail
    assert f"{other.public_id} The next one" in detail
    decide(request, cast.pm)
    key.refresh_from_db()
    assert (key.retires_at, key.replacement) == (end, other)
    shown = page_of(browser, key)
    assert "Planned retirement" in shown
    assert shown.index("Notice; calls") < shown.index("Limits fall to 50 %") < shown.index("The key ends")
    assert "v2 replaces it." in shown
    assert "Plan its retirement" not in shown


def test_short_notice_is_refused_beside_its_field_until_it_has_a_reason(cast: Cast) -> None:
    key, _text = live_key(cast)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    data = posted(browser, url, why="It ends.", retires_at=typed(in_days(10)), action="submit")
    refused = browser.post(url, data)
    assert refused.status_code == 422
    assert "short_notice" in refused.context["form"].errors
    assert KeyChange.objects.get().state == "draft"
    again = posted(
        browser,
        url,
        why="It ends.",
        retires_at=typed(in_days(10)),
        short_notice="They asked.",
        action="submit",
    )
    assert browser.post(url, again).status_code == 302
    request = Request.objects.get()
    assert "They asked." in text_of(
        browser.get(reverse("approvals:request-detail", args=[request.public_id]))
    )
    decide(request, cast.pm)
    shown = page_of(browser, key)
    assert "Less than 30 days of notice were given. They asked." in shown
    assert "The key is retiring and ends at" in shown


def test_another_change_leaves_the_retirement_alone_and_an_empty_field_calls_it_off(cast: Cast) -> None:
    key, _text = live_key(cast)
    other, _text = live_key(cast, name="The next one")
    end = in_days(40)
    retirement(cast, key, end, replacement=other.public_id)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    browser.post(url, posted(browser, url, why="Less.", rpm="50", action="submit"))
    assert KeyChange.objects.get(state="in_review").direction == "tightens"
    decide(Request.objects.get(change__state="in_review"), cast.pm)
    key.refresh_from_db()
    assert (key.rpm, key.retires_at, key.replacement) == (50, end, other)
    url = begin(browser, key)
    data = posted(browser, url, why="It stays.", action="submit")
    del data["retires_at"]
    assert browser.post(url, data).status_code == 302
    request = Request.objects.get(change__state="in_review")
    assert request.change.direction == "loosens"
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    key.refresh_from_db()
    assert (key.retires_at, key.replacement, key.status) == (None, None, "active")
    assert Retirement.objects.get().state == "called_off"


def test_a_key_nobody_has_offers_no_retirement(cast: Cast) -> None:
    key = cast.key()
    browser = sign_in(cast.requester)
    assert "Plan its retirement" not in page_of(browser, key)
    assert "retires_at" not in browser.get(begin(browser, key)).context["form"].fields


def test_registry_home_and_page_show_what_is_in_force(cast: Cast) -> None:
    key, _text = live_key(cast)
    live_key(cast)
    retirement(cast, key, in_days(3.5), short_notice="They asked.")
    browser = sign_in(cast.requester)
    listed = text_of(browser.get(reverse("keys:key-list") + "?status=retiring"))
    assert "Retiring: limits at 25 %" in listed
    assert "retires: " in listed
    assert re.search(r"/ 250|250 an hour", listed)
    assert "1,000" not in listed
    assert key.public_id in text_of(browser.get("/"))
    shown = page_of(browser, key)
    assert "25 a minute · 250 an hour" in shown
    assert re.search(r"limits at 25 % .*in force now", shown)


def test_use_after_the_end_stands_on_the_page(cast: Cast) -> None:
    key, _text = live_key(cast)
    end = in_days(45)
    retirement(cast, key, end)
    expire_keys(now=end)
    browser = sign_in(cast.requester)
    assert "Used after its end" not in page_of(browser, key)
    KeyUseDay.objects.create(
        key=key, day=office_day(end) + timedelta(days=1), by_code={"EXPIRED": 7, "VALID": 2}
    )
    assert "7 calls with this key were refused since it ended." in page_of(browser, key)


def test_security_takes_a_retirement_back(cast: Cast) -> None:
    from approvals.changes.services.after import roll_back_change
    from core.actors import staff_actor

    key, _text = live_key(cast)
    change = retirement(cast, key, in_days(20), short_notice="They asked.")
    assert key.status == "retiring"
    now = timezone.now()
    roll_back_change(
        actor=staff_actor(cast.security), by=cast.security, request=change.request, reason="No.", now=now
    )
    key.refresh_from_db()
    assert (key.status, key.retires_at) == ("active", None)


def test_moving_only_the_end_later_needs_no_excuse(cast: Cast) -> None:
    key, _text = live_key(cast)
    retirement(cast, key, in_days(10), short_notice="They asked.")
    later = changed(cast, key, rpm=90)
    assert later.state == "applied"
    request = ask_change(key, cast.requester, retires_at=typed(in_days(12)) + "+09:00")
    assert KeyChange.objects.get(request=request).direction == "loosens"


def test_the_time_that_approvals_take_is_no_notice(cast: Cast) -> None:
    key, _text = live_key(cast)
    with pytest.raises(Invalid, match=r"Likely approved by .* less than 30 days") as refused:
        ask_change(key, cast.requester, retires_at=office_minute(in_days(31)))
    assert refused.value.field == "short_notice"
    # It waited for longer than was likely: no last approval without a reason, but it can be sent back.
    request = ask_change(key, cast.requester, retires_at=office_minute(in_days(45)))
    late = timezone.now() + timedelta(days=16)
    with pytest.raises(Conflict, match="Ask for changes"):
        decide(request, cast.pm, now=late)
    assert not request.decisions.exists()
    decide(request, cast.pm, "changes", reason="Why so soon?", now=late)
    request.refresh_from_db()
    assert request.state == "changes_wanted"


def test_both_keys_pages_name_each_other(cast: Cast) -> None:
    old, _text = live_key(cast)
    new, _text = live_key(cast, name="The next one")
    end = in_days(45)
    retirement(cast, old, end, replacement=new.public_id)
    browser = sign_in(cast.requester)
    assert f"Replaced by {new.public_id} The next one" in page_of(browser, old)
    assert f"Replaces {old.public_id}" in page_of(browser, new)
    expire_keys(now=end)
    assert f"Replaced by: {new.public_id} The next one" in page_of(browser, old)


def test_a_key_that_was_issued_since_is_shown_where_none_was_named(cast: Cast) -> None:
    old, _text = live_key(cast)
    before, _text = live_key(cast, name="Older")
    retirement(cast, old, in_days(45))
    browser = sign_in(cast.requester)
    assert "nothing yet" in page_of(browser, old)
    new, _text = live_key(cast, name="The next one")
    words = page_of(browser, old)
    assert f"issued since for the same use: {new.public_id} The next one" in words
    assert before.public_id not in words
