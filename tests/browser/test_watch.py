"""What security does about keys, in a real browser: shared limits, a grant, quarantine, blocked addresses."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from keys.terms.terms import office_day
from tests.browser.people import PHONE, Visitor, assert_accessible, assert_fits
from tests.cast import Cast
from tests.dataplane import make_gateway, make_live_key, verify
from verifier.callers import gateways
from verifier.models import BlockedAddress

pytestmark = pytest.mark.django_db(transaction=True)


def test_security_limits_grants_quarantines_and_blocks(cast: Cast, visitor: Visitor) -> None:
    gateway, live = make_gateway(), make_live_key(partner=cast.company, owner=cast.requester)
    cast.company.workspaces.create(public_id="WS-9001", code="elsewhere", name="Elsewhere")
    page = visitor.browser(cast.security, **PHONE)
    number = live.key.public_id

    page.goto(f"/workspaces/{live.key.workspace.public_id}/limits/")
    page.get_by_label("Requests an hour").fill("2")
    page.get_by_label("Reason").fill("The partner's plan.")
    assert_accessible(page)
    page.locator("main form .btn.pri").click()
    expect(page.get_by_text("0 of 2 calls in this hour")).to_be_visible()
    assert verify(gateway, live.text).json["workspace_remaining"]["hour"] == 1

    page.goto(f"/keys/{number}/")
    page.get_by_role("link", name="Other workspaces").click()
    page.get_by_role("link", name="Let it act in another workspace").click()
    page.get_by_label("Workspace").select_option("WS-9001")
    page.get_by_role("textbox", name="Last day").fill(
        (office_day(timezone.now()) + timedelta(days=3)).isoformat()
    )
    page.get_by_label("Reason").fill("One migration.")
    assert_fits(page)
    page.get_by_role("button", name="Grant").click()
    expect(page.get_by_text("Elsewhere").first).to_be_visible()
    assert verify(gateway, live.text, workspace="elsewhere").json["acting_in"] == "WS-9001"
    assert_accessible(page)

    page.goto(f"/keys/{number}/quarantine/")
    page.get_by_label("Reason").fill("Calls from a country that nobody knows.")
    assert_accessible(page)
    page.get_by_role("button", name="Quarantine").click()
    expect(page.locator("strong", has_text="In quarantine")).to_be_visible()
    # While it lasts, nothing that was granted is left.
    assert verify(gateway, live.text, workspace="elsewhere").code == "WRONG_WORKSPACE"
    assert verify(gateway, live.text, ip="192.0.2.1", scope="catalog:write").code == "QUARANTINED"

    page.goto("/gateways/blocked/")
    page.get_by_label("Address or network").fill("192.0.2.0/24")
    page.get_by_label("Reason").fill("False keys.")
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.get_by_text("192.0.2.0/24").first).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
    gateways.forget_all()
    assert verify(gateway, live.text, ip="192.0.2.1").code == "ADDRESS_BLOCKED"
    page.get_by_role("button", name="Lift").click()
    expect(page.get_by_text("is lifted", exact=False)).to_be_visible()
    assert not BlockedAddress.objects.filter(lifted_at=None).exists()
