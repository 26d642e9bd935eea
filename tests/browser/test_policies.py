"""The approval policy by the people who write it: edit, look at what it would do, the second person (A2)."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from approvals.models import PolicyVersion
from tests.accounts.test_sign_in import code_of
from tests.browser.people import DESKTOP, PHONE, Visitor, assert_accessible, assert_fits, give_app
from tests.cast import Cast, decide

pytestmark = pytest.mark.django_db(transaction=True)
COO_STEP = "fieldset#step-6"


def test_legal_edits_the_policy_and_the_coo_puts_it_in_force(cast: Cast, guests: Visitor) -> None:
    older = cast.request()
    secret = give_app(cast.coo)
    legal = guests.open("/policies/", cast.legal, **DESKTOP)
    legal.get_by_role("button", name="Begin a draft").click()
    legal.wait_for_url("**/edit/")
    threshold = legal.locator(COO_STEP).get_by_role("textbox", name="Amount")
    expect(threshold).to_have_value("500,000")
    threshold.fill("100,000")
    ask_two_pms_for_writing(legal)
    legal.get_by_label("Why the path is to change").fill("The audit asked for it.")
    assert_accessible(legal)
    legal.get_by_role("button", name="Save and see what it would do").click()
    expect(legal.get_by_text("The draft is saved.")).to_be_visible()
    expect(legal.get_by_text("1 would also be asked of COO.")).to_be_visible()
    legal.get_by_role("link", name="See each request").click()
    expect(legal.get_by_role("cell", name="PM → Legal → Tech → COO")).to_be_visible()
    assert_accessible(legal)
    legal.go_back()
    legal.get_by_role("button", name="Propose", exact=True).click()
    expect(legal.get_by_text("Proposed.")).to_be_visible()
    policy = PolicyVersion.objects.get(state="proposed")

    coo = guests.browser(cast.coo, **PHONE)
    guests.give_session(coo.context, cast.coo, minutes_ago=10)
    coo.goto(f"/policies/{policy}/")
    assert_fits(coo)
    assert_accessible(coo)
    answer(coo)
    coo.wait_for_url("**/second-factor/again/**")
    coo.fill("#id_code", code_of(secret))
    coo.click("main form .btn.pri")
    coo.wait_for_url(f"**/policies/{policy}/#answer")
    expect(coo.get_by_text("Your second factor is confirmed.")).to_be_visible()
    expect(coo.locator("[name=answer][value=approve]")).to_be_checked()
    coo.get_by_role("button", name="Send this answer").click()
    expect(coo.get_by_text("is in force for every new request")).to_be_visible()

    newer = cast.request()
    assert newer.policy == policy
    requester = guests.open(f"/requests/{newer.public_id}/", cast.requester, **DESKTOP)
    expect(requester.locator(".path .role").filter(has_text="COO")).to_be_visible()
    requester.get_by_role("link", name=f"approval policy {policy}").click()
    expect(requester.get_by_text("is more than ¥100,000")).to_be_visible()
    for person in (cast.pm, cast.legal, cast.tech):
        decide(older, person)
    older.refresh_from_db()
    assert (older.state, older.policy) == ("approved", cast.policy)


def ask_two_pms_for_writing(page: Page) -> None:
    """Add a step and a condition with the buttons, take the step away again: nothing typed is lost."""
    page.get_by_label("Add a step").select_option("pm")
    page.locator("button[value=add]").click()
    added = page.locator("fieldset#step-7")
    added.get_by_label("Add a condition").select_option("asks_write")
    added.locator("button[value='if:6']").click()
    expect(page.get_by_text("Not saved yet.")).to_be_visible()
    expect(page.locator("fieldset#step-7 .policy-if")).to_have_count(1)
    page.locator("button[value='remove:6']").click()
    expect(page.locator("fieldset#step-7")).to_have_count(0)
    expect(page.locator(COO_STEP).get_by_role("textbox", name="Amount")).to_have_value("100,000")


def answer(page: Page) -> None:
    """Choose and send."""
    page.locator("label:has([name=answer][value=approve])").click()
    page.get_by_role("button", name="Send this answer").click()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_editor_works_without_javascript(
    cast: Cast, guests: Visitor, size: dict[str, Any], language: str
) -> None:
    legal = guests.browser(cast.legal, language=language, java_script_enabled=False, **size)
    legal.goto("/policies/")
    legal.locator("form[action$='/copy/'] button").first.click()
    legal.locator("button[value='down:0']").click()
    legal.locator("button[value='up:1']").click()
    legal.locator("fieldset#step-6 [name$='-value']").first.fill("a lot")
    legal.locator(".form-bar .btn.pri").click()
    expect(legal.locator(".errorlist, [aria-invalid=true]").first).to_be_visible()
    expect(legal.locator("fieldset#step-6 [name$='-value']").first).to_have_value("a lot")
    legal.locator("fieldset#step-6 [name$='-value']").first.fill("400,000")
    legal.locator(".form-bar .btn.pri").click()
    expect(legal.locator("del").filter(has_text="500,000")).to_be_visible()
