"""Taking a request back to edit it, and two of its revisions side by side, through HTTP (R5)."""

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from approvals.models import Request
from approvals.requests.services.requests import submit_request
from audit.models import Event
from core.actors import staff_actor
from keys.terms.terms import KeyTerms
from notifications.models import Message
from tests.cast import Cast, decide, make_draft, make_staff, sign_in

pytestmark = pytest.mark.django_db


def get(user: User, page: str, *args: str, **query: str) -> Any:
    return sign_in(user).get(reverse(page, args=args), query)


def pull_back(user: User, request: Request, version: object) -> Any:
    url = reverse("approvals:request-pull-back", args=[request.public_id])
    return sign_in(user).post(url, {"version": version})


def test_taking_back_opens_the_form_and_tells_those_asked(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    page = get(cast.requester, "approvals:request-detail", request.public_id).content.decode()
    assert "Take back and edit" in page
    request.refresh_from_db()
    answer = pull_back(cast.requester, request, request.version)
    assert answer["Location"] == reverse("approvals:request-edit", args=[request.public_id])
    request.refresh_from_db()
    assert request.state == Request.State.CHANGES_WANTED
    assert not request.steps.filter(state="open").exists()
    asked = list(Message.objects.filter(kind="request_paused").values_list("recipient_ref", flat=True))
    assert asked == [cast.legal.public_id]
    assert Event.objects.filter(action="request.pulled_back").count() == 1
    page = sign_in(cast.requester).get(answer["Location"]).content.decode()
    assert "took it back to edit it" in page
    assert "Misaki Sato" in page


def test_taking_back_is_the_requesters_alone(cast: Cast) -> None:
    request = cast.request()
    other = make_staff("Somebody Else", "requester")
    assert pull_back(other, request, request.version).status_code == 404
    assert pull_back(cast.pm, request, request.version).status_code == 403
    assert pull_back(cast.legal, request, request.version).status_code == 403
    url = reverse("approvals:request-pull-back", args=[request.public_id])
    assert sign_in(cast.requester).get(url).status_code == 405
    assert Client().post(url).status_code == 302
    assert Client(enforce_csrf_checks=True).post(url).status_code in {302, 403}
    for user in (cast.pm, cast.legal, other):
        assert "Take back and edit" not in get(user, "approvals:request-list").content.decode()
    assert (
        "Take back and edit"
        not in get(cast.pm, "approvals:request-detail", request.public_id).content.decode()
    )
    request.refresh_from_db()
    assert request.state == Request.State.IN_REVIEW


@pytest.mark.parametrize("version", ["", "0", "abc", "-1", "99999999999999999999", "１"])
def test_taking_back_with_a_stale_or_bad_version_does_nothing(cast: Cast, version: str) -> None:
    request = cast.request()
    answer = pull_back(cast.requester, request, version)
    assert answer.status_code == 409
    assert "Nothing was done." in answer.content.decode()
    request.refresh_from_db()
    assert request.state == Request.State.IN_REVIEW


def test_taking_back_comes_too_late_after_the_end_or_while_frozen(cast: Cast) -> None:
    ended, frozen = cast.request(), cast.request()
    decide(ended, cast.pm, "reject")
    ended.refresh_from_db()
    answer = pull_back(cast.requester, ended, ended.version)
    assert answer.status_code == 409
    assert "The request is “Rejected” now" in answer.content.decode()
    Request.objects.filter(pk=frozen.pk).update(frozen_at=timezone.now())
    answer = pull_back(cast.requester, frozen, frozen.version)
    assert answer.status_code == 409
    assert "frozen" in answer.content.decode()
    draft = make_draft(cast.company, cast.requester)
    assert pull_back(cast.requester, draft, draft.version).status_code in {302, 409}
    draft.refresh_from_db()
    assert draft.state == Request.State.DRAFT


# --- two revisions side by side -----------------------------------------------------------------------------


@pytest.fixture
def revised(cast: Cast) -> Request:
    """Three revisions: 100, 60 and 30 requests a minute; the last under another contract."""
    request = cast.request()
    for changes in ({"rpm": 60}, {"rpm": 30, "contract": cast.edge.public_id, "monthly_amount_jpy": 500_000}):
        decide(request, cast.pm, "changes", reason="Less, please.")
        request.refresh_from_db()
        last = KeyTerms.from_json(request.revisions.order_by("-number")[0].terms)
        submit_request(
            actor=staff_actor(cast.requester),
            by=cast.requester,
            request=request,
            version=request.version,
            terms=replace(last, **changes),
            now=timezone.now(),
        )
    return request


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", (2, 3)),
        ("1", "3", (1, 3)),
        ("1", "2", (1, 2)),
        ("3", "1", (1, 3)),  # the older one always stands first
        ("2", "2", (2, 3)),
        ("9", "1", (1, 2)),
        ("x", "y", (2, 3)),
        ("-1", "1.0", (2, 3)),
        ("１", "３", (2, 3)),
        ("1" * 500, "9" * 500, (2, 3)),
        ("' OR 1=1", "<script>", (2, 3)),
    ],
)
def test_two_revisions_are_compared_whatever_the_address_says(
    cast: Cast, revised: Request, old: str, new: str, expected: tuple[int, int]
) -> None:
    page = get(cast.pm, "approvals:request-detail", revised.public_id, old=old, new=new)
    assert page.status_code == 200
    comparison = page.context["comparison"]
    assert (comparison.old.number, comparison.new.number) == expected
    text = page.content.decode()
    assert f"Revision {expected[0]}" in text
    assert f"Revision {expected[1]}" in text
    assert "<script>&" not in text
    assert "&lt;script&gt;" not in text


def test_a_comparison_shows_what_differs_and_which_way(cast: Cast, revised: Request) -> None:
    page = get(cast.pm, "approvals:request-detail", revised.public_id, old="1", new="3")
    changes = {
        change.field: (change.old, change.new, change.direction)
        for change in page.context["comparison"].changes
    }
    assert changes["rpm"] == (("100",), ("30",), "tightens")
    assert changes["monthly_amount_jpy"][:2] == (("¥300,000",), ("¥500,000",))
    assert "rph" not in changes


def test_a_comparison_is_seen_by_whom_the_request_is(cast: Cast, revised: Request) -> None:
    number, other = revised.public_id, make_staff("Somebody Else", "requester")
    for user in (cast.requester, cast.pm, cast.legal, cast.auditor):
        assert get(user, "approvals:request-detail", number, old="1", new="2").status_code == 200
    assert get(other, "approvals:request-detail", number, old="1", new="2").status_code == 404
    assert get(cast.ops, "approvals:request-detail", number, old="1", new="2").status_code in {200, 403, 404}
    url = reverse("approvals:request-detail", args=[number]) + "?old=1&new=2"
    assert Client().get(url).status_code == 302
    assert sign_in(cast.pm).post(url).status_code == 405


def test_one_revision_compares_nothing(cast: Cast) -> None:
    request = cast.request()
    page = get(cast.pm, "approvals:request-detail", request.public_id, old="1", new="2")
    assert page.context["comparison"] is None
