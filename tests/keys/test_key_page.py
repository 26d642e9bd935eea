"""One key's page and its danger zone, through HTTP: who may, what happens, what is refused and how."""

import re
import struct
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from keys.hotstore import client as hotwire
from keys.hotstore.record import month_ends, record_key
from keys.models import Delivery, Key, KeyOutcomeDay, Secret, SeenAddress
from keys.status.services import expire_keys
from keys.terms.terms import office_day
from keys.use.selectors.addresses import addresses_of
from notifications.models import Message, OpsMetric
from tests.cast import Cast, sign_in
from tests.dataplane import add_secret
from tests.key_stories import link_of, reveal, revoke, suspend

FORMS: dict[str, dict[str, Any]] = {
    "suspend": {"reason": "The auditor asked."},
    "reactivate": {"reason": "The audit is over."},
    "revoke": {"reason": "leaked", "note": "In a public repository."},
}
EVENTS = {"suspend": "key.suspended", "reactivate": "key.reactivated", "revoke": "key.revoked"}
STATUSES = {"suspend": "suspended", "reactivate": "active", "revoke": "revoked"}


def page(key: Key) -> str:
    return reverse("keys:key-detail", args=[key.public_id])


def url(key: Key, act: str) -> str:
    return reverse(f"keys:key-{act}", args=[key.public_id])


def form(key: Key, act: str, **changes: Any) -> dict[str, Any]:
    data = dict(FORMS[act])
    if act == "revoke":
        data["typed_number"] = key.public_id
    return data | changes


@pytest.fixture
def key(cast: Cast) -> Key:
    """A key in use."""
    key = cast.key()
    reveal(key)
    return key


def ready(key: Key, act: str, by: User) -> Key:
    """The key in a state from which this act is possible."""
    if act == "reactivate":
        suspend(key, by)
    return key


# --- the page ---------------------------------------------------------------------------------------------


def test_the_page_tells_all_that_matters_and_no_secret(cast: Cast, key: Key) -> None:
    secret, text = Secret.objects.get(key=key), ""
    answer = sign_in(cast.security).get(page(key))
    html = answer.content.decode()
    assert answer.status_code == 200
    for words in (
        key.public_id, "Active", "みなと物流株式会社", "catalog:read", "203.0.113.0/24", "100 a minute",
        "1,000 an hour", secret.public_id, f"kb_live_…{secret.hint}", "Rin Nakamura", "90 days (normal)",
        f"Key {key.public_id} was issued.", "Danger zone",
    ):  # fmt: skip
        assert words in html, words
    assert bytes(secret.digest).hex() not in html
    assert secret.argon2_hash not in html
    assert text == ""


def test_a_key_that_is_not_there_is_404_and_without_permission_403(cast: Cast, key: Key) -> None:
    client = sign_in(cast.pm)
    assert client.get(reverse("keys:key-detail", args=["KB-9999"])).status_code == 404
    assert client.get("/keys/nonsense/").status_code == 404
    for person in cast.everyone.values():
        expected = 200 if person.may("see_keys") else 403
        assert sign_in(person).get(page(key)).status_code == expected


@pytest.mark.parametrize(
    "role", ["requester", "pm", "legal", "tech", "security", "coo", "ops", "auditor", "admin"]
)
def test_buttons_are_there_for_those_who_may(cast: Cast, key: Key, role: str) -> None:
    person = cast.everyone[role]
    html = sign_in(person).get(page(key)).content.decode()
    assert (url(key, "suspend") in html) == person.may("suspend_keys")
    assert (url(key, "revoke") in html) == person.may("revoke_keys")
    assert url(key, "reactivate") not in html


def test_an_ended_key_has_no_buttons_and_says_why(cast: Cast, key: Key) -> None:
    revoke(key, cast.ops)
    html = sign_in(cast.ops).get(page(key)).content.decode()
    assert "Leaked" in html
    assert "A revoked key never comes back; ask for a new one." in html
    assert "Danger zone" not in html


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_an_ended_key_leads_whoever_may_ask_to_a_new_request(cast: Cast, key: Key, ending: str) -> None:
    link = f"{reverse('approvals:request-new')}?partner={key.partner.public_id}"
    assert link not in sign_in(cast.requester).get(page(key)).text, "the key still runs"
    if ending == "revoked":
        revoke(key, cast.ops)
    else:
        now = timezone.now()
        Key.objects.filter(pk=key.pk).update(issued_at=now - timedelta(days=2), expires_at=now)
        expire_keys(now=now)
    for person in cast.everyone.values():
        if person.may("see_keys"):
            assert (link in sign_in(person).get(page(key)).text) == person.may("make_requests")
    key.partner.is_active = False
    key.partner.save(update_fields=["is_active"])
    assert link not in sign_in(cast.requester).get(page(key)).text, "an ended partner gets no keys"


def test_all_reasons_that_a_person_may_have_are_offered(cast: Cast, key: Key) -> None:
    html = sign_in(cast.ops).get(url(key, "revoke")).text
    offered = re.findall(r'<option value="(\w+)"', html)
    assert offered == [
        "terms_violated", "person_left", "leaked", "contract_ended", "replaced", "anomaly", "other",
    ]  # fmt: skip
    assert "Remark" in html


# --- suspend, reactivate, revoke ------------------------------------------------------------------------


@pytest.mark.parametrize("act", FORMS)
def test_the_act_works_leaves_one_event_and_tells_owner_and_recipient(cast: Cast, key: Key, act: str) -> None:
    ready(key, act, cast.ops)
    answer = sign_in(cast.ops).post(url(key, act), form(key, act))
    assert answer.status_code == 302
    assert answer["Location"] == page(key)
    before = key.revision
    key.refresh_from_db()
    assert key.status == STATUSES[act]
    assert key.revision == before + 1
    event = Event.objects.get(action=EVENTS[act])
    assert event.actor_ref == cast.ops.public_id
    assert event.objects_touched == [f"key:{key.public_id}"]
    assert event.payload["after"] == {"status": STATUSES[act]}
    mails = Message.objects.filter(kind=EVENTS[act].replace(".", "_"))
    assert {mail.recipient_ref for mail in mails} == {key.owner.public_id, key.recipient.public_id}


@pytest.mark.parametrize("act", FORMS)
def test_a_second_click_is_409_with_the_fresh_state_and_no_second_event(
    cast: Cast, key: Key, act: str
) -> None:
    ready(key, act, cast.ops)
    client = sign_in(cast.ops)
    assert client.post(url(key, act), form(key, act)).status_code == 302
    n_mails = Message.objects.count()
    answer = client.post(url(key, act), form(key, act))
    assert answer.status_code == 409
    assert "Nothing was done" in answer.content.decode()
    assert key.public_id in answer.content.decode()
    assert Event.objects.filter(action=EVENTS[act]).count() == 1
    assert Message.objects.count() == n_mails


@pytest.mark.parametrize("act", FORMS)
def test_a_role_without_the_permission_is_refused_whatever_it_posts(cast: Cast, key: Key, act: str) -> None:
    ready(key, act, cast.ops)
    permission = "revoke_keys" if act == "revoke" else "suspend_keys"
    status = key.status
    refused = [person for person in cast.everyone.values() if not person.may(permission)]
    assert refused
    for person in refused:
        client = sign_in(person)
        assert client.post(url(key, act), form(key, act)).status_code == 403
        assert client.get(url(key, act)).status_code == 403
    key.refresh_from_db()
    assert key.status == status
    assert not Event.objects.filter(action=EVENTS[act]).exists()


@pytest.mark.parametrize("act", FORMS)
def test_without_javascript_the_act_is_a_page_and_get_changes_nothing(cast: Cast, key: Key, act: str) -> None:
    ready(key, act, cast.ops)
    n_events = Event.objects.count()
    answer = sign_in(cast.ops).get(url(key, act))
    assert answer.status_code == 200
    assert "<form" in answer.content.decode()
    assert Event.objects.count() == n_events


@pytest.mark.parametrize("act", FORMS)
def test_nobody_signed_in_is_led_to_the_sign_in(cast: Cast, key: Key, act: str, client: Any) -> None:
    answer = client.post(url(key, act), form(key, act))
    assert answer.status_code == 302
    assert reverse("account_login") in answer["Location"]
    assert not Event.objects.filter(action=EVENTS[act]).exists()


@pytest.mark.parametrize(
    ("act", "changes"),
    [
        ("suspend", {"reason": ""}),
        ("suspend", {"reason": "   "}),
        ("suspend", {"reason": "x" * 501}),
        ("reactivate", {"reason": " "}),
        ("revoke", {"reason": ""}),
        ("revoke", {"reason": "because"}),
        ("revoke", {"reason": "unclaimed"}),
        ("revoke", {"reason": "other", "note": " "}),
        ("revoke", {"typed_number": ""}),
        ("revoke", {"typed_number": "KB-9999"}),
        ("revoke", {"typed_number": "yes"}),
        ("revoke", {"note": "x" * 501}),
    ],
)
def test_input_that_will_not_do_is_422_beside_its_field(
    cast: Cast, key: Key, act: str, changes: dict[str, str]
) -> None:
    ready(key, act, cast.ops)
    answer = sign_in(cast.ops).post(url(key, act), form(key, act, **changes))
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == set(changes) or "note" in answer.context["form"].errors
    assert not Event.objects.filter(action=EVENTS[act]).exists()


def test_the_number_may_be_typed_as_a_japanese_keyboard_writes_it(cast: Cast, key: Key) -> None:
    full_width = "".join(chr(ord(char) + 0xFEE0) for char in key.public_id.lower())
    answer = sign_in(cast.ops).post(url(key, "revoke"), form(key, "revoke", typed_number=f" {full_width} "))
    assert answer.status_code == 302
    key.refresh_from_db()
    assert key.status == "revoked"


def test_revoking_ends_secrets_and_links_and_reaches_ops_metrics(cast: Cast, key: Key) -> None:
    revoke(key, cast.security)
    assert set(Secret.objects.filter(key=key).values_list("status", flat=True)) == {"revoked"}
    metric = OpsMetric.objects.get(name="api_key_revoked")
    assert metric.payload == {"key": key.public_id, "reason": "leaked"}
    waiting = cast.key()
    revoke(waiting, cast.security)
    assert Delivery.objects.get(key=waiting).state == "expired"


def test_a_suspended_key_that_was_never_collected_waits_again_after_reactivation(cast: Cast) -> None:
    key = cast.key()
    suspend(key, cast.ops)
    sign_in(cast.ops).post(url(key, "reactivate"), FORMS["reactivate"])
    key.refresh_from_db()
    assert key.status == "pending"
    assert Delivery.objects.get(key=key).state == "waiting"


def test_the_database_refuses_to_revive_a_revoked_key(cast: Cast, key: Key) -> None:
    from django.db import IntegrityError, transaction

    revoke(key, cast.ops)
    with pytest.raises(IntegrityError, match="never comes back"), transaction.atomic():
        Key.objects.filter(pk=key.pk).update(status="active", revoke_reason="", ended_at=None)


def test_the_page_names_the_blast_radius_before_a_revoke(cast: Cast, key: Key) -> None:
    from keys.models import KeyUseDay
    from keys.terms.terms import office_day

    KeyUseDay.objects.create(key=key, day=office_day(timezone.now()), n_allowed=1284)
    html = sign_in(cast.ops).get(url(key, "revoke")).content.decode()
    assert "1,284" in html
    assert "The very next call is refused" in html


# --- use -------------------------------------------------------------------------------------------------


def test_the_page_shows_the_most_of_burst_and_places_used_at_once(cast: Cast, key: Key) -> None:
    from core.wording import date_text
    from keys.models import KeyUseDay

    today = office_day(timezone.now())
    Key.objects.filter(pk=key.pk).update(burst=20, concurrency=5)
    browser = sign_in(cast.ops)
    assert "measured" not in browser.get(page(key)).content.decode()  # never used: nothing to tell
    day = KeyUseDay.objects.create(key=key, day=today, n_allowed=7)
    html = browser.get(page(key)).content.decode()
    assert "Burst: not measured in these days" in html
    assert "At the same time: not measured in these days" in html
    KeyUseDay.objects.filter(pk=day.pk).update(peak_burst=8, peak_concurrency=3)
    html = browser.get(page(key)).content.decode()
    assert f"Burst: at most 8 of 20 at once, on {date_text(today)}" in html
    assert f"At the same time: at most 3 of 5 calls, on {date_text(today)}" in html
    assert "Most of the burst" in html


def test_the_page_shows_from_where_it_is_used(cast: Cast, key: Key) -> None:
    Key.objects.filter(pk=key.pk).update(ip_ranges=["203.0.113.0/24", "2001:db8::/32"])
    now, secret = timezone.now(), Secret.objects.get(key=key)
    for address, days, n_allowed, n_refused in (
        ("203.0.113.9", 1, 1284, 0),
        ("2001:db8::7", 3, 12, 1),
        ("192.0.2.250", 2, 0, 33),
        (None, 1, 5, 2),
    ):
        seen = now - timedelta(days=days)
        SeenAddress.objects.create(
            key=key, secret=secret, address=address, first_seen_at=seen, last_seen_at=seen,
            n_allowed=n_allowed, n_refused=n_refused,
        )  # fmt: skip
    html = sign_in(cast.auditor).get(page(key)).content.decode()
    rows = re.findall(r"<code>(203[^<]+|2001[^<]+|192[^<]+)</code>(.*?)</tr>", html, re.DOTALL)
    assert [address for address, _ in rows] == ["203.0.113.9", "192.0.2.250", "2001:db8::7"]
    assert ["outside its ranges" in row for _, row in rows] == [False, True, False]
    assert "1,284" in rows[0][1]
    assert "7 calls came from addresses beyond those that are kept." in html


def test_two_secrets_from_one_address_are_one_row(cast: Cast, key: Key) -> None:
    now, secret = timezone.now(), Secret.objects.get(key=key)
    Secret.objects.filter(pk=secret.pk).update(status="overlap", ends_at=now + timedelta(days=1))
    _, other = add_secret(key)
    for one, days in ((secret, 9), (other, 1)):
        seen = now - timedelta(days=days)
        SeenAddress.objects.create(
            key=key, secret=one, address="203.0.113.9", first_seen_at=seen, last_seen_at=seen, n_allowed=10
        )
    (found,) = addresses_of(key).shown
    assert (found.n_allowed, found.last_seen_at - found.first_seen_at) == (20, timedelta(days=8))


def test_the_page_shows_how_calls_ended(cast: Cast, key: Key) -> None:
    Key.objects.filter(pk=key.pk).update(sla_latency_ms=100, sla_success_percent="99.9")
    assert "How its calls ended" not in sign_in(cast.ops).get(page(key)).content.decode()
    today = office_day(timezone.now())
    for day, statuses, classes, total, longest in (
        (today, {"200": 990, "502": 5}, {"50": 600, "200": 390}, 60_000, 180),
        (today - timedelta(days=1), {"200": 1000, "404": 5}, {"50": 1010}, 40_000, 50),
        (today - timedelta(days=31), {"500": 900}, {"60000": 900}, 10**7, 60_000),
    ):
        KeyOutcomeDay.objects.create(
            key=key, day=day, by_status=statuses, by_latency=classes, latency_ms_sum=total,
            latency_ms_max=longest,
        )  # fmt: skip
    text = re.sub(r"\s+", " ", sign_in(cast.ops).get(page(key)).content.decode())
    assert "0.25 %" in text
    assert "5 of 2,000 calls" in text
    assert "median 42 ms · mean 50 ms" in text
    assert "longest 180 ms" in text
    assert "slower than agreed" in text


def test_the_page_shows_the_month_s_cost_against_the_budget(cast: Cast, key: Key) -> None:
    Key.objects.filter(pk=key.pk).update(monthly_budget_usd="100")
    month = month_ends(timezone.now(), key.workspace.time_zone)[0]
    counters = struct.pack("<IIIIdId", 0, 0, 0, 0, 0, month, 62_500_000)
    hotwire.ask(hotwire.encode("HSET", record_key(key.family), "c", counters))
    text = re.sub(r"\s+", " ", sign_in(cast.ops).get(page(key)).content.decode())
    assert re.search(r"62\.50? of [^ ]*100[^ ]* this month", text), text


# --- a new link ------------------------------------------------------------------------------------------


def test_a_new_link_replaces_the_old_one(cast: Cast) -> None:
    key = cast.key()
    old = link_of(key)
    answer = sign_in(cast.pm).post(url(key, "redeliver"))
    assert answer.status_code == 302
    states = list(Delivery.objects.filter(key=key).order_by("id").values_list("state", "attempt"))
    assert states == [("replaced", 1), ("waiting", 2)]
    assert link_of(key) != old
    assert Event.objects.filter(action="delivery.renewed").count() == 1
    assert Message.objects.filter(kind="delivery_link").count() == 2


def test_a_new_link_withdraws_a_secret_that_nobody_used(cast: Cast, key: Key) -> None:
    answer = sign_in(cast.pm).post(url(key, "redeliver"))
    assert answer.status_code == 302
    key.refresh_from_db()
    assert key.status == "pending"
    assert Secret.objects.get(key=key).status == "revoked"
    reveal(key)
    assert key.status == "active"
    assert Secret.objects.filter(key=key, status="live").count() == 1


def test_a_key_that_was_used_is_not_delivered_again(cast: Cast, key: Key) -> None:
    Secret.objects.filter(key=key).update(first_used_at=timezone.now())
    assert "Send a new link" not in sign_in(cast.pm).get(page(key)).content.decode()
    answer = sign_in(cast.pm).post(url(key, "redeliver"))
    assert answer.status_code == 409
    assert Secret.objects.get(key=key).status == "live"


def test_a_secret_is_not_withdrawn_while_nobody_can_tell_whether_it_is_used(
    cast: Cast, key: Key, settings: Any
) -> None:
    """A use is in the hot store at once and in the database some seconds later (K3, V4)."""
    client = sign_in(cast.pm)
    settings.HOT_STORE_URL = "redis://127.0.0.1:1/0"
    hotwire.drop()
    try:
        answer = client.post(url(key, "redeliver"))
    finally:
        hotwire.drop()
        hotwire.resume()
    assert answer.status_code == 409
    assert "tell now whether the key is in use" in answer.text
    key.refresh_from_db()
    assert key.status == "active"
    assert Secret.objects.get(key=key).status == "live"
    assert Delivery.objects.filter(key=key).count() == 1
    assert not Event.objects.filter(action="secret.revoked").exists()


def test_links_are_sent_by_post_by_those_who_may_and_twenty_times_at_most(cast: Cast) -> None:
    key = cast.key()
    assert sign_in(cast.pm).get(url(key, "redeliver")).status_code == 405
    for person in cast.everyone.values():
        if not person.may("redeliver_keys"):
            assert sign_in(person).post(url(key, "redeliver")).status_code == 403
    client = sign_in(cast.pm)
    answers = [client.post(url(key, "redeliver")).status_code for _ in range(21)]
    assert answers == [302] * 19 + [409] * 2


@pytest.mark.parametrize("act", ["reactivate", "quarantine-end"])
def test_a_page_for_what_is_not_there_leads_to_the_key(cast: Cast, act: str) -> None:
    key = cast.key()
    answer = sign_in(cast.security).get(reverse(f"keys:key-{act}", args=[key.public_id]), follow=True)
    assert answer.redirect_chain == [(reverse("keys:key-detail", args=[key.public_id]), 302)]
    assert f"here is what {key.public_id} is now" in answer.content.decode()
