"""Every page of the portal in both languages, light and dark, on a desktop and on a phone (S5, S6).

Each must be without a finding of axe, a breach of the CSP and a script's error, and must not scroll sideways
on a phone. `SCREENSHOTS=1` keeps a picture of each in var/screenshots/.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.urls import reverse
from playwright.sync_api import Browser, Error, Page

from accounts.models import User
from accounts.roles import Role
from approvals.models import ConsentCode
from core.links import code_of
from partners.models import Contact
from tests.browser.people import Visitor, assert_accessible, assert_fits, give_app
from tests.permissions import test_every_url as urls
from tests.permissions.test_every_url import PUBLIC, ROWS, World

pytestmark = pytest.mark.django_db(transaction=True)
PICTURES = Path(__file__).resolve().parents[2] / "var" / "screenshots"
WIDTHS = {1440: 900, 390: 844}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# What axe looks at: the rest differs in words or in colours that one of these shows, too.
EXAMINED = {("en", "light", 1440), ("ja", "dark", 390)}
# Tests that share the pages of a language, so that no core waits for the last of them.
N_PARTS = 3

# These have no page: they answer with a file or JSON, take forms from other pages, or lead on.
NO_PAGE = {
    "healthz",
    "readyz",
    "keys:key-export",
    "keys:key-redeliver",
    "keys:delivery-confirm",
    "keys:delivery-renew",
    "keys:delivery-test",
    "approvals:request-path-panel",
    "approvals:request-copy",
    "approvals:request-pull-back",
    "approvals:policy-copy",
    "approvals:policy-propose",
    "approvals:policy-take-back",
    "approvals:policy-withdraw",
    "approvals:policy-decide",
    "approvals:step-ask-again",
    "approvals:delegation-give",
    "approvals:delegation-end",
    "approvals:role-deputy-add",
    "approvals:role-deputy-remove",
    "approvals:standing-deputy",
    "approvals:link-renew",
    "approvals:consent-code",
    "approvals:consent-terms",
    "approvals:consent-answer",
    "approvals:consent-language",
    "approvals:consent-renew",
    "approvals:withdraw-code",
    "approvals:withdraw-sign",
    "approvals:withdraw-answer",
    "verifier:gateway-disable",
    "verifier:block-lift",
    "verifier:credential-rotate",
    "verifier:credential-revoke",
    "accounts:form-kept",
    "accounts:language-set",
    "accounts:theme-set",
    "accounts:staff-roles",
    "accounts:staff-renew-invitation",
    "account_logout",
    "account_set_password",
    "mfa_authenticate",
    "mfa_login_webauthn",
    "mfa_download_recovery_codes",
    "mfa_reauthenticate_webauthn",
    "audit:event-bytes",
    "audit:event-export",
    "notifications:message-retry",
    "notifications:bounce-hook",
    "intake:mail-take",
    "intake:mail-set-aside",
    "intake:mail-bring-back",
}
# Who looks at a page; else whoever of these is let in first.
LOOKERS = (Role.ADMIN, Role.SECURITY, Role.PM, Role.REQUESTER, Role.TECH, Role.LEGAL)
ITS_LOOKER = {
    "mfa_activate_totp": "pm",
    "accounts:second-factor": "tech",
    "home": "pm",
    "approvals:request-list": "pm",
    "intake:mail-detail": "pm",
}


@pytest.fixture
def world(transactional_db: None) -> World:
    """Committed, because a server of its own thread shows it."""
    return urls.make_world()


@dataclass(frozen=True)
class Sight:
    """One page with the person who looks at it."""

    name: str
    url: str
    person: User | None


def sights(world: World) -> Iterator[Sight]:
    for name, row in ROWS.items():
        if name in NO_PAGE:
            continue
        role = ITS_LOOKER.get(name) or next((role for role in LOOKERS if row.lets_in(role)), None)
        if row.who != PUBLIC and role is None:
            continue
        person = None if row.who == PUBLIC else world.cast.everyone[str(role)]
        yield Sight(name.replace(":", "-"), reverse(name, kwargs=row.path(world)), person)
    yield Sight("error-404", "/no-such-page", None)
    yield Sight("error-403", "/audit/", world.cast.requester)


def share(world: World, part: int) -> list[Sight]:
    """What this part looks at: one person's pages stand together, since each person is a browser."""
    every = sorted(sights(world), key=lambda sight: sight.person.pk if sight.person else 0)
    size = -(-len(every) // N_PARTS)
    return every[part * size : (part + 1) * size]


def speak(world: World, language: str) -> None:
    """Everybody reads this language."""
    User.objects.update(language=language)
    Contact.objects.update(language=language)
    admin = world.cast.admin
    give_app(admin)
    RecoveryCodes.activate(admin)


@pytest.mark.parametrize("part", range(N_PARTS))
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page(language: str, part: int, world: World, chromium: Browser, live_server: Any) -> None:
    speak(world, language)
    visitor = Visitor(chromium, live_server.url)
    pages: dict[str, Page] = {}
    findings: dict[str, str] = {}
    for sight in share(world, part):
        looker = sight.person.public_id if sight.person else ""
        if looker not in pages:
            pages[looker] = visitor.browser(sight.person, language=language, reduced_motion="reduce")
        page = pages[looker]
        try:
            response = page.goto(sight.url)
        except Error as error:
            findings[sight.name] = error.message.splitlines()[0]
            continue
        assert response is not None
        if not sight.name.startswith("error-") and (
            response.status != 200 or response.request.redirected_from
        ):
            findings[sight.name] = f"answers {response.status} at {page.url}"
            continue
        examine(page, sight.name, language, findings)
    end_visit(visitor, findings)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_answer(language: str, world: World, chromium: Browser, live_server: Any) -> None:
    """Pages that only the answer to a form shows."""
    speak(world, language)
    visitor = Visitor(chromium, live_server.url)
    findings: dict[str, str] = {}
    for name, walk in WALKS.items():
        page = visitor.browser(language=language, reduced_motion="reduce")
        walk(page, world)
        examine(page, name, language, findings)
    end_visit(visitor, findings)


def end_visit(visitor: Visitor, findings: dict[str, str]) -> None:
    visitor.close()
    assert not findings, "\n".join(f"{name}: {found}" for name, found in findings.items())
    assert visitor.troubles == []


def read_terms(page: Page, world: World) -> None:
    """To the terms that a rights-holder consents to: they stand behind the code."""
    page.goto(reverse("approvals:consent-start", kwargs=urls.consent_link(world)))
    page.click("main form .btn.pri")
    page.fill("#id_code", code_of(bytes(ConsentCode.objects.latest("id").nonce)))
    page.click("main form .btn.pri")
    page.wait_for_selector("#consent")


def reveal_key(page: Page, world: World) -> None:
    """To the page that shows a key once."""
    page.goto(reverse("keys:delivery-collect", kwargs=urls.delivery(world)))
    page.click("main form .btn.pri")
    page.wait_for_selector("#the-key")


WALKS: dict[str, Callable[[Page, World], None]] = {
    "approvals-consent-terms": read_terms,
    "keys-delivery-revealed": reveal_key,
}


def examine(page: Page, name: str, language: str, findings: dict[str, str]) -> None:
    """Look at what the page shows now in every theme and width in which there is something to find."""
    assert page.get_attribute("html", "lang") == language, name
    for theme in THEMES:
        for width, height in WIDTHS.items():
            if not is_looked_at(language, theme, width):
                continue
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": height})
            try:
                look(page, name, language, theme, width)
            except AssertionError as trouble:
                findings[f"{language}-{theme}-{width}-{name}"] = str(trouble)


def is_looked_at(language: str, theme: str, width: int) -> bool:
    """Whether `look` does anything: to draw a page once more takes as long as half of its load."""
    return width == 390 or (language, theme, width) in EXAMINED or bool(os.environ.get("SCREENSHOTS"))


def look(page: Page, name: str, language: str, theme: str, width: int) -> None:
    if width == 390:
        assert_fits(page)
    if (language, theme, width) in EXAMINED:
        assert_accessible(page)
    if os.environ.get("SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"{language}-{theme}-{width}-{name}.png", full_page=True)
