"""Changes wanted, edited, submitted again: only whom it concerns is asked, and sees the difference (A6)."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from approvals.models import Decision
from notifications.models import Message
from tests.browser.people import (
    DESKTOP,
    PHONE,
    Visitor,
    assert_accessible,
    assert_fits,
    sign_in_by_hand,
    unfold,
)
from tests.cast import Cast, decide
from tests.product import Product

pytestmark = pytest.mark.django_db(transaction=True)


def look(page: Page, name: str, *, is_form: bool = False) -> None:
    """What every page must be; kept as a picture where PICTURES names a folder.

    The form's own test asks axe at the top of it: farther down its bar lies over whatever scrolls by.
    """
    assert_fits(page)
    if not is_form:
        assert_accessible(page)
    if "PICTURES" in os.environ:
        page.screenshot(path=Path(os.environ["PICTURES"]) / f"{name}.png", full_page=True)


def test_only_legal_is_asked_again_about_another_contract(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    request = cast.request()
    decide(request, cast.pm)
    url = product.mail_to(cast.legal.email).link("/decide/", "answer=approve")
    page = guests.open(url, **PHONE)
    sign_in_by_hand(page, cast.legal)
    page.check("[name=answer][value=changes]")
    look(page, "legal-phone")
    page.click("main form .btn.pri")
    expect(page.locator("main form")).to_contain_text("Say what is to be changed")
    page.fill("[name=reason]", "This belongs to the contract at 500,000 yen.")
    page.click("main form .btn.pri")
    page.wait_for_url("**/decisions/*/")
    expect(page.get_by_role("status")).to_contain_text("The request is back with Rin Nakamura")
    look(page, "decided-phone")

    told = product.mail_to(cast.requester.email, "500,000 yen")
    assert "Changes wanted" in told.subject
    mine = guests.open("/", cast.requester, **DESKTOP)
    expect(mine.locator("main")).to_contain_text("Changes wanted")
    look(mine, "home")
    mine.goto(f"/requests/{request.public_id}/")
    expect(mine.locator("main")).to_contain_text("Sakura Ito (Legal) wants changes")
    look(mine, "sent-back")
    mine.get_by_role("link", name="Edit and submit again").click()
    mine.wait_for_url("**/edit/")
    assert mine.input_value("#id_name") == "Delivery status"
    look(mine, "edit", is_form=True)
    unfold(mine)
    mine.check(f"[name=contract][value='{cast.edge.public_id}']")
    mine.click("[name=action][value=submit]")
    mine.wait_for_url(f"**/requests/{request.public_id}/")
    expect(mine.locator(".path")).to_contain_text("stands since revision 1")
    expect(mine.locator("#revisions ins").first).to_contain_text(cast.edge.public_id)
    look(mine, "request")
    phone = guests.open(f"/requests/{request.public_id}/", cast.pm, **PHONE)
    look(phone, "request-phone")

    again = product.mail_to(cast.legal.email, "Monthly amount")
    page.goto(again.link("/decide/", "answer=approve"))
    expect(page.locator("main")).to_contain_text("What was changed since")
    expect(page.locator(".diff")).to_contain_text("yours to look at")
    look(page, "again-phone")
    page.set_viewport_size(DESKTOP["viewport"])
    look(page, "again")
    page.check("[name=answer][value=approve]")
    page.click("main form .btn.pri")
    page.wait_for_url("**/decisions/*/")
    assert Decision.objects.filter(request=request, staff=cast.pm).count() == 1
    asked = Message.objects.filter(kind="step_requested", recipient_ref=cast.pm.public_id)
    assert asked.count() == 1, "a PM is not asked again"
