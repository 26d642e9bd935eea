"""The form of a request through HTTP: drafts, submitting, bad input, the live panel, stale forms (R1, R2)."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from approvals.models import Request, Step
from approvals.requests.choices import plan_card
from approvals.requests.drafts import draft_of, posted_by
from approvals.requests.selectors.preview import preview_path
from audit.models import Event
from keys.terms.checks import Registry
from keys.terms.terms import KeyTerms, office_day
from notifications.models import Message
from partners.models import Contract
from tests.cast import (
    Cast,
    decide,
    make_contract,
    make_draft,
    make_key,
    make_partner,
    make_plan,
    make_staff,
    make_terms,
    sign_in,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(cast: Cast) -> Request:
    return make_draft(cast.company, cast.requester)


def form_of(cast: Cast, under: Contract | None = None, /, **changes: Any) -> dict[str, Any]:
    """What a browser posts for the cast's usual terms; a value of None leaves the field out."""
    data = draft_of(cast.terms(under)) | {"action": "submit", "version": "1"} | changes
    return {name: value for name, value in data.items() if value not in (None, "", [])}


def post(
    client: Client, request: Request, data: dict[str, Any], page: str = "request-edit", **headers: Any
) -> Any:
    return client.post(reverse(f"approvals:{page}", args=[request.public_id]), data, **headers)


def actions() -> list[str]:
    return list(Event.objects.order_by("id").values_list("action", flat=True))


# --- beginning -----------------------------------------------------------------------------------------


def test_a_draft_begins_with_a_post_only(cast: Cast) -> None:
    client = sign_in(cast.requester)
    url = reverse("approvals:request-new")
    assert client.get(url, {"partner": cast.company.public_id, "q": "x"}).status_code == 200
    assert not Request.objects.exists()
    response = client.post(url, {"partner": cast.company.public_id})
    request = Request.objects.get()
    assert response.headers["Location"] == reverse("approvals:request-edit", args=[request.public_id])
    assert (request.state, request.requester, request.partner) == ("draft", cast.requester, cast.company)
    assert actions() == ["request.drafted"]


@pytest.mark.parametrize("number", ["", "PT-9999"])
def test_no_draft_for_an_unknown_partner(cast: Cast, number: str) -> None:
    response = sign_in(cast.requester).post(reverse("approvals:request-new"), {"partner": number})
    assert response.status_code == 404


def test_no_draft_for_an_inactive_partner(cast: Cast) -> None:
    cast.company.is_active = False
    cast.company.save(update_fields=["is_active"])
    response = sign_in(cast.requester).post(
        reverse("approvals:request-new"), {"partner": cast.company.public_id}
    )
    assert response.status_code == 409
    assert not Request.objects.exists()


def test_the_new_form_begins_small(cast: Cast, draft: Request) -> None:
    page = sign_in(cast.requester).get(reverse("approvals:request-edit", args=[draft.public_id]))
    form = page.context["form"]
    assert (form["rpm"].value(), form["rph"].value()) == ("100", "1,000")
    assert (form["sla_latency_ms"].value(), form["sla_success_percent"].value()) == ("500", "99")
    assert form["budget_thresholds"].value() == ["50", "80", "90", "100"]
    assert "consent_contact" not in form.fields


# --- drafts keep everything ------------------------------------------------------------------------------


def test_a_draft_keeps_what_was_typed_right_or_wrong(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    typed = {"name": "途中", "rpm": "たくさん", "ip_ranges": "300.1.1.1\nhello", "expires_on": "いつか"}
    response = post(client, draft, typed | {"scopes": ["catalog:read"], "version": "1", "action": "save"})
    assert response.status_code == 302
    draft.refresh_from_db()
    assert draft.title == "途中"
    assert draft.draft | typed == draft.draft
    assert draft.draft["scopes"] == ["catalog:read"]
    page = client.get(response.headers["Location"]).content.decode()
    assert "たくさん" in page
    assert "300.1.1.1\nhello" in page
    assert actions()[-1] == "request.edited"
    assert not Message.objects.exists()


def test_a_draft_keeps_no_nul_and_no_novel(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    post(client, draft, {"purpose": "a\x00b", "version": "1", "action": "save"})
    draft.refresh_from_db()
    assert draft.draft["purpose"] == "ab"
    response = post(client, draft, {"purpose": "x" * 20_001, "version": "2", "action": "save"})
    assert response.status_code == 422
    draft.refresh_from_db()
    assert draft.draft["purpose"] == "ab"


def test_a_detour_keeps_the_draft_and_comes_back(cast: Cast, draft: Request) -> None:
    data = {"name": "Kept", "version": "1", "action": "add-contract"}
    response = post(sign_in(cast.requester), draft, data)
    back = reverse("approvals:request-edit", args=[draft.public_id])
    assert response.headers["Location"].startswith(
        reverse("partners:contract-add", args=[cast.company.public_id]) + "?next="
    )
    assert back.replace("/", "%2F") in response.headers["Location"]
    draft.refresh_from_db()
    assert draft.title == "Kept"


# --- submitting ------------------------------------------------------------------------------------------


def test_submitting_asks_the_first_approver(cast: Cast, draft: Request) -> None:
    response = post(sign_in(cast.requester), draft, form_of(cast))
    assert response.status_code == 302
    draft.refresh_from_db()
    assert draft.state == Request.State.IN_REVIEW
    revision = draft.revisions.get()
    assert KeyTerms.from_json(revision.terms) == cast.terms()
    assert [step.role for step in draft.steps.all()] == ["pm", "legal", "tech"]
    asked = set(Message.objects.filter(kind="step_requested").values_list("recipient_ref", flat=True))
    assert asked == {cast.pm.public_id, cast.pm2.public_id}
    assert actions()[:3] == ["request.drafted", "request.submitted", "step.opened"]


@pytest.mark.parametrize(("amount", "roles"), [(500_000, 3), (500_001, 4)])
def test_the_contracts_amount_decides_about_the_coo(
    cast: Cast, draft: Request, amount: int, roles: int
) -> None:
    contract = make_contract(cast.company, amount)
    # An amount that is posted by hand is not read: the contract's own counts.
    data = form_of(cast, contract, monthly_amount_jpy="1")
    assert post(sign_in(cast.requester), draft, data).status_code == 302
    assert draft.steps.count() == roles
    assert draft.revisions.get().terms["monthly_amount_jpy"] == amount


def test_a_rights_holders_request_has_a_consent_step(cast: Cast) -> None:
    draft = make_draft(cast.star, cast.requester)
    data = form_of(cast, cast.star_contract)
    assert post(sign_in(cast.requester), draft, data).status_code == 302
    step = draft.steps.get(role="rights_holder")
    assert step.contact == cast.star.contacts.get(purposes__contains=["consent"])


def test_an_internal_team_needs_no_contract(cast: Cast) -> None:
    draft = make_draft(cast.team, cast.requester)
    data = draft_of(cast.team_terms()) | {"action": "submit", "version": "1"}
    data = {name: value for name, value in data.items() if value not in ("", [])}
    assert post(sign_in(cast.requester), draft, data).status_code == 302
    assert [step.role for step in draft.steps.all()] == ["pm", "tech"]


def test_ticks_below_a_product_that_was_let_go_do_not_count(cast: Cast, draft: Request) -> None:
    data = form_of(cast, scopes=["catalog:read", "orders:read"])
    assert post(sign_in(cast.requester), draft, data).status_code == 302
    assert draft.revisions.get().terms["scopes"] == ["catalog:read"]


def test_numbers_and_days_as_offices_write_them(cast: Cast, draft: Request) -> None:
    day = office_day(timezone.now()) + timedelta(days=30)
    data = form_of(
        cast,
        rpm="１００",
        rph="1,000",
        expires_on=f"令和{day.year - 2018}年{day.month}月{day.day}日",
        monthly_budget_usd="$1,200",
        billing_contact=cast.terms().recipient,
        budget_thresholds=["80", "100"],
    )
    assert post(sign_in(cast.requester), draft, data).status_code == 302
    terms = draft.revisions.get().terms
    assert (terms["rpm"], terms["rph"], terms["expires_on"]) == (100, 1000, day.isoformat())
    assert (terms["monthly_budget_usd"], terms["budget_thresholds"]) == ("1200.00", [80, 100])


def day(days: int) -> str:
    return (office_day(timezone.now()) + timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", None, "required"),
        ("name", "x" * 121, "at most 120"),
        ("workspace", "WS-9999", "valid choice"),
        ("recipient", None, "required"),
        ("recipient", "CO-9999", "valid choice"),
        ("products", None, "Choose at least one API product."),
        ("products", ["moon"], "moon"),
        ("products", ["vault"], "stricter data-licence level"),
        ("scopes", None, "Choose at least one scope."),
        ("scopes", ["catalog:destroy"], "catalog:destroy"),
        ("scopes", ["catalog:admin"], "Admin level"),
        ("model_names", ["huge"], "huge"),
        ("purpose_category", "fun", "valid choice"),
        ("purpose_category", "revenue", ""),
        ("purpose", "short", "in a sentence"),
        ("purpose", "x" * 4_001, "at most 4000"),
        ("environment", "moon", "valid choice"),
        ("contract", None, "Choose the contract"),
        ("contract", "CT-9999", "valid choice"),
        ("licence_checklist", ["policy_read"], "every point"),
        ("plan", "internal", "valid choice"),
        ("rpm", "0", "from 1"),
        ("rpm", "-5", "from 1 to"),
        ("rpm", "many", "whole number"),
        ("rpm", "2001", "at most"),
        ("rph", "50", "lower"),
        ("burst", "9" * 30, "whole number"),
        ("burst", "", "for no limit write 0"),
        ("concurrency", "", "for no limit write 0"),
        ("ip_ranges", "203.0.113.300", "no IP address"),
        ("ip_ranges", "203.0.113.7/24", "203.0.113.0/24"),
        ("ip_ranges", "0.0.0.0/0", "so wide"),
        ("rotation_days", "45", "valid choice"),
        ("expires_on", None, "required"),
        ("expires_on", "2026-02-30", "no such day"),
        ("expires_on", "tomorrow", "Write the date"),
        ("expires_on", "today", "after today"),
        ("expires_on", "yesterday", "after today"),
        ("expires_on", "past the contract", "never outlives"),
        ("end_of_life", "never", "valid choice"),
        ("monthly_budget_usd", "-1", "negative"),
        ("monthly_budget_usd", "many", "US dollars"),
        ("billing_contact", "CO-9999", "valid choice"),
    ],
)
def test_bad_input_is_told_beside_its_field(
    cast: Cast, draft: Request, field: str, value: Any, words: str
) -> None:
    days = {"today": day(0), "yesterday": day(-1), "past the contract": day(340)}
    changes = {field: days.get(value, value) if isinstance(value, str) else value}
    if (field, value) == ("purpose_category", "revenue"):
        field, words = "sla_latency_ms", "required"
    response = post(sign_in(cast.requester), draft, form_of(cast, **changes))
    assert response.status_code == 422
    errors = response.context["form"].errors
    assert words in " ".join(map(str, errors[field]))
    draft.refresh_from_db()
    assert draft.state == "draft"
    assert not Message.objects.exists()
    page = response.content.decode()
    assert 'role="alert"' in page
    assert 'aria-invalid="true"' in page or "errorlist" in page


def test_all_errors_at_once_and_the_typed_stays(cast: Cast, draft: Request) -> None:
    response = post(
        sign_in(cast.requester), draft, {"action": "submit", "version": "1", "purpose": "あいう", "rpm": "x"}
    )
    errors = response.context["form"].errors
    assert {"name", "products", "scopes", "purpose", "environment", "contract", "rpm", "expires_on"} <= set(
        errors
    )
    assert "あいう" in response.content.decode()


def test_a_failed_submit_loses_nothing(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    typed = {"action": "submit", "name": "途中", "purpose": "あいう", "scopes": ["catalog:read"], "rpm": "x"}
    response = post(client, draft, typed | {"version": "1"})
    assert response.status_code == 422
    page = response.content.decode()
    assert 'name="version" value="2"' in page
    assert "What you typed is kept as the draft" in page
    draft.refresh_from_db()
    assert (draft.state, draft.version, draft.title) == ("draft", 2, "途中")
    assert actions()[-1] == "request.edited"
    # The same once more: nothing to keep. Then more was typed, with the version that the page had.
    assert post(client, draft, typed | {"version": "2"}).status_code == 422
    assert post(client, draft, typed | {"version": "2", "rph": "y"}).status_code == 422
    page = client.get(reverse("approvals:request-edit", args=[draft.public_id])).content.decode()
    for words in ("途中", "あいう", 'value="x"', 'value="y"', 'value="catalog:read" checked'):
        assert words in page
    response = post(client, draft, form_of(cast, version="3"))
    assert response.status_code == 302
    draft.refresh_from_db()
    assert draft.state == "in_review"


def test_a_failed_submit_of_a_stale_form_overwrites_nothing(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    post(client, draft, {"name": "First window", "version": "1", "action": "save"})
    response = post(client, draft, {"name": "Second window", "version": "1", "action": "submit"})
    assert response.status_code == 409
    draft.refresh_from_db()
    assert draft.draft["name"] == "First window"


def test_a_failed_submit_keeps_no_novel(cast: Cast, draft: Request) -> None:
    response = post(sign_in(cast.requester), draft, form_of(cast, purpose="x" * 20_001))
    assert response.status_code == 422
    assert "too long to be kept" in response.content.decode()
    draft.refresh_from_db()
    assert (draft.draft, draft.version) == ({}, 1)


def test_an_unclaimed_budget_names_the_missing_contact(cast: Cast, draft: Request) -> None:
    response = post(sign_in(cast.requester), draft, form_of(cast, monthly_budget_usd="100"))
    assert response.status_code == 422
    assert "billing_contact" in response.context["form"].errors


def test_a_contract_of_somebody_else_is_no_choice(cast: Cast, draft: Request) -> None:
    data = form_of(cast, contract=cast.star_contract.public_id)
    assert post(sign_in(cast.requester), draft, data).status_code == 422


# --- what the fields say ----------------------------------------------------------------------------------


def test_an_only_choice_is_chosen_for_the_panel_too(cast: Cast) -> None:
    partner = make_partner("Only one of each")
    contract = make_contract(partner)
    # Saved when there was nobody to choose, or somebody who has left since.
    old = draft_of(make_terms(partner, contract)) | {"workspace": "", "recipient": "CO-9999", "contract": ""}
    draft = make_draft(partner, cast.requester, old)
    page = sign_in(cast.requester).get(reverse("approvals:request-edit", args=[draft.public_id]))
    form = page.context["form"]
    assert form["workspace"].value() == partner.workspaces.get().public_id
    assert form["recipient"].value() == partner.contacts.get().public_id
    assert form["contract"].value() == contract.public_id
    assert page.context["panel"].missing == []


def test_a_contract_is_marked_as_required_unless_a_plan_may_do_without(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    page = client.get(reverse("approvals:request-edit", args=[draft.public_id]))
    assert page.context["form"].fields["contract"].required
    inside = make_draft(cast.team, cast.requester)
    page = client.get(reverse("approvals:request-edit", args=[inside.public_id]))
    assert not page.context["form"].fields["contract"].required
    assert "Needed unless the plan is for internal teams." in page.content.decode()


def test_no_field_looks_filled_or_cuts_what_is_pasted(cast: Cast, draft: Request) -> None:
    page = sign_in(cast.requester).get(reverse("approvals:request-edit", args=[draft.public_id]))
    fields = str(page.context["form"])
    assert "placeholder" not in fields
    assert "maxlength" not in str(page.context["form"]["name"]) + str(page.context["form"]["purpose"])


@pytest.mark.parametrize(("end", "renews"), [("renew", True), ("expire", False), ("replace", False)])
def test_the_end_alone_says_whether_a_key_renews_itself(
    cast: Cast, draft: Request, end: str, renews: bool
) -> None:
    data = form_of(cast, end_of_life=end, auto_renew="on")
    assert post(sign_in(cast.requester), draft, data).status_code == 302
    assert draft.revisions.get().terms["auto_renew"] is renews


@override("en")
def test_a_plans_card_says_its_level_once() -> None:
    plan = make_plan("premium", "premium", name="Premium")
    assert str(plan_card(plan)).count("Premium") == 1
    plan.name = "Gold"
    assert "<small>Premium</small>" in plan_card(plan)
    plan.name, plan.level = "Read-only", "read_only"
    assert str(plan_card(plan)).count("Read-only") == 1


# --- stale ----------------------------------------------------------------------------------------------


def test_a_stale_form_shows_both_and_overwrites_nothing(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    post(client, draft, {"name": "First window", "version": "1", "action": "save"})
    response = post(client, draft, {"name": "Second window", "version": "1", "action": "save"})
    assert response.status_code == 409
    page = response.content.decode()
    assert "First window" in page
    assert 'value="Second window"' in page
    assert 'name="version" value="2"' in page
    draft.refresh_from_db()
    assert draft.draft["name"] == "First window"
    assert post(client, draft, {"name": "Second window", "version": "2", "action": "save"}).status_code == 302


def browser_form(page: Any) -> dict[str, Any]:
    """What a browser would post if the page's form were sent as it is shown."""
    values = {name: value for name, value in posted_by(page.context["form"]).items() if value not in ("", [])}
    return values | {"version": str(page.context["record"].version), "opened": page.context["marks"]}


def test_two_windows_compare_only_what_each_changed(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester, draft_of(cast.terms()) | {"environment": ""})
    client = sign_in(cast.requester)
    opened = browser_form(client.get(reverse("approvals:request-edit", args=[draft.public_id])))
    # One window changes the purpose and one scope; the other, the name, the scopes and the environment.
    first = opened | {"purpose": "Typed in the first window", "action": "save"}
    assert post(client, draft, first | {"scopes": ["catalog:read", "orders:read"]}).status_code == 302
    second = opened | {"name": "Second", "scopes": ["catalog:write"], "environment": "test", "action": "save"}
    response = post(client, draft, second)
    assert response.status_code == 409
    differences = {str(label): (saved, typed) for label, saved, typed in response.context["differences"]}
    assert differences == {
        "Name of the key": ("Delivery status", "Second"),
        "Scopes": ("catalog read, orders read", "catalog write"),
        "Environment": ("", "Test"),
    }
    page = response.content.decode()
    assert "<del></del>" not in page
    assert "<del>—</del>" not in page
    assert "Discard mine and use what is saved" in page
    # What was left alone here is what is saved; saving the form loses neither window's work.
    assert response.context["form"]["purpose"].value() == "Typed in the first window"
    again = browser_form(response) | {"action": "save"}
    assert post(client, draft, again).status_code == 302
    draft.refresh_from_db()
    assert (draft.draft["name"], draft.draft["purpose"]) == ("Second", "Typed in the first window")
    assert draft.draft["scopes"] == ["catalog:write"]


def test_what_was_typed_is_shown_as_it_was_typed(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    opened = browser_form(client.get(reverse("approvals:request-edit", args=[draft.public_id])))
    post(client, draft, opened | {"name": "First window", "action": "save"})
    typed = "Shows <b>bold</b> & <small>small</small> <span>offers</span>"
    mine = opened | {"name": "A <small>name</small>", "purpose": typed, "environment": "test"}
    response = post(client, draft, mine | {"contract": cast.big.public_id, "action": "save"})
    differences = {str(label): (saved, said) for label, saved, said in response.context["differences"]}
    assert differences["Name of the key"] == ("First window", "A <small>name</small>")
    assert differences["What exactly for"] == ("", typed)
    assert differences["Environment"] == ("", "Test")
    assert differences["Contract"][1] == f"¥600,000 a month {cast.big.title}"
    page = response.content.decode()
    # Neither side is struck out: both are still there, one saved and one not.
    assert "<del>" not in page
    assert "Saved now" in page
    assert "Typed here, not saved" in page


def test_a_stale_form_speaks_of_what_it_is(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    post(client, draft, {"name": "x", "version": "1", "action": "save"})
    assert "This draft was changed meanwhile" in post(client, draft, {"version": "1"}).content.decode()
    request = cast.request()
    data = form_of(cast, name="Typed meanwhile", action="save")
    page = post(client, request, data).content.decode()
    assert "draft" not in unescape(re.sub(r"<[^>]+>", " ", page.split("<main")[1])).lower()
    assert "This request is “In review” now, so what you typed here was not saved." in page
    assert "As it was submitted" in page
    decide(request, cast.pm, "changes")
    page = post(client, request, data).content.decode()
    assert "This request was changed meanwhile" in page
    assert "The form below holds what you changed here" in page


def test_a_window_that_changed_nothing_differs_in_nothing(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    opened = browser_form(client.get(reverse("approvals:request-edit", args=[draft.public_id])))
    post(client, draft, opened | {"name": "First window", "rpm": "7", "action": "save"})
    response = post(client, draft, opened | {"action": "save"})
    assert response.status_code == 409
    assert response.context["differences"] == []


@pytest.mark.parametrize("marks", ["", "name", "name=", "=", "name=x rpm", "\x00", "x" * 5_000])
def test_marks_that_no_page_had_break_nothing(cast: Cast, draft: Request, marks: str) -> None:
    client = sign_in(cast.requester)
    post(client, draft, {"name": "First window", "purpose": "Kept", "version": "1", "action": "save"})
    response = post(client, draft, {"name": "x", "version": "1", "action": "save", "opened": marks})
    assert response.status_code == 409
    assert [typed for _label, _saved, typed in response.context["differences"]] == ["x"]
    assert response.context["form"]["purpose"].value() == "Kept"


def test_a_form_that_was_submitted_elsewhere_is_stale(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    post(client, draft, form_of(cast))
    response = post(client, draft, form_of(cast, name="Typed meanwhile"))
    assert response.status_code == 409
    assert "Typed meanwhile" in response.content.decode()
    assert draft.revisions.count() == 1


@pytest.mark.parametrize("version", ["", "0", "abc", "99999999999999999999"])
def test_a_wrong_version_is_stale(cast: Cast, draft: Request, version: str) -> None:
    data = {"name": "x", "action": "save", "version": version}
    assert post(sign_in(cast.requester), draft, data).status_code == 409


# --- the panel ------------------------------------------------------------------------------------------


def test_the_panel_follows_the_form_and_changes_nothing(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    before = Event.objects.count()
    data = form_of(cast, cast.big, rpm="150", rph="2000", ip_ranges=None)
    page = post(client, draft, data, "request-path-panel").content.decode()
    assert cast.coo.name in page
    assert "Start with less" in page
    assert "No IP range" in page
    assert "Ready to submit" in page
    page = post(client, draft, form_of(cast), "request-path-panel").content.decode()
    assert cast.coo.name not in page
    assert Event.objects.count() == before
    draft.refresh_from_db()
    assert draft.version == 1


def test_a_new_plan_brings_its_limits_unless_some_were_typed(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    usual = form_of(cast, plan="premium", plan_before="partner")
    page = post(client, draft, usual, "request-path-panel").content.decode()
    assert 'hx-swap-oob="true"' in page
    assert 'value="500"' in page
    typed = form_of(cast, plan="premium", plan_before="partner", rpm="42")
    assert 'id="limits"' not in post(client, draft, typed, "request-path-panel").content.decode()


def test_the_panel_stands_on_the_page_without_javascript(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester, draft_of(cast.terms(cast.big)))
    page = sign_in(cast.requester).get(reverse("approvals:request-edit", args=[draft.public_id]))
    assert cast.coo.name in page.content.decode()


def test_the_panel_is_not_ready_while_something_is_wrong(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    cast.company.is_active = False
    cast.company.save(update_fields=["is_active"])
    page = post(client, draft, form_of(cast), "request-path-panel").content.decode()
    assert "Ready to submit" not in page
    assert "This partner is not active." in page


def test_no_address_is_not_said_while_one_is_being_typed(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    page = post(client, draft, form_of(cast, ip_ranges="203.0.113."), "request-path-panel").content.decode()
    assert "No IP range" not in page
    assert "Addresses that call" in page
    assert (
        "No IP range"
        in post(client, draft, form_of(cast, ip_ranges=None), "request-path-panel").content.decode()
    )
    edit = client.get(reverse("approvals:request-edit", args=[draft.public_id])).content.decode()
    assert "input from:#request-form" in edit


def test_the_hint_at_the_last_day_follows_the_contract(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    longer = make_contract(cast.company, 400_000, ends_on=office_day(timezone.now()) + timedelta(days=350))
    page = post(client, draft, form_of(cast, longer), "request-path-panel").content.decode()
    assert 'id="id_expires_on_helptext" hx-swap-oob="true"' in page
    assert f"{longer.ends_on} fits" in page
    page = post(client, draft, form_of(cast, cast.edge), "request-path-panel").content.decode()
    assert f"{cast.edge.ends_on} fits" in page
    page = post(client, draft, form_of(cast, contract=None), "request-path-panel").content.decode()
    assert " fits" not in page
    saved = make_draft(cast.company, cast.requester, draft_of(cast.terms(longer)))
    page = client.get(reverse("approvals:request-edit", args=[saved.public_id])).content.decode()
    assert f"{longer.ends_on} fits" in page


def test_numbers_in_warnings_have_separators(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    page = post(client, draft, form_of(cast, rpm="1500", rph="9000"), "request-path-panel").content.decode()
    assert "9,000 is more than the plan’s usual 1,000" in page.replace("&#x27;", "’")
    answer = post(client, draft, form_of(cast, rpm="-5")).content.decode()
    assert "Write a number from 1 to 10,000,000." in answer


def test_the_panel_says_in_which_state_a_twin_is(cast: Cast, draft: Request) -> None:
    key = make_key(cast.terms(), cast.requester)
    page = post(sign_in(cast.requester), draft, form_of(cast), "request-path-panel").content.decode()
    assert "running" not in page
    assert "Awaiting delivery" in page
    key.status, key.suspended_at = "suspended", timezone.now()
    key.save(update_fields=["status", "suspended_at"])
    page = post(sign_in(cast.requester), draft, form_of(cast), "request-path-panel").content.decode()
    assert "Suspended" in page


def test_the_panel_links_a_running_twin(cast: Cast, draft: Request) -> None:
    key = make_key(cast.terms(), cast.requester)
    make_key(cast.terms(environment="test"), cast.requester)
    make_key(cast.terms(products=("orders",), scopes=("orders:read",)), cast.requester)
    client = sign_in(cast.requester)
    response = post(client, draft, form_of(cast), "request-path-panel")
    assert response.context["panel"].warnings.twins == [key]
    assert reverse("keys:key-detail", args=[key.public_id]) in response.content.decode()
    key.status, key.ended_at = "expired", timezone.now()
    key.save(update_fields=["status", "ended_at"])
    response = post(client, draft, form_of(cast), "request-path-panel")
    assert response.context["panel"].warnings.twins == []
    assert post(client, draft, form_of(cast)).status_code == 302


@pytest.mark.parametrize(
    ("amount", "days", "together"),
    [(200_000, 90, 0), (200_001, 90, 500_001), (200_001, 91, 0), (500_001, 0, 0)],
)
def test_the_panel_tells_of_contracts_that_cross_the_threshold_together(
    cast: Cast, amount: int, days: int, together: int
) -> None:
    partner = make_partner("Two contracts")
    first = make_contract(partner, 300_000)
    make_contract(partner, amount, starts_on=first.starts_on + timedelta(days=days))
    draft = make_draft(partner, cast.requester, draft_of(make_terms(partner, first)))
    page = sign_in(cast.requester).get(reverse("approvals:request-edit", args=[draft.public_id]))
    assert page.context["panel"].warnings.split_jpy == together
    assert ("come to" in page.content.decode()) is bool(together)


def test_the_panel_warns_when_nobody_could_decide(cast: Cast, draft: Request) -> None:
    terms = cast.terms()
    registry = Registry.read(terms)

    def stuck() -> list[str]:
        preview = preview_path(draft, terms, registry, content=terms.to_json(), now=timezone.now())
        return [step.role for step in preview.steps if step.is_stuck]

    assert stuck() == []
    cast.legal.roles = []
    cast.legal.save(update_fields=["roles"])
    assert stuck() == ["legal"]
    # The only one for legal is also the only one for tech: one of the two can't be staffed (A4).
    cast.tech.roles = ["tech", "legal"]
    cast.tech.save(update_fields=["roles"])
    assert stuck() == ["tech"]
    make_staff("Another", "tech")
    assert stuck() == []
    page = post(sign_in(cast.requester), draft, form_of(cast), "request-path-panel")
    assert page.status_code == 200


# --- who ------------------------------------------------------------------------------------------------

PAGES = ["request-edit", "request-path-panel", "request-withdraw"]


@pytest.mark.parametrize("page", PAGES)
def test_a_draft_is_its_authors_alone(cast: Cast, draft: Request, page: str) -> None:
    assert post(sign_in(cast.pm), draft, form_of(cast), page).status_code == 404
    draft.refresh_from_db()
    assert draft.version == 1


@pytest.mark.parametrize("page", PAGES)
def test_a_role_that_makes_no_requests_is_refused(cast: Cast, draft: Request, page: str) -> None:
    assert post(sign_in(cast.auditor), draft, form_of(cast), page).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_nobody_signed_in_is_led_to_the_sign_in(draft: Request, page: str) -> None:
    response = post(Client(), draft, {}, page)
    assert response.status_code == 302
    assert response.headers["Location"].startswith(reverse("account_login"))


def test_the_role_is_asked_for_again_when_it_was_taken_meanwhile(cast: Cast, draft: Request) -> None:
    client = sign_in(cast.requester)
    cast.requester.roles = ["auditor"]
    cast.requester.save(update_fields=["roles"])
    assert post(client, draft, form_of(cast)).status_code in {302, 403}
    draft.refresh_from_db()
    assert draft.state == "draft"


@pytest.mark.parametrize("page", ["request-path-panel", "request-copy"])
def test_a_get_changes_nothing(cast: Cast, draft: Request, page: str) -> None:
    response = sign_in(cast.requester).get(reverse(f"approvals:{page}", args=[draft.public_id]))
    assert response.status_code == 405


@pytest.mark.parametrize("page", ["request-edit", "request-path-panel", "request-withdraw", "request-copy"])
def test_a_wrong_csrf_token_is_refused(cast: Cast, draft: Request, page: str) -> None:
    client = sign_in(cast.requester, enforce_csrf_checks=True)
    data = form_of(cast) | {"csrfmiddlewaretoken": "x" * 64}
    assert post(client, draft, data, page).status_code == 403
    draft.refresh_from_db()
    assert (draft.state, draft.version) == ("draft", 1)
    assert not Step.objects.exists()
