"""Several decisions in a row, by keyboard alone and without JavaScript."""

import re
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from approvals.models import Decision
from tests.browser.people import DESKTOP, PHONE, Visitor, assert_accessible, assert_fits
from tests.cast import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
QUEUE = reverse("approvals:queue")


def heading(page: Page) -> Any:
    return page.locator("h1")


def await_page(page: Page, title: str) -> None:
    """Until the page with this heading is there, and its script, which hears the keys."""
    expect(heading(page)).to_have_text(title)
    page.wait_for_load_state()


def test_three_decisions_without_touching_the_mouse(cast: Cast, chromium: Browser, live_server: Any) -> None:
    first, second, third = (cast.request(name=name) for name in ("Parcels", "Fan club", "Rankings"))
    visitor = Visitor(chromium, live_server.url)
    page = visitor.open(QUEUE, cast.pm, **DESKTOP)
    assert_accessible(page)
    keys = page.keyboard
    keys.press("j")
    keys.press("j")
    expect(page.locator(":focus")).to_have_text(second.title)
    keys.press("k")
    expect(page.locator(":focus")).to_have_text(first.title)
    keys.press("Enter")
    await_page(page, first.title)
    expect(page.locator(".in-a-row")).to_contain_text("2 more in your queue")
    assert_accessible(page)

    keys.press("n")
    await_page(page, second.title)
    keys.press("p")
    await_page(page, first.title)

    keys.press("a")  # only goes there: nothing is chosen, much less decided
    expect(page.locator("[value=approve]")).to_be_focused()
    expect(page.locator("[value=approve]")).not_to_be_checked()
    keys.press("Space")
    keys.press("Enter")
    await_page(page, second.title)
    expect(page.locator("main")).to_contain_text(f"{first.public_id}: “Approve” is recorded. 2 left.")

    keys.press("r")
    keys.press("Space")
    page.fill("textarea[name=reason]", "")
    page.locator("textarea[name=reason]").press_sequentially("japan only, no jkrna")  # letters are letters
    page.locator("#answer button").focus()
    keys.press("Enter")
    await_page(page, third.title)
    keys.press("a")
    keys.press("Space")
    keys.press("Enter")
    page.wait_for_url(re.compile(QUEUE + "$"))
    expect(page.locator("main")).to_contain_text("That was the last one in your queue.")
    expect(page.locator("main")).to_contain_text("Nothing waits for you")
    answers = dict(Decision.objects.values_list("request__public_id", "outcome"))
    assert answers == {first.public_id: "approve", second.public_id: "reject", third.public_id: "approve"}
    keys.press("?")
    expect(page.locator("#shortcuts")).to_contain_text("In the approvals queue: next and previous")
    visitor.close()
    assert visitor.troubles == []


def test_in_a_row_on_a_phone_without_javascript(cast: Cast, chromium: Browser, live_server: Any) -> None:
    first, second = cast.request(name="Parcels"), cast.request(name="Fan club")
    visitor = Visitor(chromium, live_server.url)
    page = visitor.browser(cast.pm, java_script_enabled=False, **PHONE)
    page.goto(QUEUE)
    page.click(f"text={first.title}")
    page.check("[value=approve]")
    page.click("#answer button")
    expect(heading(page)).to_have_text(second.title)
    expect(page.locator("main")).to_contain_text("1 left.")
    visitor.close()
    page = visitor.open(QUEUE + "?view=all", cast.auditor, **PHONE)
    assert_fits(page)
    assert_accessible(page)
    visitor.close()
