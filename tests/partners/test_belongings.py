"""Contacts, contracts, workspaces and identity checks, through HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from audit.models import Event
from core.days import NO_END
from keys.terms.terms import office_day
from partners.corporate_number import check_digit, parse_corporate_number
from partners.models import Contact, Contract, IdentityCheck, Partner, Workspace
from tests.cast import Cast, make_contract, sign_in

TODAY = office_day(timezone.now())
CONTACT = {
    "name": "佐々木 亮",
    "title": "SCM推進室",
    "email": "Ryo.Sasaki@Example.JP",
    "phone": "０３-１２３４-５６７８",
    "purposes": ["billing", "technical"],
    "language": "ja",
}
CONTRACT = {
    "title": "データ利用契約",
    "monthly_amount_jpy": "５０万円",
    "starts_on": TODAY.isoformat(),
    "ends_on": f"{TODAY.year + 1}年{TODAY.month}月1日",
    "licence_level": "partner",
    "terms_version": "2026-04",
}
WORKSPACE = {"name": "配送状況", "code": "Minato-Logi", "time_zone": "Asia/Tokyo"}
FORMS: dict[str, dict[str, Any]] = {
    "contact-add": CONTACT,
    "contract-add": CONTRACT,
    "workspace-add": WORKSPACE,
}


def add(partner: Partner, name: str) -> str:
    return reverse(f"partners:{name}", args=[partner.public_id])


def change(name: str, thing: Contact | Contract | Workspace) -> str:
    return reverse(f"partners:{name}-change", args=[thing.public_id])


def typed(form: Any) -> dict[str, Any]:
    """What a browser would send of a form that nobody touched: an unticked box is not sent."""
    return {name: value for name, value in form.initial.items() if value is not False}


def test_a_contact_is_added_without_a_trace_of_who_it_is(cast: Cast) -> None:
    answer = sign_in(cast.requester).post(add(cast.company, "contact-add"), CONTACT)
    assert answer.status_code == 302
    contact = Contact.objects.get(email="ryo.sasaki@example.jp")
    assert contact.phone == "03-1234-5678"
    assert contact.purposes == ["technical", "billing"]
    event = Event.objects.get(action="contact.added")
    assert event.objects_touched == [f"contact:{contact.public_id}", f"partner:{cast.company.public_id}"]
    assert event.payload == {"purposes": ["technical", "billing"]}
    assert b"sasaki" not in bytes(event.canonical)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "あ" * 121),
        ("email", "not an address"),
        ("email", "a@example.jp\r\nBcc: b@example.jp"),
        ("email", '"a b"@example.jp'),
        ("email", "a" * 250 + "@example.jp"),
        ("purposes", []),
        ("purposes", ["technical", "unknown"]),
        ("purposes", ["consent"]),
        ("language", "fr"),
        ("phone", "0" * 31),
    ],
)
def test_bad_input_of_a_contact(cast: Cast, field: str, value: Any) -> None:
    before = Contact.objects.count()
    answer = sign_in(cast.pm).post(add(cast.company, "contact-add"), CONTACT | {field: value})
    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert Contact.objects.count() == before


def test_two_contacts_of_a_partner_never_share_an_address(cast: Cast) -> None:
    client = sign_in(cast.pm)
    client.post(add(cast.company, "contact-add"), CONTACT)
    again = client.post(add(cast.company, "contact-add"), CONTACT | {"email": "RYO.SASAKI@example.jp"})
    assert again.status_code == 422
    assert again.context["form"].errors["email"]
    # Another partner's contact may have it.
    assert client.post(add(cast.team, "contact-add"), CONTACT).status_code == 302


def test_a_changed_contact_leaves_names_of_fields_only(cast: Cast) -> None:
    contact = cast.company.contacts.all()[0]
    client = sign_in(cast.pm)
    url = change("contact", contact)
    form = typed(client.get(url).context["form"])
    answer = client.post(url, form | {"name": "新しい 名前", "email": "new@example.jp", "language": "ja"})
    assert answer.status_code == 302
    event = Event.objects.get(action="contact.changed")
    assert event.payload["fields"] == ["email", "language", "name"]
    assert event.payload["after"] == {"language": "ja"}
    assert client.post(url, form).status_code == 409


def test_only_a_rights_holder_has_someone_who_consents(cast: Cast) -> None:
    answer = sign_in(cast.pm).post(add(cast.star, "contact-add"), CONTACT | {"purposes": ["consent"]})
    assert answer.status_code == 302
    page = sign_in(cast.pm).get(add(cast.company, "contact-add"))
    assert 'value="consent"' not in page.text


def test_a_rights_holder_without_anybody_to_consent_is_pointed_out(cast: Cast) -> None:
    cast.star.contacts.filter(purposes__contains=["consent"]).delete()
    page = sign_in(cast.pm).get(add(cast.star, "partner-detail"))
    assert "Nobody here can give the rights-holder" in page.text


@pytest.mark.parametrize(
    ("amount", "yen", "coo"),
    [
        ("500000", 500_000, False),
        ("５００，００１", 500_001, True),
        ("50万円", 500_000, False),
        ("50万1円", 500_001, True),
        ("¥600,000", 600_000, True),
        ("0", 0, False),
    ],
)
def test_a_contract_at_the_threshold(cast: Cast, amount: str, yen: int, coo: bool) -> None:
    client = sign_in(cast.pm)
    answer = client.post(add(cast.team, "contract-add"), CONTRACT | {"monthly_amount_jpy": amount})
    assert answer.status_code == 302
    contract = cast.team.contracts.get()
    assert contract.monthly_amount_jpy == yen
    page = client.get(add(cast.team, "partner-detail"))
    assert ("COO approves" in page.text) is coo
    event = Event.objects.get(action="contract.added")
    assert event.payload["monthly_amount_jpy"] == yen


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("monthly_amount_jpy", "-500000"),
        ("monthly_amount_jpy", "500.000"),
        ("monthly_amount_jpy", "五十万円"),
        ("monthly_amount_jpy", "約50万"),
        ("monthly_amount_jpy", "9" * 30),
        ("monthly_amount_jpy", ""),
        ("starts_on", "2026-02-30"),
        ("starts_on", ""),
        ("ends_on", (TODAY - timedelta(days=1)).isoformat()),
        ("ends_on", "tomorrow"),
        ("licence_level", "secret"),
        ("terms_version", ""),
        ("terms_version", "v" * 41),
        ("title", ""),
        ("title", "x" * 200_000),
    ],
)
def test_bad_input_of_a_contract(cast: Cast, field: str, value: str) -> None:
    before = Contract.objects.count()
    answer = sign_in(cast.pm).post(add(cast.company, "contract-add"), CONTRACT | {field: value})
    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert Contract.objects.count() == before
    if value and len(value) < 100:
        assert f'value="{value}"' in answer.text or field == "licence_level"


def test_a_contract_that_has_ended_already_is_refused(cast: Cast) -> None:
    past = {"starts_on": "2020-01-01", "ends_on": "2020-12-31"}
    answer = sign_in(cast.pm).post(add(cast.company, "contract-add"), CONTRACT | past)
    assert answer.status_code == 422
    assert "past" in answer.context["form"].errors["ends_on"][0]


def test_a_contract_that_has_ended_may_be_put_right_and_one_in_force_not_ended_in_the_past(
    cast: Cast,
) -> None:
    ended = make_contract(cast.company, 500_000)
    Contract.objects.filter(pk=ended.pk).update(starts_on="2020-01-01", ends_on="2020-12-31")
    client = sign_in(cast.pm)
    url = change("contract", ended)
    for field, value in (("title", "旧契約"), ("ends_on", "2021-01-31")):
        form = typed(client.get(url).context["form"])
        assert client.post(url, form | {field: value}).status_code == 302
    url = change("contract", make_contract(cast.company, 500_000))
    form = typed(client.get(url).context["form"])
    answer = client.post(url, form | {"starts_on": "2020-01-01", "ends_on": "2021-01-31"})
    assert answer.status_code == 422
    assert answer.context["form"].errors["ends_on"]


def test_under_running_keys_a_contract_neither_rises_above_the_threshold_nor_ends_early(cast: Cast) -> None:
    cast.key(cast.edge)
    client = sign_in(cast.pm)
    url = change("contract", cast.edge)
    form = typed(client.get(url).context["form"])
    soon = (TODAY + timedelta(days=30)).isoformat()
    for field, value in (
        ("monthly_amount_jpy", "500,001"),
        ("ends_on", soon),
        ("licence_level", "public"),
    ):
        answer = client.post(url, form | {field: value})
        assert answer.status_code == 422
        assert answer.context["form"].errors[field]
    assert client.post(url, form | {"monthly_amount_jpy": "400,000"}).status_code == 302
    # Without keys all of it may change.
    free = make_contract(cast.company, 500_000)
    url = change("contract", free)
    form = typed(client.get(url).context["form"])
    answer = client.post(url, form | {"monthly_amount_jpy": "50万1円", "ends_on": soon})
    assert answer.status_code == 302
    event = Event.objects.filter(action="contract.changed").latest("id")
    assert event.payload["before"]["monthly_amount_jpy"] == 500_000
    assert event.payload["after"] == {"monthly_amount_jpy": 500_001, "ends_on": soon}


def test_contracts_that_cross_the_threshold_together_are_pointed_out(cast: Cast) -> None:
    cast.big.delete()
    page = sign_in(cast.legal).get(add(cast.company, "partner-detail"))
    assert "800,000" in page.text
    assert "stays below the COO" in page.text


def test_a_workspace_has_its_code_once_for_ever(cast: Cast) -> None:
    client = sign_in(cast.pm)
    assert client.post(add(cast.company, "workspace-add"), WORKSPACE).status_code == 302
    workspace = Workspace.objects.get(code="minato-logi")
    assert Event.objects.get(action="workspace.added").payload == {"code": "minato-logi"}
    again = client.post(add(cast.team, "workspace-add"), WORKSPACE)
    assert again.status_code == 422
    assert again.context["form"].errors["code"]
    url = change("workspace", workspace)
    form = typed(client.get(url).context["form"])
    assert client.post(url, form | {"name": "新", "code": "other"}).status_code == 302
    workspace.refresh_from_db()
    assert (workspace.name, workspace.code) == ("新", "minato-logi")


@pytest.mark.parametrize(
    ("field", "value"),
    [("code", ""), ("code", "two words"), ("code", "日本"), ("code", "a" * 61), ("code", "a/b"), ("name", ""),
     ("time_zone", "Mars/Olympus"), ("time_zone", "../../etc/passwd")],
)  # fmt: skip
def test_bad_input_of_a_workspace(cast: Cast, field: str, value: str) -> None:
    answer = sign_in(cast.pm).post(add(cast.company, "workspace-add"), WORKSPACE | {field: value})
    assert answer.status_code == 422
    assert answer.context["form"].errors[field]


def test_a_code_that_will_not_do_is_refused_with_an_example(cast: Cast) -> None:
    answer = sign_in(cast.pm).post(add(cast.company, "workspace-add"), WORKSPACE | {"code": "two words"})
    assert answer.context["form"].errors["code"] == [
        "Write letters, digits and hyphens only, for example campaign-2026."
    ]


def test_a_workspace_with_working_keys_stays_open_and_keeps_its_zone(cast: Cast) -> None:
    key = cast.key()
    client = sign_in(cast.pm)
    url = change("workspace", key.workspace)
    form = typed(client.get(url).context["form"])
    closing = {name: value for name, value in form.items() if name != "is_active"}
    assert client.post(url, closing).context["form"].errors["is_active"]
    assert client.post(url, form | {"time_zone": "UTC"}).context["form"].errors["time_zone"]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    ("target", "goes"),
    [
        ("/requests/KR-0001/edit/?section=2", "/requests/KR-0001/edit/?section=2"),
        ("https://evil.example/", None),
        ("//evil.example/", None),
        ("javascript:alert(1)", None),
        ("/\\evil.example", None),
    ],
)
def test_after_adding_it_goes_back_to_a_safe_page_only(
    cast: Cast, name: str, target: str, goes: str | None
) -> None:
    client = sign_in(cast.pm)
    page = client.get(add(cast.company, name), {"next": target})
    assert page.context["next"] == (goes or "")
    answer = client.post(add(cast.company, name), FORMS[name] | {"next": target})
    assert answer.status_code == 302
    assert answer["Location"] == (goes or add(cast.company, "partner-detail"))


@pytest.mark.parametrize("name", ["contact", "contract", "workspace"])
def test_unknown_belongings_are_404(cast: Cast, name: str) -> None:
    url = reverse(f"partners:{name}-change", args=["XX-0001"])
    assert sign_in(cast.pm).get(url).status_code == 404


@pytest.mark.parametrize("role", ["tech", "security"])
def test_an_identity_check_is_kept_with_who_and_when(cast: Cast, role: str) -> None:
    by = cast.everyone[role]
    points = [point.value for point in IdentityCheck.points_for("company")]
    answer = sign_in(by).post(
        add(cast.company, "identity-check-add"), {"checklist": points, "note": "Register of 2026-11"}
    )
    assert answer.status_code == 302
    check = cast.company.identity_checks.get()
    assert check.checked_by == by
    cast.company.refresh_from_db()
    assert cast.company.identity_checked_at == check.checked_at
    assert Event.objects.get(action="partner.identity_checked").payload == {"checklist": points}


def test_half_an_identity_check_is_none(cast: Cast) -> None:
    client = sign_in(cast.security)
    url = add(cast.company, "identity-check-add")
    for points in ([], ["call_back"], ["call_back", "unknown"]):
        answer = client.post(url, {"checklist": points})
        assert answer.status_code == 422
        assert answer.context["form"].errors["checklist"]
    assert not cast.company.identity_checks.exists()


@pytest.mark.parametrize("role", ["requester", "pm", "legal", "coo", "ops", "auditor", "admin"])
def test_others_record_no_identity_check(cast: Cast, role: str) -> None:
    client = sign_in(cast.everyone[role])
    url = add(cast.company, "identity-check-add")
    assert client.get(url).status_code == 403
    assert client.post(url, {"checklist": IdentityCheck.Point.values}).status_code == 403


def test_nothing_is_added_to_an_ended_partner(cast: Cast) -> None:
    Partner.objects.filter(pk=cast.team.pk).update(is_active=False)
    client = sign_in(cast.pm)
    for name, form in FORMS.items():
        assert client.post(add(cast.team, name), form).status_code == 409


@pytest.mark.parametrize(
    ("number", "digit"), [("000012050002", "7"), ("180301018771", "1"), ("010401067252", "5")]
)
def test_check_digits(number: str, digit: str) -> None:
    assert check_digit(number) == digit
    assert parse_corporate_number(digit + number) == digit + number


# --- the calendar's edge ---------------------------------------------------------------------------------

EDGES = [
    "0001-01-01",
    "1999-12-31",
    "2000-01-01",
    "2099-12-31",
    "2100-01-01",
    "9999-12-31",
    "令和99年12月31日",
]


@pytest.mark.parametrize("starts_on", EDGES)
@pytest.mark.parametrize("ends_on", EDGES)
def test_days_at_the_calendars_edge_are_taken_whole_or_refused(
    cast: Cast, starts_on: str, ends_on: str
) -> None:
    client = sign_in(cast.pm)
    days = {"starts_on": starts_on, "ends_on": ends_on}
    answer = client.post(add(cast.team, "contract-add"), CONTRACT | days)
    assert answer.status_code in {302, 422}
    if answer.status_code == 422:
        assert {"starts_on", "ends_on"} & answer.context["form"].errors.keys()
        assert not cast.team.contracts.exists()
        return
    # What was taken can be shown, changed and asked for.
    url = change("contract", cast.team.contracts.get())
    form = typed(client.get(url).context["form"])
    assert client.post(url, form | {"title": "Renamed"}).status_code == 302
    assert client.get(add(cast.team, "partner-detail")).status_code == 200


def test_a_contract_may_have_no_end(cast: Cast) -> None:
    client = sign_in(cast.pm)
    open_ended = {"ends_on": "", "has_no_end": "on"}
    assert client.post(add(cast.company, "contract-add"), CONTRACT | open_ended).status_code == 302
    contract = cast.company.contracts.latest("id")
    assert contract.ends_on == NO_END
    page = client.get(add(cast.company, "partner-detail"), headers={"Accept-Language": "en"}).text
    assert "no end agreed" in page
    assert "2999" not in page
    form = client.get(change("contract", contract)).context["form"]
    assert (form["ends_on"].value(), form["has_no_end"].value()) == (None, True)
    # A key under it ends after a year at most, as every key does.
    key = cast.key(contract)
    assert key.expires_at.year < 2100
    soon = (TODAY + timedelta(days=300)).isoformat()
    answer = client.post(change("contract", contract), typed(form) | {"has_no_end": "", "ends_on": soon})
    assert answer.status_code == 302


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ({"ends_on": "", "has_no_end": ""}, "tick that no end is agreed"),
        ({"ends_on": "2027-03-31", "has_no_end": "on"}, "not both"),
        ({"ends_on": "9999-12-31", "has_no_end": ""}, "from 2000-01-01 to 2099-12-31"),
    ],
)
def test_a_contract_has_a_last_day_or_none(cast: Cast, days: dict[str, str], words: str) -> None:
    client = sign_in(cast.pm)
    answer = client.post(
        add(cast.company, "contract-add"), CONTRACT | days, headers={"Accept-Language": "en"}
    )
    assert answer.status_code == 422
    assert words in answer.text
