"""Partners: list, page, registering and changing, through HTTP."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.models import Event
from core.actors import staff_actor
from partners.models import Partner
from partners.services import change_partner
from tests.cast import Cast, make_partner, sign_in

FORM = {
    "kind": "company",
    "name": "　みなと　商事株式会社 ",
    "name_kana": "ミナトショウジ",
    "corporate_number": "７０００-０１２０-５０００２",
    "website": "https://minato.example.jp/",
    "note": "",
}
URLS = [
    "partners:partner-list",
    "partners:partner-register",
]


def page_of(partner: Partner, name: str = "partner-detail") -> str:
    return reverse(f"partners:{name}", args=[partner.public_id])


def test_registering_a_partner_cleans_what_was_typed_and_leaves_an_event(cast: Cast) -> None:
    client = sign_in(cast.pm)
    answer = client.post(reverse("partners:partner-register"), FORM)
    partner = Partner.objects.get(corporate_number="7000012050002")
    assert answer.status_code == 302
    assert answer["Location"] == page_of(partner)
    assert partner.name == "みなと 商事株式会社"
    event = Event.objects.get(action="partner.registered")
    assert event.actor_ref == cast.pm.public_id
    assert event.objects_touched == [f"partner:{partner.public_id}"]
    assert event.payload == {"kind": "company"}
    shown = client.get(answer["Location"])
    assert shown.status_code == 200
    assert "7000012050002" in shown.text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("kind", "bank", "Select a valid choice"),
        ("kind", "", "required"),
        ("name", "", "required"),
        ("name", "\u200b \x00", "required"),
        ("name", "あ" * 161, "160"),
        ("corporate_number", "700001205000", "13 digits"),
        ("corporate_number", "7000012050003", "check digit"),
        ("corporate_number", "７００００１２０５０００３", "check digit"),
        ("corporate_number", "abcdefghijklm", "13 digits"),
        ("website", "javascript:alert(1)", "valid URL"),
        ("website", "ftp://example.jp/\x00", "Null"),
        ("note", "x" * 2001, "2000"),
    ],
)
def test_bad_input_is_refused_beside_its_field(cast: Cast, field: str, value: str, words: str) -> None:
    before = Partner.objects.count()
    answer = sign_in(cast.pm).post(reverse("partners:partner-register"), FORM | {field: value})
    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors[field])
    assert f'id="id_{field}_error"' in answer.text
    assert Partner.objects.count() == before
    assert not Event.objects.exists()


def test_a_corporate_number_is_registered_once(cast: Cast) -> None:
    client = sign_in(cast.pm)
    client.post(reverse("partners:partner-register"), FORM)
    again = client.post(reverse("partners:partner-register"), FORM | {"name": "Another"})
    assert again.status_code == 422
    assert "registered already" in again.text


def test_changing_a_partner_names_fields_but_no_names(cast: Cast) -> None:
    client = sign_in(cast.requester)
    url = page_of(cast.star, "partner-change")
    form = client.get(url).context["form"]
    answer = client.post(url, form.initial | {"name": "Hoshino Sora", "website": "https://sora.example.jp"})
    assert answer.status_code == 302, answer.context["form"].errors
    event = Event.objects.get(action="partner.changed")
    assert event.payload["fields"] == ["name", "website"]
    assert event.payload["after"] == {"website": "https://sora.example.jp"}
    assert "Hoshino" not in str(event.payload)


def test_saving_what_is_there_leaves_no_event(cast: Cast) -> None:
    client = sign_in(cast.pm)
    url = page_of(cast.company, "partner-change")
    assert client.post(url, client.get(url).context["form"].initial).status_code == 302
    assert not Event.objects.exists()


def test_a_stale_form_is_409_and_shows_what_is_saved_and_what_was_typed(cast: Cast) -> None:
    client = sign_in(cast.pm)
    url = page_of(cast.company, "partner-change")
    stale = client.get(url).context["form"].initial | {"note": "mine"}
    other = sign_in(cast.pm2)
    assert other.post(url, other.get(url).context["form"].initial | {"note": "theirs"}).status_code == 302
    answer = client.post(url, stale)
    assert answer.status_code == 409
    assert "Somebody else changed this" in answer.text
    assert "mine" in answer.text
    assert answer.context["form"].initial["note"] == "theirs"
    cast.company.refresh_from_db()
    assert cast.company.note == "theirs"
    # Sent again from the fresh form it goes through.
    assert client.post(url, answer.context["form"].initial | {"note": "mine"}).status_code == 302


def test_a_partner_with_keys_keeps_its_kind_and_stays_active(cast: Cast) -> None:
    cast.key()
    client = sign_in(cast.pm)
    url = page_of(cast.company, "partner-change")
    initial = client.get(url).context["form"].initial
    answer = client.post(url, initial | {"kind": "agency"})
    assert answer.status_code == 422
    assert answer.context["form"].errors["kind"]
    ending = {name: value for name, value in initial.items() if name != "is_active"}
    answer = client.post(url, ending)
    assert answer.status_code == 422
    assert answer.context["form"].errors["is_active"]


def test_another_corporate_number_makes_the_identity_check_void(cast: Cast) -> None:
    now = timezone.now()
    Partner.objects.filter(pk=cast.company.pk).update(identity_checked_at=now)
    client = sign_in(cast.pm)
    url = page_of(cast.company, "partner-change")
    client.post(url, client.get(url).context["form"].initial | {"corporate_number": "7000012050002"})
    cast.company.refresh_from_db()
    assert cast.company.identity_checked_at is None


@pytest.mark.parametrize("name", ["partner-detail", "partner-change", "contact-add", "identity-check-add"])
def test_an_unknown_partner_is_404(cast: Cast, name: str) -> None:
    assert (
        sign_in(cast.security if "check" in name else cast.pm)
        .get(reverse(f"partners:{name}", args=["PT-9999"]))
        .status_code
        == 404
    )


@pytest.mark.parametrize("role", ["legal", "tech", "security", "coo", "ops", "auditor", "admin"])
def test_who_may_not_edit_reads_only(cast: Cast, role: str) -> None:
    client = sign_in(cast.everyone[role])
    before = Event.objects.count()
    page = client.get(page_of(cast.company))
    assert page.status_code == 200
    assert page_of(cast.company, "contact-add") not in page.text
    assert client.get(reverse("partners:partner-register")).status_code == 403
    for name in ("partner-change", "contact-add", "contract-add", "workspace-add"):
        assert client.get(page_of(cast.company, name)).status_code == 403
        assert client.post(page_of(cast.company, name), FORM).status_code == 403
    assert Event.objects.count() == before


@pytest.mark.parametrize("name", ["partner-list", "partner-register"])
def test_a_stranger_is_asked_to_sign_in(db: None, name: str) -> None:
    answer = Client().get(reverse(f"partners:{name}"))
    assert answer.status_code == 302
    assert "/sign-in/" in answer["Location"]
    assert Client().post(reverse("partners:partner-register"), FORM).status_code == 302
    assert not Partner.objects.exists()


def test_pages_that_only_show_refuse_post(cast: Cast) -> None:
    client = sign_in(cast.pm)
    assert client.post(reverse("partners:partner-list")).status_code == 405
    assert client.post(page_of(cast.company)).status_code == 405
    assert client.delete(page_of(cast.company, "partner-change")).status_code == 405


def test_a_form_without_its_token_is_refused(cast: Cast) -> None:
    client = sign_in(cast.pm, enforce_csrf_checks=True)
    assert client.post(reverse("partners:partner-register"), FORM).status_code == 403


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("q=みなと", 1),
        ("q=HOSHINO", 1),
        ("q=PX-", 0),
        ("kind=internal", 1),
        ("kind=nonsense", 3),
        ("q=%25", 0),
        ("q=みなと&kind=agency", 0),
        ("sort=-created_at", 3),
        ("cursor=forged", 3),
    ],
)
def test_the_list_searches_and_filters(cast: Cast, query: str, found: int) -> None:
    answer = sign_in(cast.pm).get(f"{reverse('partners:partner-list')}?{query}")
    assert answer.status_code == 200
    assert len(answer.context["found"].page.rows) == found


def test_the_list_finds_a_partner_by_its_contact_and_number(cast: Cast) -> None:
    client, url = sign_in(cast.auditor), reverse("partners:partner-list")
    contact = cast.company.contacts.all()[0]
    for text in (contact.email, cast.company.public_id):
        assert [row.pk for row in client.get(url, {"q": text}).context["found"].page.rows] == [
            cast.company.pk
        ]


def test_an_ended_partner_is_hidden_until_asked_for(cast: Cast) -> None:
    change_partner(
        actor=staff_actor(cast.pm), by=cast.pm, partner=cast.team, kind="internal", name=cast.team.name,
        name_kana="", corporate_number="", website="", note="", is_active=False, now=timezone.now(),
    )  # fmt: skip
    client, url = sign_in(cast.pm), reverse("partners:partner-list")
    assert len(client.get(url).context["found"].page.rows) == 2
    assert len(client.get(url, {"ended": "1"}).context["found"].page.rows) == 3


def test_the_list_is_in_the_order_of_its_readings(cast: Cast) -> None:
    for number, kana in ((1, "ンゴ"), (2, "アイ")):
        partner = make_partner(f"亜{number}")
        Partner.objects.filter(pk=partner.pk).update(name_kana=kana)
    page = sign_in(cast.pm).get(reverse("partners:partner-list"))
    names = [row.name for row in page.context["found"].page.rows if row.name.startswith("亜")]
    assert names == ["亜2", "亜1"]


def test_the_pages_of_a_long_list_follow_each_other(cast: Cast) -> None:
    for number in range(30):
        make_partner(f"Partner {number:02}")
    client, url = sign_in(cast.pm), reverse("partners:partner-list")
    first = client.get(url).context["found"].page
    second = client.get(url, {"cursor": first.next_cursor}).context["found"].page
    assert len(first.rows) == 25
    assert len(second.rows) == 8
    assert not {row.pk for row in first.rows} & {row.pk for row in second.rows}


def test_the_queries_of_the_list_do_not_grow_with_its_rows(
    cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, url = sign_in(cast.pm), reverse("partners:partner-list")
    for number in range(20):
        make_partner(f"Partner {number:02}")
    with django_assert_max_num_queries(10):
        client.get(url)


def test_the_queries_of_a_page_do_not_grow_with_its_rows(
    cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(4):
        cast.key(name=f"Key {number}")
    client = sign_in(cast.pm)
    with django_assert_max_num_queries(13):
        page = client.get(page_of(cast.company))
    assert page.context["page"].n_keys == 4
