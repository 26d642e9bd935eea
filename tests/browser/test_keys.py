"""The registry, a key's danger zone and the collect page, in a real browser: with and without JavaScript."""

from typing import Any

import pytest
from playwright.sync_api import Error, Page, expect

from audit.models import Event
from keys.models import Key, Secret
from tests.browser.people import PHONE, Visitor, assert_accessible, assert_fits
from tests.cast import Cast, make_contract, make_partner
from tests.key_stories import link_of, reveal

pytestmark = pytest.mark.django_db(transaction=True)


def assert_fits_and_is_accessible(page: Page) -> None:
    assert_fits(page)
    assert_accessible(page)


def numbers(page: Page) -> list[str]:
    return [text.split(" ")[0] for text in page.locator(".keys .c-name .sub .mono").all_inner_texts()]


# --- registry -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, PHONE, {"color_scheme": "dark"}], ids=["desktop", "phone", "dark"])
def test_filters_narrow_the_list_in_place_and_the_history_brings_it_back(
    cast: Cast, visitor: Visitor, options: dict[str, Any]
) -> None:
    parcels = cast.key(name="Parcels").public_id
    reveal(cast.key(make_contract(make_partner("つばめ配送株式会社")), environment="test"))
    other = Key.objects.latest("id").public_id
    page = visitor.open("/keys/", cast.pm, **options)
    assert set(numbers(page)) == {parcels, other}
    assert_fits_and_is_accessible(page)

    page.evaluate("window.stillHere = true")
    page.locator("#id_q").press_sequentially("つばめ")
    expect(page.locator(".keys tbody tr")).to_have_count(1)
    assert numbers(page) == [other]
    page.wait_for_url("**/keys/?q=*")
    if options == PHONE:
        page.get_by_text("Filters", exact=True).click()
    page.select_option("#id_environment", "live")
    expect(page.get_by_text("No key fits these filters")).to_be_visible()
    expect(page.locator(".chip")).to_have_count(2)
    assert page.evaluate("window.stillHere")

    page.go_back()
    expect(page.locator(".keys tbody tr")).to_have_count(1)
    page.locator(".chips a", has_text="Clear all").click()
    expect(page.locator(".keys tbody tr")).to_have_count(2)


def test_without_javascript_the_filters_are_a_form(cast: Cast, visitor: Visitor) -> None:
    cast.key(name="Parcels")
    found = cast.key(name="Orders").public_id
    page = visitor.open("/keys/", cast.pm, java_script_enabled=False)
    page.fill("#id_q", "orders")
    page.select_option("#id_environment", "live")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".keys tbody tr")).to_have_count(1)
    assert numbers(page) == [found]
    assert page.url.endswith("/keys/?q=orders&environment=live")
    page.locator(".chip").first.click()
    expect(page.locator(".keys tbody tr")).to_have_count(2)


def test_the_export_is_downloaded(cast: Cast, visitor: Visitor) -> None:
    key = cast.key()
    page = visitor.open("/keys/", cast.pm)
    with page.expect_download() as download:
        page.locator("#export button").click()
    text = download.value.path().read_text("utf-8-sig")
    assert key.public_id in text


# --- danger zone ----------------------------------------------------------------------------------


def test_a_key_is_revoked_in_a_dialog_once_its_number_is_typed(cast: Cast, visitor: Visitor) -> None:
    key = cast.key()
    reveal(key)
    page = visitor.open(f"/keys/{key.public_id}/", cast.security)
    page.locator(".head [data-open=revoke]").click()
    dialog = page.locator("dialog#revoke")
    expect(dialog).to_be_visible()
    assert_fits_and_is_accessible(page)
    button = dialog.locator("[data-danger]")
    dialog.locator("select").select_option("leaked")
    field, reason = dialog.locator("[data-confirm]"), dialog.locator(".mismatch")
    field.press_sequentially(key.public_id[:4])
    expect(button).to_be_disabled()
    expect(reason).to_be_empty()
    field.blur()
    expect(reason).to_have_text(f"This is not {key.public_id}.")
    field.fill("KB-X")
    expect(reason).to_have_text(f"This is not {key.public_id}.")
    assert_fits_and_is_accessible(page)
    field.fill(key.public_id.lower())
    expect(reason).to_be_empty()
    expect(button).to_be_enabled()
    button.dblclick()
    expect(page.get_by_text("never comes back")).to_be_visible()
    expect(page.locator("#danger-title")).to_have_count(0)
    assert Event.objects.filter(action="key.revoked").count() == 1


def test_a_key_is_suspended_and_started_again_without_javascript(cast: Cast, visitor: Visitor) -> None:
    key = cast.key()
    reveal(key)
    page = visitor.open(f"/keys/{key.public_id}/", cast.ops, java_script_enabled=False)
    page.locator(".head a", has_text="Suspend").click()
    page.fill("[name=reason]", "Odd hours of use.")
    page.get_by_role("button", name="Suspend", exact=True).click()
    expect(page.get_by_text("every call is refused")).to_be_visible()
    page.locator(".head a", has_text="Reactivate").click()
    page.fill("[name=reason]", "It was a backup job.")
    page.get_by_role("button", name="Reactivate", exact=True).click()
    expect(page.get_by_text("runs again")).to_be_visible()
    key.refresh_from_db()
    assert key.status == "active"


def test_a_page_that_grew_old_shows_how_the_key_stands_now(cast: Cast, visitor: Visitor) -> None:
    key = cast.key()
    reveal(key)
    pages = [visitor.open(f"/keys/{key.public_id}/", person) for person in (cast.ops, cast.security)]
    for page in pages:
        page.locator(".head [data-open=suspend]").click()
        page.locator("dialog#suspend textarea").fill("Odd hours of use.")
        page.locator("dialog#suspend .btn.bad").click()
    expect(pages[1].get_by_text("Nothing was done")).to_be_visible()
    expect(pages[1].locator(".head .btn", has_text="Reactivate")).to_be_visible()
    assert Event.objects.filter(action="key.suspended").count() == 1


# --- collecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [PHONE, {"color_scheme": "dark"}], ids=["phone", "desktop-dark"])
def test_a_recipient_collects_the_key_once(cast: Cast, visitor: Visitor, options: dict[str, Any]) -> None:
    key = cast.key()
    path = f"/collect/{link_of(key)}/"
    page = visitor.open(path, **options)
    assert_fits_and_is_accessible(page)
    page.get_by_role("button", name="Reveal the key").dblclick()
    text = page.inner_text("#the-key")
    assert_fits_and_is_accessible(page)
    page.locator("[data-copy='#the-key']").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text
    assert text not in page.inner_text("#curl")

    done = page.get_by_role("button", name="Done")
    expect(done).to_be_disabled()
    page.check("#stored")
    done.click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert_fits_and_is_accessible(page)
    # No cache kept the page with the key: the browser would have to send the form again.
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        page.go_back()
    assert Secret.objects.get().hint == text[-4:]

    later = visitor.open(path, **options)
    expect(later.get_by_role("heading", name="Thank you")).to_be_visible()
    assert key.name not in later.content()


def test_without_javascript_a_key_can_be_collected_and_a_lost_one_replaced(
    cast: Cast, visitor: Visitor
) -> None:
    key = cast.key()
    page = visitor.open(f"/collect/{link_of(key)}/", java_script_enabled=False, **PHONE)
    page.get_by_role("button", name="Reveal the key").click()
    first = page.inner_text("#the-key")
    page.goto(f"/collect/{link_of(key)}/")
    page.get_by_role("button", name="I did not see the key").click()
    expect(page.get_by_text("on its way to the registered address")).to_be_visible()
    page.goto(f"/collect/{link_of(key)}/")
    page.get_by_role("button", name="Reveal the key").click()
    assert page.inner_text("#the-key") != first
    statuses = Secret.objects.filter(key=key).order_by("id").values_list("status", flat=True)
    assert list(statuses) == ["revoked", "live"]
