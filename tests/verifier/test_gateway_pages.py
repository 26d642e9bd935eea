"""Gateways' pages: add, change, rotate, revoke, disable; each with its event (V8, L1)."""

import re
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from audit.models import Event
from keys.secrets import form as secret_format
from tests.cast import make_staff, sign_in
from tests.dataplane import make_gateway, make_live_key, verify
from verifier.callers import gateways
from verifier.models import Gateway, GatewayCredential

pytestmark = pytest.mark.django_db

FIELDS = {"name": "Edge in Tokyo", "mode": "nginx", "fail_policy": "closed", "ip_ranges": "127.0.0.0/8"}


@pytest.fixture
def tech() -> Client:
    return sign_in(make_staff("Naoto", "tech"))


def add(client: Client, **changes: str) -> str:
    """Add a gateway through its page; returns the credential that the page shows."""
    response = client.post("/gateways/add/", FIELDS | changes)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    # There is no credential before it that would go on for a day.
    assert not response.context["replaces"]
    found = re.search(r"kbg_live_[0-9A-Za-z_]+", response.content.decode())
    assert found
    return found[0]


def test_gateway_is_added_and_its_credential_shown_once(tech: Client) -> None:
    text = add(tech)
    gateway = Gateway.objects.get()
    assert (gateway.name, gateway.mode, gateway.fail_policy) == ("Edge in Tokyo", "nginx", "closed")
    page = tech.get(f"/gateways/{gateway.public_id}/").content.decode()
    assert text not in page
    assert GatewayCredential.objects.get().credential_id in page
    assert text.split("_")[3] not in "".join(str(event.payload) for event in Event.objects.all())
    actions = list(Event.objects.order_by("id").values_list("action", flat=True))
    assert actions[-2:] == ["gateway.added", "gateway.credential_issued"]
    live = make_live_key()
    assert verify(text, live.text).code == "VALID"


def test_page_says_where_the_verifier_is_asked(tech: Client, settings: Settings) -> None:
    add(tech)
    page = f"/gateways/{Gateway.objects.get().public_id}/"
    assert f"{settings.PORTAL_URL}/v1/authorize" in tech.get(page).content.decode()
    settings.VERIFIER_URL = "https://verifier.example.jp"
    shown = tech.get(page).content.decode()
    assert "https://verifier.example.jp/v1/authorize" in shown
    # nginx asks by subrequest only.
    assert "/v1/keys/verify" not in shown
    Gateway.objects.update(mode="standard")
    assert "https://verifier.example.jp/v1/keys/verify" in tech.get(page).content.decode()


def test_wrong_input_is_shown_beside_its_field(tech: Client) -> None:
    response = tech.post("/gateways/add/", FIELDS | {"name": "", "ip_ranges": "300.1.2.3"})
    assert response.status_code == 422
    assert not Gateway.objects.exists()


def test_credential_from_another_network_is_refused(tech: Client) -> None:
    text = add(tech, ip_ranges="192.0.2.0/24")
    assert verify(text, make_live_key().text).status == 401


def test_change_is_an_event_with_before_and_after(tech: Client) -> None:
    add(tech)
    number = Gateway.objects.get().public_id
    assert tech.get(f"/gateways/{number}/change/").status_code == 200
    response = tech.post(f"/gateways/{number}/change/", FIELDS | {"fail_policy": "open"})
    assert response.status_code == 302
    event = Event.objects.get(action="gateway.changed")
    assert event.payload["before"]["fail_policy"] == "closed"
    assert event.payload["after"]["fail_policy"] == "open"


def test_rotation_leaves_a_day_for_the_old_credential(tech: Client) -> None:
    first = add(tech)
    number = Gateway.objects.get().public_id
    response = tech.post(f"/gateways/{number}/credentials/rotate/")
    second = re.findall(r"kbg_live_[0-9A-Za-z_]+", response.content.decode())[0]
    assert second != first
    assert response.context["replaces"]
    live = make_live_key()
    assert [verify(text, live.text).code for text in (first, second)] == ["VALID", "VALID"]
    old = GatewayCredential.objects.get(credential_id=first.split("_")[2])
    assert old.expires_at is not None
    assert timedelta(hours=23) < old.expires_at - timezone.now() < timedelta(hours=25)
    GatewayCredential.objects.filter(pk=old.pk).update(expires_at=timezone.now())
    gateways.forget_all()
    assert verify(first, live.text).status == 401


def test_revoked_credential_and_disabled_gateway_are_refused(tech: Client) -> None:
    text = add(tech)
    number = Gateway.objects.get().public_id
    live = make_live_key()
    assert verify(text, live.text).code == "VALID"
    credential = text.split("_")[2]
    assert tech.post(f"/gateways/{number}/credentials/{credential}/revoke/").status_code == 302
    gateways.forget_all()
    assert verify(text, live.text).status == 401
    assert tech.post(f"/gateways/{number}/credentials/{credential}/revoke/").status_code == 409
    response = tech.post(f"/gateways/{number}/credentials/rotate/")
    second = re.findall(r"kbg_live_[0-9A-Za-z_]+", response.content.decode())[0]
    assert verify(second, live.text).code == "VALID"
    tech.post(f"/gateways/{number}/disable/", {"confirm": "GW-9999"})
    assert Gateway.objects.get().is_active
    tech.post(f"/gateways/{number}/disable/", {"confirm": number})
    gateways.forget_all()
    assert verify(second, live.text).status == 401
    assert tech.post(f"/gateways/{number}/credentials/rotate/").status_code == 409


def test_who_may_see_and_who_may_change(tech: Client) -> None:
    add(tech)
    number = Gateway.objects.get().public_id
    ops, pm = sign_in(make_staff("Yuki", "ops")), sign_in(make_staff("Misaki", "pm"))
    assert ops.get("/gateways/").status_code == 200
    assert "Edge in Tokyo" in ops.get("/gateways/").content.decode()
    assert ops.get("/gateways/add/").status_code == 403
    assert ops.post(f"/gateways/{number}/disable/", {"confirm": number}).status_code == 403
    assert pm.get("/gateways/").status_code == 403
    assert tech.get("/gateways/GW-9999/").status_code == 404
    assert tech.get(f"/gateways/{number}/disable/").status_code == 405


def test_adding_asks_for_a_fresh_second_factor() -> None:
    client = sign_in(make_staff("Naoto", "tech"), second_factor=False)
    response = client.post("/gateways/add/", FIELDS)
    assert response.status_code == 302
    assert not Gateway.objects.exists()


def test_flood_of_unknown_credentials_costs_few_queries_and_no_gateway_its_place() -> None:
    known, live = make_gateway(), make_live_key()
    assert verify(known, live.text).code == "VALID"
    strangers = [secret_format.generate("kbg", "live").text for _ in range(300)]
    started = time.monotonic()
    with CaptureQueriesContext(connection) as queries:
        for text in strangers:
            assert verify(text, live.text).status == 401
    seconds = int(time.monotonic() - started) + 2
    # Each look reads the credentials and the blocked addresses.
    assert len(queries) <= seconds * (gateways.NEWS_PER_SECOND + 1) * 2
    assert list(gateways._register.texts) in ([known], [])
    assert verify(known, live.text).code == "VALID"


def test_credential_that_was_just_issued_is_known_at_once() -> None:
    live = make_live_key()
    for _ in range(3):
        assert verify(secret_format.generate("kbg", "live").text, live.text).status == 401
        assert verify(make_gateway(), live.text).code == "VALID"


def test_gateways_stay_known_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    known, live = make_gateway(), make_live_key()
    assert verify(known, live.text).code == "VALID"
    # The only part that a test can't take away from its own connection: the reading itself.
    monkeypatch.setattr(gateways, "_read", _away)
    gateways._register.fresh_until = 0.0
    assert verify(known, live.text).code == "VALID"
    assert verify(secret_format.generate("kbg", "live").text, live.text).status == 503
    assert verify("no credential", live.text).status == 401


def _away() -> None:
    raise OperationalError


def test_a_gateway_says_whether_it_reports_when_calls_end(tech: Client) -> None:
    add(tech)
    gateway = Gateway.objects.get()
    page = f"/gateways/{gateway.public_id}/"
    assert "No: limits on concurrent requests apply only to calls that name a lease" in shown(tech, page)
    assert tech.post(f"{page}change/", FIELDS | {"reports_ends": "on"}).status_code == 302
    gateway.refresh_from_db()
    assert gateway.reports_ends
    assert "Yes: limits on concurrent requests apply to its calls" in shown(tech, page)
    payload = Event.objects.get(action="gateway.changed").payload
    assert (payload["before"]["reports_ends"], payload["after"]["reports_ends"]) == (False, True)


def test_a_keys_page_says_whether_its_limit_of_concurrent_requests_can_act(tech: Client) -> None:
    live = make_live_key(concurrency=5)
    page = f"/keys/{live.key.public_id}/"
    assert "applies only to calls that name a lease" in shown(tech, page)
    make_gateway()
    Gateway.objects.create(public_id="GW-8888", name="Reporter", created_at=timezone.now(), reports_ends=True)
    assert "applies to calls through Reporter" in shown(tech, page)
    Gateway.objects.update(reports_ends=True)
    assert "The limit on concurrent requests" not in shown(tech, page)


def shown(client: Client, page: str) -> str:
    return client.get(page, headers={"Accept-Language": "en"}).content.decode()
