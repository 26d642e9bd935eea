"""A deputy decides while somebody is away, or once nobody has answered: from the mail to the audit log."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django import Settings

from accounts.models import User
from approvals.deputies.services.reminding import keep_time
from approvals.models import Decision, Delegation
from core.business_time import office
from tests.browser.people import DESKTOP, PHONE, Visitor, assert_accessible, assert_fits, sign_in_by_hand
from tests.cast import Cast, decide, make_request, open_step
from tests.product import Product

pytestmark = pytest.mark.django_db(transaction=True)


def decide_by_mail(guests: Visitor, product: Product, person: User, words: str) -> Page:
    """Follow the mail's Approve on a phone, sign in, and give the answer; the page then."""
    mail = product.mail_to(person.email, words)
    page = guests.browser(**PHONE)
    page.goto(mail.link("/decide/", "answer=approve"))
    sign_in_by_hand(page, person)
    expect(page.locator("[name=answer][value=approve]")).to_be_checked()
    return page


def send(page: Page) -> None:
    page.click("main form .btn.pri")
    page.wait_for_url("**/decisions/**")


def last_open_moment(now: datetime) -> datetime:
    """When the office was last open: the tests run at night, too."""
    while not office().is_open(now):
        now -= timedelta(minutes=30)
    return now


def test_a_deputy_decides_while_somebody_is_away(cast: Cast, guests: Visitor, product: Product) -> None:
    today = timezone.localdate()
    page = guests.open("/deputies/", cast.legal, **PHONE)
    page.select_option("#id_deputy", cast.pm2.public_id)
    page.fill("#id_since", today.isoformat())
    page.fill("#id_until", (today + timedelta(days=5)).isoformat())
    page.fill("#id_note", "夏季休暇")
    assert_fits(page)
    assert_accessible(page)
    page.get_by_role("button", name="Name the deputy").click()
    expect(page.locator(".messages")).to_contain_text("Ken Suzuki is your deputy")
    assert_fits(page)
    assert_accessible(page)
    delegation = Delegation.objects.get()
    assert "chosen you as deputy" in product.mail_to(cast.pm2.email, "deputy (").text

    request = cast.request()
    decide(request, cast.pm)
    page = decide_by_mail(guests, product, cast.pm2, "deputy of Sakura Ito")
    expect(page.locator("main")).to_contain_text("You decide in place of Sakura Ito, who is away.")
    assert_fits(page)
    assert_accessible(page)
    send(page)
    decision = Decision.objects.get(step__role="legal")
    assert (decision.staff, decision.on_behalf_of, decision.delegation) == (cast.pm2, cast.legal, delegation)

    page = guests.open(f"/requests/{request.public_id}/", cast.requester, **DESKTOP)
    expect(page.locator(".path")).to_contain_text("Ken Suzuki (for Sakura Ito)")
    page = guests.open(f"/audit/?thing=request:{request.public_id}", cast.auditor, **DESKTOP)
    expect(page.locator("main")).to_contain_text("Ken Suzuki (for Sakura Ito) approved the step “Legal”")

    page = guests.open("/deputies/", cast.legal, **DESKTOP)
    assert_accessible(page)
    page.get_by_role("button", name=f"End now {delegation.public_id}").click()
    expect(page.locator(".messages")).to_contain_text("The delegation has ended.")
    product.mail_to(cast.pm2.email, "has ended")


def test_a_late_step_goes_to_the_deputy_of_the_role(
    cast: Cast, guests: Visitor, product: Product, settings: Settings
) -> None:
    settings.STEP_LINK_LIFETIME = timedelta(days=30)  # the clock below stands before a weekend, perhaps
    page = guests.open("/deputies/", cast.admin, **DESKTOP)
    page.select_option("#id_role", "pm")
    page.select_option("#id_staff", cast.legal.public_id)
    page.get_by_role("button", name="Add as a deputy").click()
    expect(page.locator(".messages")).to_contain_text("Sakura Ito is a deputy now.")
    assert_fits(page)

    moment = last_open_moment(timezone.now())
    request = make_request(cast.terms(), cast.requester, now=moment - timedelta(days=14))
    assert keep_time(now=moment) == 1
    told = product.mail_to(cast.requester.email, "No answer in time")
    assert "Sakura Ito" in told.text
    page = guests.open(f"/requests/{request.public_id}/", cast.requester, **DESKTOP)
    expect(page.locator(".path")).to_contain_text("not answered in time")
    expect(page.locator(".path")).to_contain_text("Sakura Ito (deputy, by escalation)")
    page = decide_by_mail(guests, product, cast.legal, "as a deputy of the role")
    expect(page.locator("main")).to_contain_text("you decide as a deputy of the role")
    assert_accessible(page)
    send(page)
    decision = Decision.objects.get()
    assert (decision.staff, decision.basis) == (cast.legal, Decision.Basis.ESCALATION)
    assert open_step(request).role == "legal"
