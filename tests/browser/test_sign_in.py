"""Signing in by hand, by app, by passkey, without JavaScript; and the small controls of a page."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from tests.accounts.test_sign_in import WIDE, code_of
from tests.browser.people import give_app
from tests.cast import PASSWORD, make_staff

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(locale="en-GB", permissions=["clipboard-read", "clipboard-write"])
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which any script error or breach of the CSP fails the test."""
    troubles: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on(
        "console",
        lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None,
    )
    yield opened
    assert not troubles


def sign_in_by_hand(page: Page, base: str, person: User, *, to: str = "/accounts/profile/") -> None:
    page.goto(f"{base}/sign-in/?next={to}")
    page.fill("#id_login", person.email)
    page.fill("#id_password", PASSWORD)
    page.click("main form .btn.pri")


def set_up_app(page: Page) -> str:
    """Set up an authenticator app from the page that demands one; returns its secret."""
    page.click("a[href='/sign-in/second-factor/app/add/']")
    secret = (page.text_content("#totp-secret") or "").strip()
    page.fill("#id_code", code_of(secret))
    page.click("main form .btn.pri")
    page.wait_for_url("**/recovery-codes/")
    return secret


def test_address_and_code_may_be_typed_full_width(live_server: Any, page: Page) -> None:
    tech = make_staff("Naoto", "tech", address="naoto@kagiban.example")
    secret = give_app(tech)
    page.goto(f"{live_server.url}/sign-in/?next=/accounts/profile/")
    page.fill("#id_login", "ｎａｏｔｏ＠ｋａｇｉｂａｎ．ｅｘａｍｐｌｅ")
    page.fill("#id_password", PASSWORD)
    page.click("main form .btn.pri")
    page.fill("#id_code", code_of(secret).translate(WIDE))
    page.click("main form .btn.pri")
    page.wait_for_url("**/accounts/profile/")


def test_a_tech_sets_up_an_app_then_a_passkey_and_signs_in_by_it(
    live_server: Any, context: BrowserContext, page: Page
) -> None:
    base = live_server.url
    tech = make_staff("Naoto", "tech")
    sign_in_by_hand(page, base, tech)
    page.wait_for_url("**/accounts/second-factor/")
    set_up_app(page)
    expect(page.locator(".codes li")).to_have_count(10)

    wire = context.new_cdp_session(page)
    wire.send("WebAuthn.enable")
    device = {"protocol": "ctap2", "transport": "internal", "automaticPresenceSimulation": True}
    device |= {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    wire.send("WebAuthn.addVirtualAuthenticator", {"options": device})
    page.goto(f"{base}/sign-in/second-factor/passkeys/add/")
    page.check("[name=passwordless]")
    page.click("main form .btn.pri")
    page.wait_for_url("**/sign-in/second-factor/")
    assert Authenticator.objects.filter(user=tech, type="webauthn").count() == 1

    page.click(".side .me button")
    page.wait_for_url("**/sign-in/")
    page.goto(f"{base}/sign-in/?next=/accounts/profile/")
    page.click("form[data-passkey] button")
    page.wait_for_url("**/accounts/profile/")
    expect(page.locator("h1")).to_have_text("Profile")


def test_a_passkey_that_is_refused_leaves_the_other_ways_open(
    live_server: Any, context: BrowserContext, page: Page
) -> None:
    wire = context.new_cdp_session(page)
    wire.send("WebAuthn.enable")
    device = {"protocol": "ctap2", "transport": "internal", "automaticPresenceSimulation": True}
    device |= {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": False}
    wire.send("WebAuthn.addVirtualAuthenticator", {"options": device})
    page.goto(f"{live_server.url}/sign-in/")
    page.click("form[data-passkey] button")
    expect(page.locator("[data-passkey-trouble]")).to_be_visible(timeout=10_000)
    expect(page.locator("#id_password")).to_be_enabled()


def test_signing_in_and_switching_language_and_theme_work_without_javascript(
    live_server: Any, chromium: Browser
) -> None:
    plain = chromium.new_context(java_script_enabled=False, locale="en-GB")
    page = plain.new_page()
    sign_in_by_hand(page, live_server.url, make_staff("Misaki", "pm"))
    page.wait_for_url("**/accounts/profile/")
    page.click(".top form[action='/accounts/language/'] button")
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    page.click(".top form[action='/accounts/theme/'] button")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    plain.close()


def test_the_theme_switches_in_place_and_stays(live_server: Any, page: Page) -> None:
    page.goto(f"{live_server.url}/sign-in/")
    page.fill("#id_login", "half-typed")
    page.click("[data-theme-form] button")
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.input_value("#id_login") == "half-typed", "nothing was reloaded"
    page.reload()
    assert page.get_attribute("html", "data-theme") == "dark"


def test_an_account_is_closed_only_once_its_number_is_typed(live_server: Any, page: Page) -> None:
    admin, pm = make_staff("Taro", "admin"), make_staff("Misaki", "pm")
    sign_in_by_hand(page, live_server.url, admin)
    set_up_app(page)
    page.goto(f"{live_server.url}/accounts/staff/{pm.public_id}/deactivate/")
    assert "second-factor/again" not in page.url, "a factor that was set up a moment ago counts as given"
    danger = page.locator("[data-danger]")
    expect(danger).to_be_disabled()
    page.fill("#id_reason", "Left the company")
    page.fill("#id_confirm", pm.public_id.lower())
    expect(danger).to_be_enabled()
    danger.click()
    expect(page.locator(".messages")).to_contain_text("is closed")


def test_the_keys_find_the_search_the_pages_and_their_own_list(live_server: Any, page: Page) -> None:
    sign_in_by_hand(page, live_server.url, make_staff("Misaki", "pm"))
    page.wait_for_url("**/accounts/profile/")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("Control+k")
    page.keyboard.type("team")
    expect(page.locator("#finder-pages li:visible")).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/staff/")


def test_the_first_load_is_small_and_from_here(live_server: Any, page: Page) -> None:
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page.goto(f"{live_server.url}/sign-in/")
    page.wait_for_load_state("networkidle")
    assert all(re.match(rf"{re.escape(live_server.url)}/", url) for url in sizes)
    assert len(sizes) <= 7, sorted(sizes)
    assert sum(sizes.values()) < 200_000, sizes
