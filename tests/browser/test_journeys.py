"""The main job from the first form to the last check, by the people who do it, on the product's processes."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import User
from approvals.models import Decision, Request
from audit.models import Event
from keys.models import Key
from keys.terms.terms import office_day
from partners.models import Partner
from tests.accounts.test_sign_in import code_of
from tests.browser.people import (
    DESKTOP,
    PHONE,
    Visitor,
    assert_accessible,
    assert_fits,
    give_app,
    sign_in_by_hand,
    unfold,
)
from tests.cast import Cast, decide
from tests.dataplane import early_in_a_minute, make_gateway
from tests.product import Product

pytestmark = pytest.mark.django_db(transaction=True)
RECIPIENT = "mio@minato-logi.example.jp"


# --- what people do ---------------------------------------------------------------------------------


def tick(page: Page, name: str, *values: str) -> None:
    """Choose these values of a group of boxes."""
    for value in values:
        page.check(f"[name={name}][value='{value}']")


def save(page: Page) -> None:
    """Send the form that the page is about."""
    page.click("main form .actions .btn.pri")
    expect(page.locator(".messages")).to_be_visible()


def register_partner(page: Page, monthly_amount: str) -> str:
    """Register a company with a contact, a contract and a workspace through the forms; returns its number."""
    today = office_day(timezone.now())
    page.goto("/partners/register/")
    tick(page, "kind", "company")
    page.fill("#id_name", "港ロジ株式会社")
    page.fill("#id_name_kana", "Minato Logi")
    save(page)
    page.wait_for_url("**/partners/PT-*/")
    home = page.url
    page.goto(f"{home}contacts/add/")
    page.fill("#id_name", "Mio Aoki")
    page.fill("#id_email", RECIPIENT)
    tick(page, "purposes", "technical", "billing")
    tick(page, "language", "en")
    save(page)
    page.goto(f"{home}contracts/add/")
    page.fill("#id_title", "Data licence")
    page.fill("#id_monthly_amount_jpy", monthly_amount)
    page.fill("#id_starts_on", (today - timedelta(days=3)).isoformat())
    page.fill("#id_ends_on", (today + timedelta(days=360)).isoformat())
    tick(page, "licence_level", "partner")
    page.fill("#id_terms_version", "2026-04")
    save(page)
    page.goto(f"{home}workspaces/add/")
    page.fill("#id_name", "Delivery app")
    page.fill("#id_code", "minato-delivery")
    save(page)
    return home.rstrip("/").rsplit("/", 1)[-1]


def begin_request(page: Page, number: str) -> None:
    """Open a draft for a partner."""
    page.goto(f"/requests/new/?partner={number}")
    page.get_by_role("button", name=re.compile("Begin the request|申請を")).click()
    page.wait_for_url("**/edit/")


def fill_request(page: Page) -> None:
    """Fill what a new request lacks; partner, workspace, recipient, contract and plan stand there already."""
    unfold(page)
    page.fill("#id_name", "Delivery status")
    tick(page, "products", "catalog")
    tick(page, "scopes", "catalog:read")
    tick(page, "purpose_category", "integration")
    page.fill("#id_purpose", "Shows our customers where their parcels are.")
    tick(page, "environment", "live")
    tick(page, "licence_checklist", "policy_read", "level_fits", "no_personal_data", "no_resale")
    page.fill("#id_rpm", "100")
    page.fill("#id_rph", "1,000")
    page.fill("#id_ip_ranges", "203.0.113.0/24")
    page.fill("#id_expires_on", (office_day(timezone.now()) + timedelta(days=180)).isoformat())


def submit(page: Page) -> Request:
    """Submit the form; the request as it is then."""
    page.click("[name=action][value=submit]")
    page.wait_for_url(re.compile(r"/requests/KR-\d+/$"))
    return Request.objects.get(public_id=page.url.rstrip("/").rsplit("/", 1)[-1])


def answer(page: Page, outcome: str = "approve", reason: str = "") -> None:
    """Give the answer on the page of a step, ticking its checklist where it has one."""
    for box in page.locator("[name=checklist]").all():
        box.check()
    tick(page, "answer", outcome)
    if reason:
        page.fill("[name=reason]", reason)
    page.click("main form .btn.pri")


def approve_by_mail(
    guests: Visitor, product: Product, person: User, *, secret: str = "", **options: Any
) -> Page:
    """Open the Approve link of the person's mail, sign in, look, and send the answer."""
    url = product.mail_to(person.email).link("/decide/", "answer=approve")
    page = guests.open(url, **options)
    sign_in_by_hand(page, person, secret)
    page.wait_for_url(url)
    expect(page.locator("[name=answer][value=approve]")).to_be_checked()
    assert Decision.objects.filter(staff=person).count() == 0, "opening a link decides nothing"
    assert_fits(page)
    assert_accessible(page)
    answer(page)
    page.wait_for_url("**/decisions/*/")
    return page


def collect(guests: Visitor, product: Product, address: str, **options: Any) -> str:
    """Reveal the key by the recipient's link on a phone; returns it after a second look showed nothing."""
    url = product.mail_to(address).link("/collect/")
    page = guests.open(url, **PHONE, **options)
    assert_fits(page)
    assert_accessible(page)
    page.get_by_role("button", name=re.compile("Reveal the key|キーを表示")).click()
    text = page.inner_text("#the-key").strip()
    assert_fits(page)
    assert_accessible(page)
    page.goto(url)
    assert text not in page.content()
    again = guests.open(url, **PHONE, **options)
    assert text not in again.content()
    expect(again.locator("#the-key")).to_have_count(0)
    return text


# --- the journeys -----------------------------------------------------------------------------------


def test_a_company_below_the_threshold_from_registration_to_revocation(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    app, security_app = give_app(cast.tech), give_app(cast.security)
    page = guests.open("/", **DESKTOP)
    sign_in_by_hand(page, cast.requester)
    page.wait_for_url(f"{product.base}/")
    number = register_partner(page, "30万円")
    assert Partner.objects.get(public_id=number).contracts.get().monthly_amount_jpy == 300_000

    begin_request(page, number)
    fill_request(page)
    panel = page.locator("#path-panel")
    expect(panel).to_contain_text("Ready to submit")
    expect(panel.locator("ol.path .role")).to_have_text(["PM", "Legal", re.compile("^Tech")])
    page.fill("#id_purpose", "A draft.")
    page.locator(".form-bar [value=save]").click()
    expect(page.locator(".messages")).to_contain_text("The draft is saved")
    assert product.sink.mails == []
    edit = page.url
    page.goto("/requests/")
    page.goto(edit)
    assert page.input_value("#id_purpose") == "A draft."
    expect(page.locator("[name=scopes][value='catalog:read']")).to_be_checked()
    assert_accessible(page)
    unfold(page)
    page.fill("#id_purpose", "Shows our customers where their parcels are.")
    asked = submit(page)
    expect(page.locator("main")).to_contain_text("Misaki Sato")

    done = approve_by_mail(guests, product, cast.pm)
    expect(done.get_by_role("status")).to_contain_text("Next: Legal")
    approve_by_mail(guests, product, cast.legal, **PHONE)
    last = approve_by_mail(guests, product, cast.tech, secret=app, **PHONE)
    key = Key.objects.get()
    expect(last.get_by_role("status")).to_contain_text(key.public_id)
    assert asked.decisions.count() == 3
    assert key.partner.identity_checks.count() == 1
    told = product.mail_to(cast.requester.email)
    assert key.public_id in told.text

    text = collect(guests, product, RECIPIENT)
    gateway = make_gateway()
    question = {"ip": "203.0.113.9", "scopes": ["catalog:read"], "workspace": "minato-delivery"}
    early_in_a_minute()
    first = product.verify(gateway, text, **question)
    assert first["code"] == "VALID", first
    second = product.verify(gateway, text, **question)
    assert (first["remaining"]["hour"], second["remaining"]["hour"]) == (999, 998)
    assert product.verify(gateway, text, **(question | {"ip": "198.51.100.1"}))["code"] != "VALID"

    page.goto("/keys/")
    expect(page.locator(".keys")).to_contain_text("Delivery status")
    page.locator(".keys .c-name a").first.click()
    expect(page.locator("h1")).to_contain_text("Delivery status")
    expect(page.locator("main")).to_contain_text("Naoto Takahashi")
    assert text not in page.content()

    guard = guests.open(f"/keys/{key.public_id}/", **DESKTOP)
    sign_in_by_hand(guard, cast.security, security_app)
    guard.wait_for_url(f"**/keys/{key.public_id}/")
    guard.locator(".head [data-open=revoke]").click()
    dialog = guard.locator("dialog#revoke")
    dialog.locator("select").select_option("leaked")
    dialog.locator("[data-confirm]").fill(key.public_id)
    dialog.locator("[data-danger]").click()
    expect(guard.get_by_text("A revoked key never comes back")).to_be_visible()
    assert product.verify(gateway, text, **question)["code"] == "REVOKED"

    guard.goto("/audit/")
    actions = set(Event.objects.values_list("action", flat=True))
    for action in ("partner.registered", "request.submitted", "key.issued", "secret.revealed", "key.revoked"):
        assert action in actions, sorted(actions)
    guard.goto(f"/audit/?q={key.public_id}")
    expect(guard.locator("main")).to_contain_text(key.public_id)
    assert text not in guard.content()


def submit_request(
    guests: Visitor, requester: User, partner: Partner, contract: str = "", **options: Any
) -> Request:
    """The form, filled and submitted by the requester for a partner of the cast."""
    page = guests.open("/", requester, **options)
    begin_request(page, partner.public_id)
    fill_request(page)
    if contract:
        tick(page, "contract", contract)
    return submit(page)


def test_above_the_threshold_the_coo_decides_too_with_a_fresh_second_factor(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    app = give_app(cast.coo)
    page = guests.open("/", cast.requester, **DESKTOP)
    begin_request(page, cast.company.public_id)
    fill_request(page)
    roles = page.locator("#path-panel ol.path .role")
    tick(page, "contract", cast.small.public_id)
    expect(roles).to_have_count(3)
    tick(page, "contract", cast.edge.public_id)
    expect(page.locator("#path-panel")).to_contain_text("Ready to submit")
    expect(roles).to_have_count(3)
    tick(page, "contract", cast.big.public_id)
    expect(roles).to_have_count(4)
    expect(roles.last).to_contain_text("COO")
    asked = submit(page)
    approve_by_mail(guests, product, cast.pm)
    decide(asked, cast.legal)
    decide(asked, cast.tech)

    url = product.mail_to(cast.coo.email).link("/decide/", "answer=approve")
    phone = guests.browser(**PHONE)
    guests.give_session(phone.context, cast.coo, minutes_ago=10)
    phone.goto(url)
    answer(phone)
    phone.wait_for_url("**/second-factor/again/**")
    assert not asked.decisions.filter(staff=cast.coo).exists()
    phone.fill("#id_code", code_of(app))
    phone.click("main form .btn.pri")
    phone.wait_for_url(f"{url}#answer")
    expect(phone.locator("[name=answer][value=approve]")).to_be_checked()
    expect(phone.locator("#answer .notice")).to_contain_text("Now send your answer")
    answer(phone)
    phone.wait_for_url("**/decisions/*/")
    expect(phone.get_by_role("status")).to_contain_text(Key.objects.get().public_id)
    assert product.mail_to(cast.company.contacts.get().email).link("/collect/")


def test_a_rights_holder_consents_on_a_phone_in_japanese(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    star = cast.star.contacts.get(purposes__contains=["consent"])
    star.language = "ja"
    star.save(update_fields=["language"])
    asked = submit_request(guests, cast.requester, cast.star, **DESKTOP)
    approve_by_mail(guests, product, cast.pm)

    url = product.mail_to(star.email).link("/consent/", "answer=approve")
    page = guests.open(url, language="ja", **PHONE)
    assert page.get_attribute("html", "lang") == "ja"
    assert asked.title not in page.content(), "the terms are for who has the code"
    assert_fits(page)
    assert_accessible(page)
    page.click("main form .btn.pri")
    code = re.search(r"\b\d{4} ?\d{4}\b", product.mail_to(star.email).text)
    assert code
    assert_fits(page)
    assert_accessible(page)
    page.fill("#id_code", code[0])
    page.click("main form .btn.pri")
    expect(page.locator("main")).to_contain_text(asked.title)
    assert_fits(page)
    assert_accessible(page)
    page.fill("#id_signed_name", "星野 光")
    page.fill("#id_signed_capacity", "本人")
    expect(page.locator("[name=answer][value=approve]")).to_be_checked()
    page.click("#consent .btn.pri")
    page.wait_for_url("**/receipt/**")
    expect(page.locator("main")).to_contain_text(asked.public_id)
    assert_fits(page)
    assert_accessible(page)
    decision = asked.decisions.get(contact=star)
    assert (decision.signed_name, decision.signed_capacity) == ("星野 光", "本人")
    receipt = guests.open(product.mail_to(star.email).link("/receipt/"), language="ja", **PHONE)
    expect(receipt.locator("main")).to_contain_text(str(decision.uid))
    assert "星野" not in receipt.inner_text("main"), "whoever has the address sees no names"

    again = guests.open(url, language="ja", **PHONE)
    expect(again.locator("[name=answer]")).to_have_count(0)
    approve_by_mail(guests, product, cast.legal)


def test_a_rejection_reaches_the_requester_with_its_reason_and_makes_no_key(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    asked = submit_request(guests, cast.requester, cast.company, cast.small.public_id, **DESKTOP)
    approve_by_mail(guests, product, cast.pm)
    url = product.mail_to(cast.legal.email).link("/decide/", "answer=reject")
    page = guests.open(url, **PHONE)
    sign_in_by_hand(page, cast.legal)
    page.wait_for_url(url)
    expect(page.locator("[name=answer][value=reject]")).to_be_checked()
    answer(page, "reject")
    expect(page.locator("#id_reason")).to_have_attribute("aria-invalid", "true")
    assert asked.decisions.count() == 1, "a rejection needs its reason"
    answer(page, "reject", "The contract names another licence level.")
    page.wait_for_url("**/decisions/*/")
    mail = product.mail_to(cast.requester.email)
    assert "The contract names another licence level." in mail.text
    asked.refresh_from_db()
    assert asked.state == Request.State.REJECTED
    assert not Key.objects.exists()
    late = guests.open(f"/requests/{asked.public_id}/", cast.requester, **PHONE)
    expect(late.locator("main")).to_contain_text("The contract names another licence level.")
    assert_fits(late)


def test_a_request_is_made_and_decided_without_javascript(
    cast: Cast, product: Product, guests: Visitor
) -> None:
    plain: dict[str, Any] = {"java_script_enabled": False}
    page = guests.open("/", cast.requester, **plain)
    begin_request(page, cast.company.public_id)
    expect(page.locator("#path-panel")).to_contain_text("fields to look at")
    page.fill("#id_name", "Delivery status")
    page.press("#id_name", "Enter")
    expect(page.locator(".messages")).to_contain_text("The draft is saved")
    assert product.sink.mails == []
    page.click("[name=action][value=submit]")
    expect(page.locator("#id_purpose")).to_have_attribute("aria-invalid", "true")
    assert page.input_value("#id_name") == "Delivery status"
    fill_request(page)
    tick(page, "contract", cast.big.public_id)
    page.locator(".form-bar [value=save]").click()
    expect(page.locator("#path-panel ol.path .role").last).to_contain_text("COO")
    asked = submit(page)

    url = product.mail_to(cast.pm.email).link("/decide/", "answer=approve")
    decider = guests.open(url, **PHONE, **plain)
    sign_in_by_hand(decider, cast.pm)
    answer(decider)
    decider.wait_for_url("**/decisions/*/")
    assert asked.decisions.get().staff == cast.pm
    assert product.mail_to(cast.legal.email).link("/decide/")
