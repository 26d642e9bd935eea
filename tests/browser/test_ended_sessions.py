"""A session that ends while somebody types: by htmx, by a form, without JavaScript, in a second window."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from approvals.models import Request
from tests.browser.people import PHONE, Visitor, assert_accessible, assert_fits, sign_in_by_hand
from tests.cast import Cast, make_draft

pytestmark = pytest.mark.django_db(transaction=True)


def open_draft(cast: Cast, visitor: Visitor, **options: Any) -> Page:
    draft = make_draft(cast.company, cast.requester)
    return visitor.open(f"/requests/{draft.public_id}/edit/", cast.requester, **options)


@pytest.mark.parametrize("options", [{}, PHONE | {"color_scheme": "dark"}], ids=["desktop", "phone-dark"])
def test_the_live_panel_notices_and_what_was_typed_for_forty_minutes_is_back(
    cast: Cast, visitor: Visitor, options: dict[str, Any]
) -> None:
    page = open_draft(cast, visitor, **options)
    address = page.url
    Session.objects.all().delete()
    page.fill("#id_name", "Delivery status")
    page.fill("#id_purpose", "First line\nand a second one")
    page.wait_for_url("**/sign-in/?next=**")
    expect(page.locator("h1")).to_have_text("Sign in")
    expect(page.locator(".notice")).to_contain_text("what you typed is kept")
    assert_fits(page)
    assert_accessible(page)
    sign_in_by_hand(page, cast.requester)
    expect(page.locator("h1")).to_have_text("What you typed is kept")
    assert_fits(page)
    assert_accessible(page)
    page.get_by_role("button", name="Go on with it").click()
    page.wait_for_url(address)
    expect(page.locator(".messages")).to_contain_text("The draft is saved")
    assert page.input_value("#id_name") == "Delivery status"
    assert page.input_value("#id_purpose") == "First line\nand a second one"


def test_filters_that_meet_the_end_lead_back_to_the_list(cast: Cast, visitor: Visitor) -> None:
    page = visitor.open("/keys/?environment=live", cast.pm)
    Session.objects.all().delete()
    page.locator("#id_q").press_sequentially("tsubame")
    page.wait_for_url("**/sign-in/?next=**")
    expect(page.locator("main form .btn.pri")).to_have_count(1)
    sign_in_by_hand(page, cast.pm)
    page.wait_for_url("**/keys/?environment=live")


def test_without_javascript_a_form_that_was_sent_too_late_is_sent_after_all(
    cast: Cast, visitor: Visitor
) -> None:
    page = open_draft(cast, visitor, java_script_enabled=False)
    page.fill("#id_name", "Delivery status")
    Session.objects.all().delete()
    page.locator(".form-bar [value=save]").click()
    sign_in_by_hand(page, cast.requester)
    page.get_by_role("button", name="Send it now").click()
    expect(page.locator(".messages")).to_contain_text("The draft is saved")
    assert page.input_value("#id_name") == "Delivery status"


def test_a_sign_in_in_another_window_does_not_make_the_form_too_old(cast: Cast, visitor: Visitor) -> None:
    page = open_draft(cast, visitor)
    Session.objects.all().delete()
    other = page.context.new_page()
    other.goto("/")
    sign_in_by_hand(other, cast.requester)
    other.wait_for_url("**/")
    page.fill("#id_name", "Delivery status")
    page.wait_for_url("**/accounts/kept/")
    page.get_by_role("button", name="Go on with it").click()
    expect(page.locator(".messages")).to_contain_text("The draft is saved")
    assert Request.objects.get().draft["name"] == "Delivery status"
