"""Browsers of the tests: pages whose troubles are kept, people who sign in, and what every page must be."""

from dataclasses import dataclass, field
from typing import Any

from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from accounts.models import User
from tests.accounts.test_sign_in import code_of
from tests.cast import PASSWORD, sign_in

# Only violations are told in full: selectors of everything that is well take as long as half of the rules.
WCAG = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
LOCALES = {"en": "en-GB", "ja": "ja-JP"}
# A page that says 404 or 409 on purpose is no trouble; the browser reports each as a failed load.
EXPECTED = "Failed to load resource: the server responded with a status of 4"
WATCH = """
addEventListener("securitypolicyviolation", event =>
    console.error(`CSP: ${event.violatedDirective} refused ${event.blockedURI || "inline"}`))
"""


@dataclass
class Visitor:
    """Opens pages on which any script error or breach of the CSP is kept in `troubles`."""

    chromium: Browser
    base: str
    troubles: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def browser(self, person: User | None = None, *, language: str = "en", **options: Any) -> Page:
        """An empty page of a fresh browser, signed in as `person`."""
        context = self.chromium.new_context(
            base_url=self.base,
            locale=LOCALES[language],
            permissions=["clipboard-read", "clipboard-write"],
            **options,
        )
        self.contexts.append(context)
        context.set_default_timeout(30_000)
        if person is not None:
            self.give_session(context, person)
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(f"{page.url}: {error}"))
        page.on("console", lambda said: self._hear(page, said))
        return page

    def open(self, path: str, person: User | None = None, **options: Any) -> Page:
        """This page in a fresh browser, signed in as `person`."""
        page = self.browser(person, **options)
        page.goto(path)
        return page

    def give_session(self, context: BrowserContext, person: User, *, minutes_ago: int = 0) -> None:
        """Sign a browser in without the pages for it, as it would be after so many minutes."""
        client = sign_in(person)
        session = client.session
        for proof in session["account_authentication_methods"]:
            proof["at"] -= minutes_ago * 60
        session.save()
        cookies = client.cookies
        context.add_cookies(
            [{"name": name, "value": cookie.value, "url": self.base} for name, cookie in cookies.items()]
        )

    def close(self) -> None:
        """Close every browser."""
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def _hear(self, page: Page, said: ConsoleMessage) -> None:
        if said.type == "error" and not said.text.startswith(EXPECTED):
            self.troubles.append(f"{page.url}: {said.text}")


def give_app(person: User) -> str:
    """Set up an authenticator app for a person; returns its secret."""
    secret: str = generate_totp_secret()
    TOTP.activate(person, secret)
    return secret


def sign_in_by_hand(page: Page, person: User, secret: str = "") -> None:
    """Fill the sign-in form that the page shows, with the code of the app where there is one."""
    page.fill("#id_login", person.email)
    page.fill("#id_password", PASSWORD)
    page.click("main form .btn.pri")
    if secret:
        page.fill("#id_code", code_of(secret))
        page.click("main form .btn.pri")


def assert_fits(page: Page) -> None:
    """Nothing makes the page scroll sideways."""
    # The answer to a form may have no document yet.
    page.wait_for_load_state("domcontentloaded")
    page.wait_for_selector("body", state="attached")
    wide = page.evaluate(
        "[document.documentElement.scrollWidth - innerWidth, [...document.querySelectorAll('main *')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, pre, .sr'))"
        ".slice(0, 3).map(e => e.outerHTML.slice(0, 150))]"
    )
    assert wide[0] <= 0, wide


def assert_accessible(page: Page) -> None:
    """axe finds nothing (WCAG 2.2 AA)."""
    found = Axe().run(page, options=WCAG).response["violations"]
    findings = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
    assert not findings, findings


def unfold(page: Page) -> None:
    """Open every part of the request form that is folded because it is done."""
    folded = page.locator(".part:not([open]) > summary")
    for _ in range(folded.count()):
        folded.first.click()
