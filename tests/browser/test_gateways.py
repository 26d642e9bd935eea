"""Gateways' pages in a real browser: a credential is added, shown once, rotated; on a desktop and a phone."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.people import assert_accessible
from tests.cast import make_staff, sign_in
from verifier.models import Gateway

pytestmark = pytest.mark.django_db(transaction=True)


def look(page: Page, name: str) -> None:
    """The page has no finding of axe and does not scroll sideways; kept as a picture where one is wanted."""
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    folder = os.environ.get("GATEWAY_PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, {"width": 390, "height": 844}])
def test_gateway_from_first_credential_to_its_end(
    chromium: Browser, live_server: Any, size: dict[str, int]
) -> None:
    context = chromium.new_context(base_url=live_server.url, viewport=size, locale="en-GB")  # type: ignore[arg-type]
    cookies = sign_in(make_staff("Naoto Takahashi", "tech")).cookies
    context.add_cookies(
        [{"name": name, "value": cookie.value, "url": live_server.url} for name, cookie in cookies.items()]
    )
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    wide = size["width"]

    page.goto("/gateways/")
    look(page, f"empty-{wide}")
    page.get_by_role("link", name="Add a gateway").first.click()
    page.get_by_role("textbox", name="Name Required").fill("Edge in Tokyo")
    page.get_by_label("May ask from").fill("203.0.113.0/24")
    look(page, f"add-{wide}")
    page.get_by_role("button", name="Add", exact=True).click()
    secret = page.locator("#credential")
    expect(secret).to_contain_text("kbg_live_")
    text = secret.inner_text()
    look(page, f"shown-{wide}")
    page.get_by_role("link", name="It is stored").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Edge in Tokyo")
    assert text not in page.content()
    page.get_by_role("button", name="Rotate the credential").click()
    expect(page.locator("#credential")).not_to_have_text(text)
    page.get_by_role("link", name="It is stored").click()
    look(page, f"detail-{wide}")
    number = Gateway.objects.get().public_id
    page.get_by_label("to confirm").fill(number)
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("button", name="Disable")).to_have_count(0)
    page.goto("/gateways/")
    look(page, f"list-{wide}")
    assert troubles == []
    context.close()
