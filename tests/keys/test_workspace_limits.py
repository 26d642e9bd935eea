"""The page on which a workspace gets limits that its keys share (V2)."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from audit.models import Event
from partners.models import Workspace
from tests.cast import Cast, sign_in
from tests.dataplane import LiveKey, make_gateway, make_live_key, verify

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def live(cast: Cast) -> LiveKey:
    return make_live_key(partner=cast.company, owner=cast.requester, rph=100, name="Warehouse app")


def url_of(live: LiveKey) -> str:
    return reverse("keys:workspace-limits", args=[live.key.workspace.public_id])


def values(client: Client, live: LiveKey, **changes: str) -> dict[str, str]:
    form = client.get(url_of(live)).context["form"]
    shown = {name: str(form[name].value() or "") for name in ("rpm", "rph", "monthly_budget_usd", "seen")}
    return {**shown, "reason": "The partner's plan.", **changes}


def test_limits_are_in_force_on_the_next_check_and_told_with_their_use(cast: Cast, live: LiveKey) -> None:
    gateway, client = make_gateway(), sign_in(cast.tech)
    assert verify(gateway, live.text).code == "VALID"
    sent = values(client, live, rph="2", monthly_budget_usd="1,200.50")
    answer = client.post(url_of(live), sent)
    assert (answer.status_code, answer["Location"]) == (302, url_of(live))
    codes = [verify(gateway, live.text, cost_usd="0.30").code for _ in range(3)]
    assert codes == ["VALID", "VALID", "WORKSPACE_RATE_LIMITED_HOUR"]
    with override("en"):
        page = client.get(url_of(live), headers={"accept-language": "en"}).content.decode()
    assert "2 of 2 calls in this hour" in page
    assert "$0.60 of $1,200.50 in this month" in page
    assert "Warehouse app" in page
    event = Event.objects.get(action="workspace.limited")
    assert event.actor_ref == cast.tech.public_id
    assert event.payload["before"] == {"rph": 0, "monthly_budget_usd": None}
    assert event.payload["after"] == {"rph": 2, "monthly_budget_usd": "1200.50"}
    assert event.payload["reason"] == "The partner's plan."


def test_limits_are_taken_away_by_leaving_them_empty(cast: Cast, live: LiveKey) -> None:
    gateway, client = make_gateway(), sign_in(cast.pm)
    client.post(url_of(live), values(client, live, rpm="1"))
    assert [verify(gateway, live.text).code for _ in range(2)] == ["VALID", "WORKSPACE_RATE_LIMITED_MINUTE"]
    client.post(url_of(live), values(client, live, rpm=""))
    assert verify(gateway, live.text).code == "VALID"
    assert not Workspace.objects.get(pk=live.key.workspace_id).has_limits


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rph": "5", "reason": " "}, "reason"),
        ({"rph": "0"}, "rph"),
        ({"rph": "many"}, "rph"),
        ({"rpm": "9", "rph": "5"}, "rpm"),
        ({"monthly_budget_usd": "-1"}, "monthly_budget_usd"),
        ({}, "reason"),
    ],
)
def test_what_makes_no_sense_is_refused_beside_its_field(
    cast: Cast, live: LiveKey, changes: dict[str, str], field: str
) -> None:
    client = sign_in(cast.tech)
    answer = client.post(url_of(live), values(client, live, **changes))
    assert answer.status_code == 422
    assert answer.context["form"].errors.keys() == {field}
    assert not Event.objects.filter(action="workspace.limited").exists()


def test_a_stale_form_changes_nothing(cast: Cast, live: LiveKey) -> None:
    client = sign_in(cast.tech)
    stale = values(client, live, rph="5")
    client.post(url_of(live), values(client, live, rph="7"))
    answer = client.post(url_of(live), stale)
    assert answer.status_code == 409
    assert answer.context["form"]["rph"].value() == "7"
    assert Workspace.objects.get(pk=live.key.workspace_id).rph == 7


def test_others_see_the_limits_and_do_not_change_them(cast: Cast, live: LiveKey) -> None:
    client = sign_in(cast.requester)
    page = client.get(url_of(live))
    assert page.status_code == 200
    assert b'name="rph"' not in page.content
    assert client.post(url_of(live), {"rph": "5", "reason": "So."}).status_code == 403
    assert client.get(reverse("keys:workspace-limits", args=["WS-9999"])).status_code == 404


def test_the_partner_s_page_and_the_key_s_lead_there(cast: Cast, live: LiveKey) -> None:
    client = sign_in(cast.pm)
    for page in ("partners:partner-detail", "keys:key-detail"):
        number = live.key.partner.public_id if page.startswith("partners") else live.key.public_id
        assert f'href="{url_of(live)}"' in client.get(reverse(page, args=[number])).content.decode()
