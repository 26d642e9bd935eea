"""A planned retirement in a real browser: asked for, approved, seen on the key, told on every check (K9)."""

from datetime import UTC, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from keys.models import Key
from keys.terms.terms import OFFICE_ZONE
from tests.browser.people import PHONE, Visitor, assert_accessible, assert_fits
from tests.browser.test_changes import ADDRESS, approve
from tests.cast import Cast
from tests.changes import live_key
from tests.dataplane import make_gateway, verify
from verifier.callers import gateways

pytestmark = pytest.mark.django_db(transaction=True)


def test_from_the_key_to_sunset_on_its_checks(cast: Cast, visitor: Visitor) -> None:
    gateways.forget_all()
    gateway = make_gateway()
    key, text = live_key(cast)
    assert "Sunset" not in verify(gateway, text, ip=ADDRESS).headers
    ends_at = (timezone.now() + timedelta(days=3)).astimezone(OFFICE_ZONE).replace(second=0, microsecond=0)

    page = visitor.open(f"/keys/{key.public_id}/", cast.requester)
    page.get_by_role("button", name="Plan its retirement").click()
    page.wait_for_url("**/edit/#retirement")
    page.get_by_label("Why it is to be changed").fill("The next version of the API replaces it.")
    page.get_by_label("Ends at").fill(f"{ends_at:%Y-%m-%dT%H:%M}")
    page.get_by_label("Why with less than 30 days of notice").fill("The partner asked for it.")
    expect(page.locator("#path-panel")).to_contain_text("Limits fall to 10 %")
    expect(page.locator("#path-panel")).to_contain_text("It only tightens")
    assert_fits(page)
    assert_accessible(page)
    page.get_by_role("button", name="Submit for approval").click()
    page.wait_for_url("**/requests/KR-*/")
    number = page.url.rstrip("/").rsplit("/", 1)[1]
    approve(visitor, number, cast.pm, **PHONE)

    for options in ({}, PHONE):
        page = visitor.open(f"/keys/{key.public_id}/", cast.requester, **options)
        card = page.locator("#retirement")
        expect(card).to_contain_text("limits at 25 %")
        expect(card.locator("li[aria-current=step]")).to_contain_text("in force now")
        expect(card).to_contain_text("The partner asked for it.")
        assert_fits(page)
        assert_accessible(page)

    answer = verify(gateway, text, ip=ADDRESS)
    key = Key.objects.get(pk=key.pk)
    assert answer.code == "VALID"
    assert answer.json["limits"]["minute"] == 25
    assert key.retiring_from is not None
    assert answer.headers["Deprecation"] == f"@{int(key.retiring_from.timestamp())}"
    assert answer.headers["Sunset"].endswith(f"{ends_at.astimezone(UTC):%d %b %Y %H:%M}:00 GMT")
