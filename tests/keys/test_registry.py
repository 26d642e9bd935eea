"""The registry's list: who sees it, what filters and search find, pages, orders, counts, export."""

import csv
import io
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from keys.models import ApiProduct, Key, Secret
from keys.registry.services import refresh_names
from keys.secrets.form import generate
from tests.cast import Cast, make_contract, make_partner, sign_in
from tests.key_stories import reveal, revoke, suspend

LIST = reverse("keys:key-list")
EXPORT = reverse("keys:key-export")


def numbers(cast: Cast, query: str) -> set[str]:
    """The numbers of the keys that the list shows for this query."""
    answer = sign_in(cast.pm).get(f"{LIST}?{query}")
    assert answer.status_code == 200, answer
    return {row.key.public_id for row in answer.context["rows"]}


def test_everyone_with_the_permission_sees_the_list_and_nobody_else(cast: Cast) -> None:
    key = cast.key()
    for person in cast.everyone.values():
        expected = 200 if person.may("see_keys") else 403
        assert sign_in(person).get(LIST).status_code == expected, person.roles
    from django.test import Client

    answer = Client().get(LIST)
    assert answer.status_code == 302
    assert reverse("account_login") in answer["Location"]
    assert key.public_id not in answer.content.decode()


def test_a_row_says_who_what_for_state_and_next_date(cast: Cast) -> None:
    key = cast.key(name="Parcel tracking")
    secret, _text = reveal(key)
    html = sign_in(cast.pm).get(LIST).content.decode()
    for words in (
        "みなと物流株式会社",
        key.public_id,
        "Parcel tracking",
        "Active",
        "Production",
        "180 days left",
    ):
        assert words in html
    assert f"kb_live_…{secret.hint}" in html


@pytest.mark.parametrize(
    "text",
    [
        "Minato parcels",
        "minato",
        "MINATO",
        "ｍｉｎａｔｏ",
        "みなと",
        "物流",
        "と物",
        "KB-",
        "catalog",
        "Rin",
        "parcels みなと",
        "流",
    ],
)
def test_search_finds_a_key_by_what_a_person_would_type(cast: Cast, text: str) -> None:
    key = cast.key(name="Minato parcels")
    other = cast.key(cast.star_contract, name="Something else")
    found = numbers(cast, f"q={text}")
    assert key.public_id in found
    if text not in {"KB-", "catalog", "Rin"}:
        assert other.public_id not in found


@pytest.mark.parametrize(
    "text", ["zzz", "みなと電機", "%", "_", "minato zzz", "'; DROP TABLE keys_key; --", "\\", "なみ"]
)
def test_search_finds_nothing_where_there_is_nothing(cast: Cast, text: str) -> None:
    cast.key(name="Minato parcels")
    answer = sign_in(cast.pm).get(LIST, {"q": text})
    assert answer.status_code == 200
    assert answer.context["rows"] == []
    assert "No key fits these filters" in answer.content.decode()


def test_search_by_number_finds_ended_keys_too(cast: Cast) -> None:
    key = cast.key()
    Key.objects.filter(pk=key.pk).update(status="revoked", revoke_reason="leaked", ended_at=timezone.now())
    assert numbers(cast, "") == set()
    assert numbers(cast, f"q={key.public_id.lower()}") == {key.public_id}
    assert numbers(cast, "ended=1") == {key.public_id}
    assert numbers(cast, "status=revoked") == {key.public_id}


def test_an_ended_key_is_still_known_by_the_end_of_its_last_secret(cast: Cast) -> None:
    key = cast.key()
    secret, _text = reveal(key)
    revoke(key, cast.ops)
    html = sign_in(cast.pm).get(f"{LIST}?status=revoked").content.decode()
    assert f"kb_live_…{secret.hint}" in html
    assert "revoked: Leaked" in html


def test_a_key_id_finds_the_key_of_its_secret(cast: Cast) -> None:
    key = cast.key()
    secret, _text = reveal(key)
    cast.key()
    assert numbers(cast, f"q={secret.public_id}") == {key.public_id}


@pytest.mark.parametrize("around", ["{}", "  {}\u200b", '"{}"', "Bearer {}", "my_key={}"])
def test_a_whole_key_in_the_search_is_cut_down_to_its_public_part_at_once(cast: Cast, around: str) -> None:
    """What stands in a URL stands in histories and logs."""
    key = cast.key()
    _secret, text = reveal(key)
    answer = sign_in(cast.pm).get(LIST, {"q": around.format(text)})
    assert answer.status_code == 302
    assert text not in answer["Location"]
    assert parse_qs(urlsplit(answer["Location"]).query)["q"] == [text.split("_")[2]]
    shown = sign_in(cast.pm).get(answer["Location"])
    assert [row.key.public_id for row in shown.context["rows"]] == [key.public_id]
    assert text[20:40] not in shown.content.decode()
    assert generate("kb", "live").text[:3] == text[:3]


def test_filters_narrow_the_list(cast: Cast) -> None:
    now = timezone.now()
    live = cast.key()
    test = cast.key(environment="test", products=("orders",), scopes=("orders:read",))
    soon = cast.key(expires_on=(now + timedelta(days=20)).date().isoformat())
    stopped = cast.key(owner=cast.pm)
    reveal(stopped)
    suspend(stopped, cast.ops)
    star = cast.key(cast.star_contract)
    every = {key.public_id for key in (live, test, soon, stopped, star)}
    assert numbers(cast, "") == every
    assert numbers(cast, "environment=test") == {test.public_id}
    assert numbers(cast, "product=orders") == {test.public_id}
    assert numbers(cast, "expiry=30") == {soon.public_id}
    assert numbers(cast, "expiry=over") == every - {soon.public_id}
    assert numbers(cast, "status=suspended") == {stopped.public_id}
    assert numbers(cast, f"owner={cast.pm.public_id}") == {stopped.public_id}
    assert numbers(cast, f"partner={cast.star.public_id}") == {star.public_id}
    assert numbers(cast, "plan=partner") == every
    assert numbers(cast, "status=nonsense&product=unknown&cursor=x&sort=x") == every


def test_filters_of_time_look_at_rotation_and_use(cast: Cast) -> None:
    now = timezone.now()
    fresh, late, idle = cast.key(), cast.key(), cast.key()
    for key in (fresh, late, idle):
        reveal(key)
    today = now.date()
    Key.objects.filter(pk=late.pk).update(rotation_due_on=today - timedelta(days=3))
    Key.objects.filter(pk=idle.pk).update(activated_at=now - timedelta(days=100), last_used_at=None)
    assert numbers(cast, "rotation=late") == {late.public_id}
    assert numbers(cast, "unused=90") == {idle.public_id}
    assert numbers(cast, "unused=30") == {idle.public_id}
    assert numbers(cast, "attention=1") == {late.public_id, idle.public_id}


def test_the_saved_view_shows_exactly_the_keys_whose_badge_warns(cast: Cast) -> None:
    """The condition in Python and the question in SQL are one rule."""
    now = timezone.now()
    today = now.date()
    for change in (
        {},
        {"rotation_due_on": today - timedelta(days=1)},
        {"rotation_due_on": today + timedelta(days=13)},
        {"rotation_due_on": today + timedelta(days=40)},
        {"expires_at": now + timedelta(days=29)},
        {"expires_at": now + timedelta(days=40)},
        {"activated_at": now - timedelta(days=95)},
        {"last_used_at": now - timedelta(days=95)},
        {"last_used_at": now - timedelta(days=85)},
        {"status": "retiring", "retires_at": now + timedelta(days=9), "retiring_from": now},
        {"status": "suspended", "suspended_at": now, "expires_at": now + timedelta(days=5)},
    ):
        key = cast.key()
        reveal(key)
        Key.objects.filter(pk=key.pk).update(**change)
    pending = cast.key()
    undelivered = cast.key()
    undelivered.deliveries.update(expires_at=now - timedelta(minutes=1))
    answer = sign_in(cast.pm).get(LIST)
    warned = {row.key.public_id for row in answer.context["rows"] if row.condition.needs_attention}
    assert warned == numbers(cast, "attention=1")
    assert len(warned) == 7
    assert undelivered.public_id in warned
    assert pending.public_id not in warned


def test_views_are_links_with_counts(cast: Cast) -> None:
    cast.key(owner=cast.pm)
    cast.key()
    answer = sign_in(cast.pm).get(LIST)
    counts = {view.name: view.count_text for view in answer.context["views"]}
    assert counts == {"all": "2", "attention": "0", "expiring": "0", "unused": "0", "mine": "1"}
    mine = sign_in(cast.pm).get(f"{LIST}?owner={cast.pm.public_id}")
    assert [view.name for view in mine.context["views"] if view.is_current] == ["mine"]


def test_chips_take_one_filter_away(cast: Cast) -> None:
    cast.key()
    html = sign_in(cast.pm).get(f"{LIST}?status=pending&environment=live").content.decode()
    assert "Status: Awaiting delivery" in html
    assert 'href="?environment=live"' in html
    assert 'href="?status=pending"' in html


def test_pages_follow_each_other_without_gap_or_repeat(cast: Cast) -> None:
    made = [cast.key().public_id for _ in range(30)]
    client = sign_in(cast.pm)
    for order in ("-number", "expiry", "-expiry", "partner", "-used", "used", "owner", "number"):
        first = client.get(LIST, {"sort": order})
        shown = [row.key.public_id for row in first.context["rows"]]
        assert len(shown) == 25
        second = client.get(LIST, {"sort": order, "cursor": first.context["page"].next_cursor})
        rest = [row.key.public_id for row in second.context["rows"]]
        assert sorted(shown + rest) == sorted(made), order
        assert second.context["page"].next_cursor is None
        back = client.get(LIST, {"sort": order, "cursor": second.context["page"].previous_cursor})
        assert [row.key.public_id for row in back.context["rows"]] == shown


def test_the_list_costs_the_same_number_of_queries_for_two_keys_and_for_twenty(cast: Cast) -> None:
    client = sign_in(cast.pm)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        return len(queries)

    for _ in range(2):
        reveal(cast.key())
    few = cost()
    for n in range(18):
        partner = make_partner(f"Partner {n}")
        key = cast.key(make_contract(partner))
        if n % 2:
            reveal(key)
    assert cost() == few
    assert few < 30


def test_htmx_gets_the_part_below_the_filters_and_a_clean_address(cast: Cast) -> None:
    cast.key()
    client = sign_in(cast.pm)
    answer = client.get(LIST, {"q": "", "status": "pending"}, headers={"HX-Request": "true"})
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in html
    assert 'id="registry"' in html
    assert answer["HX-Push-Url"] == f"{LIST}?status=pending"
    assert "HX-Request" in answer["Vary"]
    restored = client.get(LIST, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in restored.content.decode()


def test_empty_values_are_taken_out_of_the_address(cast: Cast) -> None:
    answer = sign_in(cast.pm).get(f"{LIST}?q=&status=pending&environment=")
    assert answer.status_code == 302
    assert answer["Location"] == f"{LIST}?status=pending"


def test_an_empty_registry_says_how_a_key_begins(cast: Cast) -> None:
    assert "No key was issued yet" in sign_in(cast.pm).get(LIST).content.decode()


# --- export ----------------------------------------------------------------------------------------------


def test_the_export_opens_in_excel_and_runs_nothing(cast: Cast) -> None:
    cast.key(name="=HYPERLINK(1)")
    partner = make_partner("+81 会社")
    cast.key(make_contract(partner), name="Fine")
    answer = sign_in(cast.pm).post(EXPORT)
    assert answer.status_code == 200
    raw = answer.content
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    assert rows[0][:4] == ["Partner", "Key ID", "API products", "Expires"]
    assert rows[1][0] == "'+81 会社"
    assert rows[2][4] == "'=HYPERLINK(1)"
    assert answer["Content-Disposition"].startswith('attachment; filename="api-keys-')
    assert answer["Cache-Control"] == "no-store"


def test_the_export_takes_the_filters_and_leaves_an_event(cast: Cast) -> None:
    cast.key()
    test = cast.key(environment="test")
    answer = sign_in(cast.auditor).post(f"{EXPORT}?environment=test")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row[1] for row in rows[1:]] == [test.public_id]
    event = Event.objects.get(action="export.made")
    assert event.actor_ref == cast.auditor.public_id
    assert event.payload == {"kind": "keys.csv", "rows": 1, "filters": "environment=test"}


def test_the_export_is_a_post_for_those_who_may(cast: Cast) -> None:
    assert sign_in(cast.pm).get(EXPORT).status_code == 405
    assert sign_in(cast.requester).post(EXPORT).status_code == 403
    assert not Event.objects.filter(action="export.made").exists()


def test_the_catalogue_shows_products_scopes_and_plans(cast: Cast) -> None:
    cast.key()
    html = sign_in(cast.requester).get(reverse("keys:product-list")).content.decode()
    for words in ("Catalog", "catalog:read", "administers", "Premium", "1 key"):
        assert words in html
    assert Secret.objects.count() == 0


def test_a_renamed_partner_is_found_by_the_new_name(cast: Cast) -> None:
    key, other = cast.key(), cast.key(cast.star_contract)
    partner = cast.company
    form = {"kind": partner.kind, "name": "港町ロジスティクス", "is_active": "on"}
    answer = sign_in(cast.pm).post(reverse("partners:partner-change", args=[partner.public_id]), form)
    assert answer.status_code == 302
    assert numbers(cast, "q=港町") == set()
    assert refresh_names(now=timezone.now()) == 1
    assert refresh_names(now=timezone.now()) == 0
    assert numbers(cast, "q=港町") == {key.public_id}
    assert numbers(cast, "q=みなと") == set()
    assert numbers(cast, "q=hoshino") == {other.public_id}
    assert refresh_names(now=timezone.now() + timedelta(hours=2)) == 0


def test_products_are_named_in_the_readers_language(cast: Cast) -> None:
    ApiProduct.objects.filter(code="catalog").update(name="カタログ")
    cast.key()
    for language, name in (("en", "Catalog"), ("ja", "カタログ")):
        User.objects.filter(pk=cast.pm.pk).update(language=language)
        cast.pm.refresh_from_db()
        html = sign_in(cast.pm).get(f"{LIST}?product=catalog").content.decode()
        assert f'<option value="catalog" selected>{name}</option>' in html
        assert f": {name} <svg" in html
