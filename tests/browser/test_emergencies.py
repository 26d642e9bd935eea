"""What goes wrong, by the people whom it befalls: not me, consent taken back, an emergency (A7-A9)."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from approvals.models import Request
from approvals.path.services.emergency_end import suspend_late_emergencies
from keys.models import Key
from notifications.models import Message
from tests.browser.people import DESKTOP, PHONE, Visitor, assert_accessible, assert_fits
from tests.browser.test_journeys import begin_request, collect, fill_request, tick
from tests.cast import Cast, consent, decide
from tests.dataplane import make_gateway
from tests.key_stories import reveal
from tests.product import Product

pytestmark = pytest.mark.django_db(transaction=True)
PICTURES = Path(__file__).resolve().parents[2] / "var" / "screenshots"


def look(page: Page, name: str) -> None:
    """Fits, is accessible, and is kept as a picture where wanted."""
    assert_fits(page)
    assert_accessible(page)
    if os.environ.get("SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"emergency-{name}.png", full_page=True)


def asked_of(key: Key, **changes: Any) -> dict[str, Any]:
    question = {"ip": "203.0.113.9", "scopes": ["catalog:read"], "workspace": key.workspace.code}
    return question | changes


def test_this_was_not_me(cast: Cast, product: Product, guests: Visitor) -> None:
    asked = cast.request()
    decide(asked, cast.pm)
    url = product.mail_to(cast.pm.email, "This was not me").link("/not-me/")
    page = guests.open(url, **PHONE)
    look(page, "not-me")
    page.click("main form .btn.bad")
    expect(page.locator("#id_sure")).to_have_attribute("aria-invalid", "true")
    asked.refresh_from_db()
    assert asked.frozen_at is None
    page.check("#id_sure")
    page.click("main form .btn.bad")
    expect(page.locator("h1")).to_contain_text("Security has been called")
    look(page, "not-me-done")

    blocked = guests.open(f"/requests/{asked.public_id}/decide/", cast.legal, **PHONE)
    expect(blocked.get_by_role("alert")).to_contain_text("frozen")
    detail = guests.open(f"/requests/{asked.public_id}/", cast.requester, **DESKTOP)
    expect(detail.locator("main")).to_contain_text("Frozen since")
    look(detail, "frozen")

    home = guests.open("/", cast.security, **DESKTOP)
    look(home, "home-doubt")
    guard = guests.open(product.mail_to(cast.security.email).link("/requests/"), cast.security, **DESKTOP)
    look(guard, "doubt")
    tick(guard, "verdict", "stands")
    guard.fill("#id_reason", "Called Misaki: it was her after all.")
    guard.click("main form .btn.pri")
    expect(guard.locator(".messages")).to_contain_text("Recorded")
    assert "it was her after all" in product.mail_to(cast.requester.email).text
    decide(asked, cast.legal)


def test_a_void_answer_is_asked_again_and_the_others_stand(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    asked = cast.request()
    decide(asked, cast.pm)
    decide(asked, cast.legal)
    url = product.mail_to(cast.legal.email, "This was not me").link("/not-me/")
    page = guests.open(url, **PHONE)
    page.check("#id_sure")
    page.click("main form .btn.bad")
    expect(page.locator("h1")).to_contain_text("Security has been called")

    link = product.mail_to(cast.security.email, "Sakura Ito").link("/requests/")
    guard = guests.open(link, cast.security, **PHONE)
    expect(guard.locator("main")).to_contain_text("the other approvals stand")
    tick(guard, "verdict", "again")
    look(guard, "doubt-again-phone")
    guard.fill("#id_reason", "Sakura was on a train: her mailbox was open.")
    guard.click("main form .btn.pri")
    expect(guard.locator(".messages")).to_contain_text("Recorded")
    assert "her mailbox was open" in product.mail_to(cast.requester.email, "mailbox").text

    mine = guests.open(f"/requests/{asked.public_id}/", cast.requester, **DESKTOP)
    expect(mine.locator("main")).to_contain_text("security sent it back")
    look(mine, "sent-back-by-security")
    mine.get_by_role("link", name="Edit and submit again").click()
    mine.wait_for_url("**/edit/")
    mine.click("[name=action][value=submit]")
    mine.wait_for_url(f"**/requests/{asked.public_id}/")
    expect(mine.locator(".path")).to_contain_text("stands since revision 1")
    expect(mine.locator("main")).to_contain_text("The approval by Legal counts no more")
    look(mine, "asked-again")

    again = product.mail_to(cast.legal.email, "Revision").link("/decide/", "answer=approve")
    cast.legal.refresh_from_db()  # her password went with the doubt
    page = guests.open(again, cast.legal, **PHONE)
    expect(page.locator("main")).to_contain_text("was not genuine. It counts no more")
    expect(page.locator("main")).not_to_contain_text("Sakura Ito approved revision 1.")
    look(page, "decide-again-phone")
    page.check("[name=answer][value=approve]")
    page.click("main form .btn.pri")
    page.wait_for_url("**/decisions/*/")
    assert asked.decisions.filter(staff=cast.legal).count() == 2
    assert asked.decisions.get(staff=cast.pm).fallen_at is None
    decide(asked, cast.tech)
    assert Key.objects.filter(request_ref=asked.public_id).count() == 1


def test_a_consent_is_withdrawn_and_the_next_check_refused(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    star = cast.star.contacts.get(purposes__contains=["consent"])
    type(star).objects.filter(pk=star.pk).update(language="ja")
    asked = cast.request(cast.star_contract)
    decide(asked, cast.pm)
    consent(asked)
    decide(asked, cast.legal)
    decide(asked, cast.tech)
    key = Key.objects.get(request_ref=asked.public_id)
    _secret, text = reveal(key)
    gateway = make_gateway()
    assert product.verify(gateway, text, **asked_of(key))["code"] == "VALID"

    url = product.mail_to(star.email, "/withdraw/").link("/withdraw/")
    page = guests.open(url, language="ja", **PHONE)
    assert asked.title not in page.content()
    look(page, "withdraw-start")
    page.click("main form .btn.pri")
    code = re.search(r"\b\d{4} ?\d{4}\b", product.mail_to(star.email, "確認コード").text)
    assert code
    look(page, "withdraw-code")
    page.fill("#id_code", code[0])
    page.click("main form .btn.pri")
    look(page, "withdraw-sign")
    page.fill("#id_signed_name", "星野 光")
    page.fill("#id_signed_capacity", "本人")
    page.click("main form .btn.bad")
    page.wait_for_url("**/receipt/**")
    look(page, "withdrawn")
    assert product.verify(gateway, text, **asked_of(key))["code"] == "SUSPENDED"

    guard = guests.open(f"/keys/{key.public_id}/", cast.security, **DESKTOP)
    expect(guard.locator("main")).to_contain_text("withdrawn the consent")
    expect(guard.locator("[data-open=reactivate]")).to_have_count(0)
    look(guard, "key-without-consent")
    assert key.public_id in product.mail_to(cast.security.email).text
    assert product.mail_to(star.email, "撤回を受け付け").link("/receipt/")


def test_an_emergency_key_suspends_itself_after_a_day(cast: Cast, product: Product, guests: Visitor) -> None:
    page = guests.open("/", cast.security, **DESKTOP)
    begin_request(page, cast.company.public_id)
    fill_request(page)
    tick(page, "contract", cast.small.public_id)
    page.fill("#id_rpm", "1,500")
    page.fill("#id_rph", "40,000")
    expect(page.locator("#path-panel")).to_contain_text("Ready to submit")
    page.click("[name=action][value=break-glass]")
    page.wait_for_url("**/emergency/")
    look(page, "break-glass")
    number = page.url.rstrip("/").split("/")[-2]
    page.fill("#id_reason", "The parcel tracker is down.")
    page.fill("#id_incident", "INC-7")
    page.locator("[data-confirm]").fill(number)
    page.locator("[data-danger]").click()
    expect(page.locator("main")).to_contain_text("Emergency: the key was issued before these approvals.")
    look(page, "request-running")

    asked = Request.objects.get(public_id=number)
    key = Key.objects.get(request_ref=number)
    text = collect(guests, product, key.recipient.email)
    gateway = make_gateway()
    first = product.verify(gateway, text, **asked_of(key))
    assert (first["code"], first["remaining"]["hour"]) == ("VALID", 999)
    page.goto(f"/keys/{key.public_id}/")
    look(page, "key-running")
    assert "INC-7" in product.mail_to(cast.coo.email).text

    decider = guests.open(f"/requests/{number}/decide/", cast.pm, **PHONE)
    expect(decider.locator("main")).to_contain_text("The parcel tracker is down.")
    look(decider, "decide")
    decide(asked, cast.pm)
    late = timezone.now() + settings.EMERGENCY_LIFETIME + timedelta(minutes=1)
    assert suspend_late_emergencies(now=late) == 1
    assert product.verify(gateway, text, **asked_of(key))["code"] == "SUSPENDED"
    told = Message.objects.filter(kind="emergency_late", recipient_ref=cast.coo.public_id)
    assert told.count() == 1  # of tomorrow: the mail leaves then
    page.goto(f"/requests/{number}/")
    look(page, "request-late")

    decide(asked, cast.legal)
    decide(asked, cast.tech)
    guard = guests.open(f"/keys/{key.public_id}/", cast.ops, **DESKTOP)
    guard.locator(".head [data-open=reactivate]").click()
    dialog = guard.locator("dialog#reactivate")
    dialog.locator("[name=reason]").fill("All approvals are there.")
    dialog.locator("button.pri").click()
    expect(guard.locator(".messages")).to_be_visible()
    again = product.verify(gateway, text, **asked_of(key))
    assert again["code"] == "VALID"
    assert again["remaining"]["hour"] > 30_000
