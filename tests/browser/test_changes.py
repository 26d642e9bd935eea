"""Changes of a key in a real browser: by one look, by the whole path, seen in the verifier."""

import re
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import User
from approvals.models import KeyChange
from keys.models import Key, KeyUseDay
from keys.terms.terms import office_day
from tests.browser.people import PHONE, Visitor, assert_accessible, assert_fits, give_app, unfold
from tests.cast import Cast
from tests.changes import live_key
from tests.dataplane import make_gateway, verify
from verifier.callers import gateways

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "203.0.113.9"


@pytest.fixture
def gateway(transactional_db: None) -> str:
    gateways.forget_all()
    return make_gateway()


def look_at(page: Page) -> None:
    assert_fits(page)
    assert_accessible(page)


def begin(visitor: Visitor, key: Key, by: User, **options: Any) -> Page:
    page = visitor.open(f"/keys/{key.public_id}/", by, **options)
    page.get_by_role("button", name="Request a change").click()
    page.wait_for_url("**/edit/")
    unfold(page)
    return page


def approve(visitor: Visitor, number: str, by: User, **options: Any) -> Page:
    page = visitor.open(f"/requests/{number}/decide/", by, **options)
    look_at(page)
    for box in page.locator("input[name=checklist]").all():
        box.check()
    page.locator("input[name=answer][value=approve]").check(force=True)
    page.get_by_role("button", name="Send this answer").click()
    page.wait_for_url("**/decisions/*/")
    return page


@pytest.mark.parametrize("options", [{}, PHONE | {"color_scheme": "dark"}], ids=["desktop", "phone"])
def test_tightened_by_one_look_and_rolled_back(
    cast: Cast, visitor: Visitor, gateway: str, options: dict[str, Any]
) -> None:
    key, text = live_key(cast, scopes=("catalog:read", "catalog:write"))
    KeyUseDay.objects.create(
        key=key, day=office_day(timezone.now()), n_allowed=500, peak_minute=12, peak_hour=90
    )
    question = {"ip": ADDRESS, "scope": "catalog:write"}
    assert verify(gateway, text, **question).code == "VALID"

    page = begin(visitor, key, cast.requester, **options)
    panel = page.locator("#path-panel")
    expect(panel.get_by_text("Nothing differs from the key yet.")).to_be_visible()
    expect(page.get_by_text("The busiest of the last 30 days needed 12.")).to_be_visible()
    page.locator("input[name=scopes][value='catalog:write']").uncheck(force=True)
    expect(panel.get_by_text("It only tightens: one approval by a PM or security is enough.")).to_be_visible()
    page.fill("#id_rpm", "500")
    page.locator("#id_rpm").blur()
    expect(panel.get_by_text("it goes the whole way")).to_be_visible()
    expect(panel.get_by_text("the busiest of 30 days needed 12")).to_be_visible()
    page.fill("#id_rpm", "50")
    page.locator("#id_rpm").blur()
    expect(panel.get_by_text("It only tightens")).to_be_visible()
    page.fill("#id_why", "They only read.")
    look_at(page)
    page.get_by_role("button", name="Submit for approval").click()
    page.wait_for_url(re.compile(r"/requests/KR-\d+/$"))
    look_at(page)
    expect(page.get_by_text("They only read.")).to_be_visible()
    number = KeyChange.objects.get().request.public_id
    assert verify(gateway, text, **question).code == "VALID"

    decided = approve(visitor, number, cast.security, **options)
    expect(decided.get_by_text("That was the last approval: the change is in force.")).to_be_visible()
    assert verify(gateway, text, **question).code == "INSUFFICIENT_SCOPE"

    give_app(cast.security)
    back = visitor.open(f"/requests/{number}/", cast.security, **options)
    back.get_by_role("link", name="Roll back…").click()
    look_at(back)
    back.fill("#id_reason", "Their nightly run writes.")
    back.get_by_role("button", name="Roll back").click()
    back.wait_for_url(f"**/keys/{key.public_id}/")
    expect(back.get_by_text("rolled back on")).to_be_visible()
    look_at(back)
    assert verify(gateway, text, **question).code == "VALID"


def test_loosened_by_the_whole_path_without_javascript(cast: Cast, visitor: Visitor, gateway: str) -> None:
    key, text = live_key(cast, contract=cast.big)
    question = {"ip": "198.51.100.7"}
    assert verify(gateway, text, **question).code == "IP_NOT_ALLOWED"
    page = begin(visitor, key, cast.requester, java_script_enabled=False)
    page.fill("#id_ip_ranges", "203.0.113.0/24\n198.51.100.0/24")
    page.fill("#id_why", "A second office.")
    page.locator(".form-bar").get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("it goes the whole way")).to_be_visible()
    expect(page.locator(".aside-sticky").get_by_text("COO")).not_to_have_count(0)
    page.get_by_role("button", name="Submit for approval").click()
    page.wait_for_url(re.compile(r"/requests/KR-\d+/$"))
    number = KeyChange.objects.get().request.public_id
    for person in (cast.pm, cast.legal, cast.tech):
        approve(visitor, number, person)
        assert verify(gateway, text, **question).code == "IP_NOT_ALLOWED"
    give_app(cast.coo)
    approve(visitor, number, cast.coo)
    assert verify(gateway, text, **question).code == "VALID"
    shown = visitor.open(f"/keys/{key.public_id}/", cast.auditor)
    expect(shown.locator("#changes").get_by_text("A second office.")).to_be_visible()
