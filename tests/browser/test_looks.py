"""What stands on a screen: rows a desktop can hold, lists that a phone begins with, a folding form, days."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from approvals.models import Request
from approvals.requests.drafts import draft_of
from intake.services.receiving import receive_mail
from keys.terms.terms import office_day
from tests.browser.people import DESKTOP, PHONE, Visitor, assert_accessible, assert_fits
from tests.cast import Cast, make_contract, make_draft, make_partner
from tests.key_stories import reveal

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "株式会社みなとエンタテインメント・ロジスティクス・ホールディングス東日本"
LISTS = (
    "/keys/",
    "/approvals/?view=all",
    "/requests/?view=review",
    "/partners/",
    "/accounts/staff/",
    "/mail/",
)
HEIGHTS = (
    "[...document.querySelectorAll('.tbl.cards tbody tr')].map(row => row.getBoundingClientRect().height)"
)

BEYOND = (
    "document.querySelector('.tbl.cards').getBoundingClientRect().right"
    " - document.querySelector('.card').getBoundingClientRect().right"
)


@pytest.fixture
def lists(cast: Cast) -> Cast:
    """Something with a long name in every list."""
    partner = make_partner(LONG)
    contract = make_contract(partner)
    reveal(
        cast.key(
            contract, name="在庫と配送状況の照会（本番環境・東日本倉庫の全拠点から）", environment="test"
        )
    )
    cast.key(name="Parcels")
    cast.request(contract, name="An uncommonly long name of a key for all warehouses in the east of Japan")
    cast.pm.name, cast.pm.department = "Alexandrina Featherstonehaugh-Montgomery", "Overseas partnerships"
    cast.pm.save(update_fields=["name", "department"])
    letter = (
        f"From: {LONG} <a.very.long.address.of.somebody@partner.example>\nSubject: {LONG}\n\nA key, please.\n"
    )
    receive_mail(raw=letter.encode(), via="pipe", now=timezone.now())
    return cast


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_row_is_two_lines_on_a_desktop(lists: Cast, visitor: Visitor, language: str) -> None:
    page = visitor.browser(lists.pm, language=language, **DESKTOP)
    lists.pm.language = language
    lists.pm.save(update_fields=["language"])
    for path in LISTS:
        page.goto(path)
        heights = page.evaluate(HEIGHTS)
        assert heights, path
        assert all(48 <= height <= 56 for height in heights), (path, heights)
        assert page.evaluate(BEYOND) <= 1, (path, "the table is wider than its card")
        folded = page.locator(".filter-fold select")
        if folded.count():
            expect(folded.first).to_be_visible()


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("plain", [False, True], ids=["script", "no-script"])
def test_a_phone_s_first_screen_shows_what_is_in_the_list(
    lists: Cast, visitor: Visitor, path: str, plain: bool
) -> None:
    page = visitor.open(path, lists.pm, java_script_enabled=not plain, **PHONE)
    first = page.locator(".tbl.cards tbody tr").first.bounding_box()
    assert first
    assert first["y"] < 500, "the list begins in the upper two thirds"
    fold = page.locator(".filter-fold > summary")
    if fold.count():
        expect(page.locator(".filter-fold select").first).to_be_hidden()
        fold.click()
        expect(page.locator(".filter-fold select").first).to_be_visible()
    if not plain:
        assert_fits(page)
        assert_accessible(page)


def test_what_is_set_stands_as_chips_while_the_filters_are_folded(lists: Cast, visitor: Visitor) -> None:
    page = visitor.open("/keys/?environment=test", lists.pm, **PHONE)
    expect(page.locator(".filter-fold select").first).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("Test")
    page.locator(".filter-fold > summary").click()
    page.select_option("#id_environment", "live")
    expect(page.locator(".chip")).to_contain_text("Production")


# --- the request form -----------------------------------------------------------------------------


def open_draft(cast: Cast, visitor: Visitor, **options: Any) -> tuple[Request, Page]:
    draft = make_draft(cast.company, cast.requester, draft_of(cast.terms()) | {"purpose": ""})
    return draft, visitor.open(f"/requests/{draft.public_id}/edit/", cast.requester, **options)


def folded(page: Page) -> list[str]:
    return page.eval_on_selector_all(".part:not([open])", "parts => parts.map(part => part.id)")  # type: ignore[no-any-return]


def test_what_is_done_folds_to_a_line_and_what_is_missing_is_open(cast: Cast, visitor: Visitor) -> None:
    _draft, page = open_draft(cast, visitor, **DESKTOP)
    assert "part-purpose" not in folded(page)
    assert folded(page) == [
        "part-people",
        "part-api",
        "part-contract",
        "part-limits",
        "part-budget",
        "part-life",
    ]
    expect(page.locator("#says-limits")).to_contain_text("Requests a minute 100")
    assert page.evaluate("document.documentElement.scrollHeight") < 1_500
    assert_accessible(page)
    page.locator("#part-limits > summary").click()
    expect(page.locator("#says-limits")).to_be_hidden()
    page.fill("#id_rpm", "90")
    page.locator("#id_rpm").blur()
    expect(page.locator("#says-limits")).to_contain_text("Requests a minute 90")
    page.locator("#part-limits > summary").click()
    expect(page.locator("#says-limits")).to_be_visible()


@pytest.mark.parametrize("plain", [False, True], ids=["script", "no-script"])
def test_a_part_with_a_mistake_is_open(cast: Cast, visitor: Visitor, plain: bool) -> None:
    _draft, page = open_draft(cast, visitor, java_script_enabled=not plain, **DESKTOP)
    page.fill("#id_purpose", "Shows parcels.")
    page.locator("#part-limits > summary").click()
    page.fill("#id_rpm", "none")
    page.click("[name=action][value=submit]")
    expect(page.locator("#id_rpm")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#id_rpm")).to_be_visible()
    assert "part-limits" not in folded(page)
    assert "part-purpose" in folded(page)


def test_a_link_to_a_field_opens_its_part(cast: Cast, visitor: Visitor) -> None:
    draft, page = open_draft(cast, visitor, **DESKTOP)
    page.goto(f"/requests/{draft.public_id}/edit/#id_expires_on")
    expect(page.locator("#id_expires_on")).to_be_visible()


def test_the_form_s_hints_stand_beside_its_fields(cast: Cast, visitor: Visitor) -> None:
    _draft, page = open_draft(cast, visitor, **DESKTOP)
    page.locator("#part-limits > summary").click()
    for name in ("burst", "purpose"):
        field = page.locator(f"#id_{name}").bounding_box()
        hint = page.locator(f"#id_{name}_helptext").bounding_box()
        assert field
        assert hint
        assert hint["y"] < field["y"] + field["height"], name
        assert hint["x"] + hint["width"] <= field["x"] or hint["x"] >= field["x"] + field["width"], name


# --- days -----------------------------------------------------------------------------------------


def test_a_day_is_typed_as_people_do_or_chosen_in_the_browser_s_calendar(
    cast: Cast, visitor: Visitor
) -> None:
    page = visitor.open("/deputies/", cast.pm, **DESKTOP)
    button = page.get_by_role("button", name=re.compile("^First day.* Choose in a calendar$"))
    page.fill("#id_since", "2027/5/31")
    assert_accessible(page)
    page.evaluate(
        "HTMLInputElement.prototype.showPicker = function () {"
        " window.shown = this.value; this.value = '2027-06-01';"
        " this.dispatchEvent(new Event('change', {bubbles: true})) }"
    )
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("window.shown") == "2027-05-31", "the calendar opens where the field stands"
    assert page.input_value("#id_since") == "2027-06-01"
    expect(page.locator("#id_since")).to_be_focused()


def test_the_browser_shows_its_calendar(cast: Cast, visitor: Visitor) -> None:
    page = visitor.open("/deputies/", cast.pm, **DESKTOP)
    page.get_by_role("button", name=re.compile("^First day.* Choose in a calendar$")).click()
    page.keyboard.press("Enter")
    expect(page.locator("#id_since")).to_have_value(office_day(timezone.now()).isoformat())


def test_without_javascript_a_day_is_a_text_field(cast: Cast, visitor: Visitor) -> None:
    draft, page = open_draft(cast, visitor, java_script_enabled=False, **PHONE)
    page.locator("#part-life > summary").click()
    expect(page.locator("[data-calendar]")).to_be_hidden()
    day = office_day(timezone.now()) + timedelta(days=30)
    page.fill("#id_expires_on", f"令和{day.year - 2018}年{day.month}月{day.day}日")
    page.locator(".form-bar [value=save]").click()
    page.fill("#id_purpose", "Shows parcels.")
    page.click("[name=action][value=submit]")
    page.wait_for_url(f"**/requests/{draft.public_id}/")
    draft.refresh_from_db()
    assert draft.revisions.get().terms["expires_on"] == day.isoformat()
