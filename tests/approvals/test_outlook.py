"""What the form foretells of a resubmission is what the resubmission does (R2, A6)."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from django.db import transaction
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from approvals.changes.selectors.changes import present_terms
from approvals.changes.services.changing import Wish
from approvals.models import Request, Standing
from approvals.requests.drafts import draft_of
from approvals.requests.selectors.preview import Preview, preview_path
from approvals.requests.services.requests import content_of, submit_request
from approvals.requests.services.revising import newest_revision, pull_back
from core.actors import SYSTEM, staff_actor
from keys.terms.checks import Registry
from keys.terms.settings import digest_of_settings
from keys.terms.terms import KeyTerms
from partners.models import Contract
from partners.services import change_contact
from tests.cast import Cast, consent, decide, make_draft, make_request, sign_in
from tests.changes import ask_change, live_key

pytestmark = pytest.mark.django_db


def foreseen(request: Request, terms: KeyTerms, wish: Wish | None = None, change: str = "none") -> Preview:
    return preview_path(
        request,
        terms,
        Registry.read(terms),
        content=content_of(terms, wish),
        now=timezone.now(),
        change=change,
    )


def expectation(preview: Preview) -> tuple[list[tuple[str, list[int]]], set[int]]:
    """The roles of the path with the answers that stand on each, and those that fall."""
    falls = {fallen.decision.pk for step in preview.steps for fallen in step.falls}
    falls |= {fallen.decision.pk for _role, gone in preview.dropped for fallen in gone}
    return [(step.role, [one.pk for one in step.stands]) for step in preview.steps], falls


def outcome(request: Request, before: set[int]) -> tuple[list[tuple[str, list[int]]], set[int]]:
    """The same of what has happened; `before` are the answers that were in force."""
    steps = newest_revision(request).steps.order_by("position")
    stands = [
        (
            step.role,
            list(Standing.objects.filter(step=step).order_by("decision").values_list("decision", flat=True)),
        )
        for step in steps
    ]
    fallen = request.decisions.filter(pk__in=before, fallen_at__isnull=False)
    return stands, set(fallen.values_list("pk", flat=True))


def take_back(request: Request) -> None:
    request.refresh_from_db()
    pull_back(
        actor=SYSTEM("t"),
        by=request.requester,
        request=request,
        version=request.version,
        now=timezone.now(),
    )


def submit(request: Request, terms: KeyTerms, wish: Wish | None = None) -> None:
    request.refresh_from_db()
    submit_request(
        actor=staff_actor(request.requester),
        by=request.requester,
        request=request,
        version=request.version,
        terms=terms,
        wish=wish,
        now=timezone.now(),
    )


def legal_asks(cast: Cast, request: Request) -> None:
    decide(request, cast.pm)
    if request.partner == cast.star:
        consent(request)
    decide(request, cast.legal, "changes")


def all_but_the_last(cast: Cast, request: Request) -> None:
    decide(request, cast.pm)
    if request.partner == cast.star:
        consent(request)
    decide(request, cast.legal)
    if request.steps.filter(role="coo").exists():
        decide(request, cast.tech)
    take_back(request)


def twice(cast: Cast, request: Request) -> None:
    legal_asks(cast, request)
    last = KeyTerms.from_json(newest_revision(request).terms)
    submit(request, replace(last, rotation_days=60))
    decide(request, cast.legal)
    decide(request, cast.tech, "changes")


STORIES = [legal_asks, all_but_the_last, twice]
CHANGES: list[dict[str, Any]] = [
    {},
    {"rpm": 50},
    {"scopes": ("catalog:read", "catalog:write")},
    {"purpose": "Something else altogether, said in a sentence."},
    {"rotation_days": 180},
    {"contract": "edge"},
    {"contract": "big"},
    {"contract": "small"},
    {"ip_ranges": ("203.0.113.0/25",), "name": "Another name"},
]


def contract_terms(contract: Contract) -> dict[str, Any]:
    return {"contract": contract.public_id, "monthly_amount_jpy": contract.monthly_amount_jpy}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("under", ["small", "big", "star_contract"])
def test_the_form_and_the_resubmission_agree(
    cast: Cast, under: str, story: Callable[[Cast, Request], None]
) -> None:
    contract = getattr(cast, under)
    request = make_request(cast.terms(contract), cast.requester)
    story(cast, request)
    for changes in CHANGES:
        moved = dict(changes)
        if "contract" in moved:
            if under == "star_contract":
                continue
            moved = contract_terms(getattr(cast, moved["contract"]))
        # Each change is made to what the story left.
        with transaction.atomic():
            compare(request, moved)
            transaction.set_rollback(True)


def compare(request: Request, moved: dict[str, Any]) -> None:
    request.refresh_from_db()
    terms = replace(KeyTerms.from_json(newest_revision(request).terms), **moved)
    before = set(request.decisions.filter(fallen_at=None).values_list("pk", flat=True))
    preview = foreseen(request, terms)
    submit(request, terms)
    assert expectation(preview) == outcome(request, before)
    states = [step.state == "stands" for step in newest_revision(request).steps.order_by("position")]
    assert [not step.is_asked for step in preview.steps] == states


def test_both_agree_where_a_contacts_address_was_changed(cast: Cast) -> None:
    request = cast.request()
    legal_asks(cast, request)
    recipient = cast.company.contacts.get(purposes__contains=["technical"])
    names = ("name", "purposes", "title", "phone", "language", "is_active")
    same: dict[str, Any] = {name: getattr(recipient, name) for name in names}
    change_contact(
        actor=staff_actor(cast.pm2),
        by=cast.pm2,
        contact=recipient,
        email="other@partner.example",
        now=timezone.now(),
        **same,
    )
    request.refresh_from_db()
    terms = KeyTerms.from_json(newest_revision(request).terms)
    before = set(request.decisions.filter(fallen_at=None).values_list("pk", flat=True))
    with override("en"):
        preview = foreseen(request, terms)
    assert "Receives the key: the address" in preview.steps[0].falls[0].why
    submit(request, terms)
    assert expectation(preview) == outcome(request, before)


@pytest.mark.parametrize("why", ["They need another limit.", "For another reason."])
def test_both_agree_about_a_change_of_a_key(cast: Cast, why: str) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=200, rph=2_000)
    legal_asks(cast, request)
    request.refresh_from_db()
    terms = KeyTerms.from_json(newest_revision(request).terms)
    wish = Wish(digest_of_settings(present_terms(key)), why)
    before = set(request.decisions.filter(fallen_at=None).values_list("pk", flat=True))
    preview = foreseen(request, terms, wish, "loosens")
    submit(request, terms, wish)
    assert expectation(preview) == outcome(request, before)
    assert bool(expectation(preview)[0][0][1]) is (why == "They need another limit.")


# --- what the requester reads -------------------------------------------------------------------------


def text_of(response: HttpResponseBase) -> str:
    content: bytes = getattr(response, "content", b"")
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())))


def panel(cast: Cast, request: Request, terms: KeyTerms) -> str:
    """The live answer beside the form."""
    url = reverse("approvals:request-path-panel", args=[request.public_id])
    data = {name: value for name, value in draft_of(terms).items() if value not in ("", [])}
    return text_of(sign_in(cast.requester).post(url, data))


def test_the_panel_says_whose_answers_stand_and_whose_fall_and_why(cast: Cast) -> None:
    request = cast.request()
    legal_asks(cast, request)
    terms = cast.terms()
    said = panel(cast, request, terms)
    assert "Will be asked: Legal → Tech" in said
    assert re.search(r"PM stands Misaki Sato · .{1,20} · stands: nothing that it was about is changed", said)
    assert "Sakura Ito · asked for changes, so is asked again" in said
    said = panel(cast, request, replace(terms, rpm=42))
    assert "Will be asked: PM → Legal → Tech" in said
    assert "Misaki Sato · counts no more, because this is changed: Requests a minute" in said
    said = panel(cast, request, cast.terms(cast.big))
    assert "COO new" in said
    assert "Will be asked: Legal → Tech → COO" in said
    assert request.decisions.filter(fallen_at=None).count() == 2


def test_ticks_in_another_order_are_no_change(cast: Cast) -> None:
    request = cast.request(scopes=("catalog:read", "catalog:write"))
    legal_asks(cast, request)
    said = panel(cast, request, cast.terms(scopes=("catalog:write", "catalog:read")))
    assert "Will be asked: Legal → Tech" in said
    submit(request, cast.terms(scopes=("catalog:write", "catalog:read")))
    assert newest_revision(request).steps.get(role="pm").state == "stands"
    page = sign_in(cast.pm).get(reverse("approvals:request-detail", args=[request.public_id]))
    assert page.context["comparison"].changes == []


def test_who_answered_for_another_role_is_not_named_as_one_who_could(cast: Cast) -> None:
    cast.pm.roles = ["pm", "tech"]
    cast.pm.save(update_fields=["roles"])
    request = cast.request()
    legal_asks(cast, request)
    preview = foreseen(request, cast.terms(rpm=42))
    asked = {step.role: step.people for step in preview.steps}
    assert cast.pm.name in asked["pm"]
    assert asked["tech"] == [cast.tech.name]


def test_an_approval_that_is_not_needed_any_more_is_named(cast: Cast) -> None:
    request = cast.request(cast.big)
    for who in (cast.pm, cast.legal, cast.tech):
        decide(request, who)
    decide(request, cast.coo, "changes")
    said = panel(cast, request, cast.terms(cast.edge))
    assert "Not needed any more: COO" in said
    assert "Monthly amount" in said


def test_the_page_says_it_without_javascript_and_after_a_save(cast: Cast) -> None:
    request = cast.request()
    legal_asks(cast, request)
    client = sign_in(cast.requester)
    url = reverse("approvals:request-edit", args=[request.public_id])
    page = text_of(client.get(url))
    assert "When you submit it again" in page
    assert "PM stands Misaki Sato" in page
    request.refresh_from_db()
    data = {name: value for name, value in draft_of(cast.terms(rpm=42)).items() if value not in ("", [])}
    saved = client.post(url, data | {"version": request.version, "action": "save"})
    page = text_of(client.get(saved["Location"]))
    assert "Misaki Sato · counts no more, because this is changed: Requests a minute" in page


def test_a_first_submission_speaks_of_no_answers(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester, draft_of(cast.terms()))
    page = text_of(sign_in(cast.requester).get(reverse("approvals:request-edit", args=[draft.public_id])))
    assert "Approvals it will need" in page
    assert "When you submit it again" not in page
