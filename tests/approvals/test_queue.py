"""The approvals queue: views, order, filters, and deciding several in a row (A5, UX)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from accounts.roles import Permission
from approvals.decisions.selectors.queue import place_in_queue
from approvals.models import Decision, Request, Step
from approvals.path.services.path import PURPOSE
from approvals.requests.drafts import draft_of
from approvals.requests.selectors.warnings import find_warnings
from core.links import token_of
from core.wording import due_text
from keys.terms.checks import Registry
from tests.approvals.test_consent_pages import read_terms
from tests.approvals.test_decide_pages import filled
from tests.cast import Cast, decide, make_draft, make_staff, open_step, sign_in

pytestmark = pytest.mark.django_db
QUEUE = reverse("approvals:queue")


def look(user: User, **query: str) -> Any:
    return sign_in(user).get(QUEUE, query)


def numbers(response: Any) -> list[str]:
    return [row.request.public_id for row in response.context["found"].rows]


def decide_url(request: Request, *, row: bool = True) -> str:
    return reverse("approvals:step-decide", args=[request.public_id]) + ("?row=1" if row else "")


def make_late(request: Request) -> None:
    Step.objects.filter(request=request, state="open").update(due_at=timezone.now() - timedelta(hours=2))


def test_views_hold_what_they_say(cast: Cast) -> None:
    waits, own = cast.request(name="Waits"), cast.request(by=cast.pm, name="By the PM")
    at_legal = cast.request(name="At legal")
    decide(at_legal, cast.pm)
    make_late(at_legal)
    decide(cast.request(name="Ended"), cast.pm2, "reject")
    assert numbers(look(cast.pm)) == [waits.public_id]
    assert numbers(look(cast.pm, view="team")) == [waits.public_id, own.public_id]
    assert numbers(look(cast.pm, view="late")) == [at_legal.public_id]
    assert numbers(look(cast.pm, view="all")) == [at_legal.public_id, waits.public_id, own.public_id]
    assert dict(look(cast.pm).context["views"]) == {"mine": 1, "team": 2, "late": 1, "all": 3}
    assert numbers(look(cast.legal)) == [at_legal.public_id]


def test_who_decides_nothing_has_no_queue_of_their_own(cast: Cast) -> None:
    request = cast.request()
    page = look(cast.auditor)
    assert [name for name, _n in page.context["views"]] == ["late", "all"]
    assert numbers(look(cast.auditor, view="all")) == [request.public_id]
    assert numbers(look(cast.auditor, view="mine")) == []
    text = look(cast.auditor, view="all").content.decode()
    assert reverse("approvals:request-detail", args=[request.public_id]) in text
    assert decide_url(request, row=False) not in text


def test_a_row_says_what_is_asked_and_until_when(cast: Cast) -> None:
    request = cast.request(cast.big)
    text = look(cast.pm).content.decode()
    due = open_step(request).due_at
    assert due is not None
    for fact in (
        request.title,
        request.public_id,
        cast.company.name,
        "System integration",
        "Shows our customers where their parcels are.",
        "¥600,000",
        "PM",
        due_text(due),
        cast.requester.name,
    ):
        assert fact in text, fact


def test_the_first_due_stands_on_top_and_pages_follow(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approvals.decisions.selectors.queue.PAGE_SIZE", 2)
    made = [cast.request() for _n in range(4)]
    make_late(made[3])
    client = sign_in(cast.pm)
    first = client.get(QUEUE)
    second = client.get(QUEUE, {"cursor": first.context["found"].page.next_cursor})
    expected = [made[3], made[0], made[1], made[2]]
    assert numbers(first) + numbers(second) == [request.public_id for request in expected]


def test_filters_stand_in_the_address_and_say_when_nothing_matches(cast: Cast) -> None:
    one, two = cast.request(name="Parcels"), cast.request(cast.star_contract, name="Fan club")
    decide(two, cast.pm2)
    assert numbers(look(cast.pm, view="all", q="parcel")) == [one.public_id]
    assert numbers(look(cast.pm, view="all", q="hoshino")) == [two.public_id]
    assert numbers(look(cast.pm, view="all", role="rights_holder")) == [two.public_id]
    assert "Remove the filters" in look(cast.pm, view="all", q="nothing like it").content.decode()
    assert "Nothing is late" in look(cast.pm, view="late").content.decode()
    assert "Nothing waits for you" in look(cast.coo).content.decode()
    assert look(cast.pm, view="moon", role="moon", cursor="moon").status_code == 200


@pytest.mark.parametrize("view", ["mine", "team", "late", "all"])
def test_the_queue_costs_the_same_for_one_row_and_for_many(
    cast: Cast, view: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, url = sign_in(cast.pm), f"{QUEUE}?view={view}"
    make_late(cast.request())
    few = count_queries(django_assert_max_num_queries, client, url)
    for _n in range(4):
        make_late(cast.request())
    assert count_queries(django_assert_max_num_queries, client, url) == few


def count_queries(django_assert_max: Callable[..., Any], client: Client, url: str) -> int:
    client.get(url)  # the first visit writes the session
    with django_assert_max(1_000) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


# --- one after the other ----------------------------------------------------------------------------------


def test_after_a_decision_the_next_one_opens_and_says_how_many_are_left(cast: Cast) -> None:
    first, second, third = (cast.request() for _n in range(3))
    client = sign_in(cast.pm)
    page = client.get(decide_url(first)).content.decode()
    assert "2 more in your queue" in page
    assert f'action="{decide_url(first)}"' in page
    response = client.post(decide_url(first), filled(open_step(first)))
    assert response["Location"] == decide_url(second)
    shown = client.get(response["Location"]).content.decode()
    assert f"{first.public_id}: “Approve” is recorded. 2 left." in shown
    response = client.post(decide_url(second), filled(open_step(second), "reject"))
    assert response["Location"] == decide_url(third)
    response = client.post(decide_url(third), filled(open_step(third)))
    assert response["Location"] == QUEUE
    assert "That was the last one in your queue." in client.get(QUEUE).content.decode()
    assert Decision.objects.count() == 3


def test_what_was_passed_over_comes_again_after_the_last(cast: Cast) -> None:
    first, _second, third = (cast.request() for _n in range(3))
    response = sign_in(cast.pm).post(decide_url(third), filled(open_step(third)))
    assert response["Location"] == decide_url(first)


def test_neighbours_in_the_queue(cast: Cast) -> None:
    first, second, third = (cast.request() for _n in range(3))
    cast.request(by=cast.pm)
    place = place_in_queue(cast.pm, open_step(second))
    assert (place.previous, place.next) == (open_step(first), open_step(third))
    assert place.n_left == 2
    assert place_in_queue(cast.pm, open_step(first)).previous is None


def test_by_a_mail_the_next_one_is_a_link_on_the_last_page(cast: Cast) -> None:
    first, second = cast.request(), cast.request()
    client = sign_in(cast.pm)
    response = client.post(decide_url(first, row=False), filled(open_step(first)))
    page = client.get(response["Location"]).content.decode()
    assert decide_url(second) in page
    assert "(1 left)" in page


def test_the_second_factor_comes_back_into_the_row(cast: Cast) -> None:
    request = cast.request(cast.big)
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    Authenticator.objects.create(user=cast.coo, type=Authenticator.Type.TOTP, data={"secret": "x"})
    client = sign_in(cast.coo, second_factor=False)
    response = client.post(decide_url(request), filled(open_step(request)))
    assert "row%3D1" in response["Location"]
    assert not Decision.objects.filter(staff=cast.coo).exists()


# --- what will happen ---------------------------------------------------------------------------------------


def test_the_page_says_what_happens_after_either_answer(cast: Cast) -> None:
    request = cast.request()
    page = sign_in(cast.pm).get(decide_url(request)).content.decode()
    assert "Legal is asked next, by mail: Sakura Ito." in page
    assert "After that: Tech." in page
    assert "It goes back to Rin Nakamura with your reason" in page
    assert "Rin Nakamura is told by mail, with your reason, and can ask anew." in page
    for person in (cast.pm, cast.legal):
        decide(request, person)
    page = sign_in(cast.tech).get(decide_url(request)).content.decode()
    assert "This is the last approval: the key is issued." in page
    assert f"Recipient of {cast.company.public_id} gets a link by mail" in page


def test_the_page_says_how_many_people_are_missing(cast: Cast) -> None:
    request = cast.request()
    Step.objects.filter(request=request, role="pm").update(n_needed=2)
    page = sign_in(cast.pm).get(decide_url(request)).content.decode()
    assert "0 of 2 people have approved this step so far." in page
    assert "The step stays open until 1 more person has approved it." in page
    decide(request, cast.pm)
    page = sign_in(cast.pm2).get(decide_url(request)).content.decode()
    assert "1 of 2 people have approved this step so far." in page
    assert "Legal is asked next" in page


def test_the_approver_is_warned_of_a_twin_and_of_split_contracts(cast: Cast) -> None:
    twin = cast.key()
    request = cast.request(cast.edge)
    page = sign_in(cast.pm).get(decide_url(request)).content.decode()
    assert twin.public_id in page
    assert "come to ¥800,000 a month together" in page


def test_the_approver_is_warned_of_another_request_for_the_same_key(cast: Cast) -> None:
    twin, elsewhere = cast.request(), cast.request(environment="test")
    request = cast.request()
    text = "Another request for the same partner"
    page = sign_in(cast.pm).get(decide_url(request)).content.decode()
    listed = page.partition(text)[2].partition("</ul>")[0]
    assert f"/requests/{twin.public_id}/" in listed
    assert elsewhere.public_id not in listed
    assert text not in sign_in(cast.pm).get(decide_url(elsewhere)).content.decode()
    decide(twin, cast.pm, "reject")
    assert text not in sign_in(cast.pm).get(decide_url(request)).content.decode()


def test_a_requester_is_warned_of_their_own_other_request_only(cast: Cast) -> None:
    other = make_staff("Other Requester", "requester")
    mine, draft = cast.request(), make_draft(cast.company, cast.requester, draft_of(cast.terms()))
    theirs = cast.request(by=other)
    found = find_warnings(
        cast.terms(), Registry.read(cast.terms()), reader=cast.requester, request=draft
    ).twin_requests
    assert mine in found
    assert (theirs in found) == cast.requester.may(Permission.SEE_REQUESTS)


def test_a_rights_holder_is_not_told_of_the_partners_other_contracts(cast: Cast) -> None:
    # The consent page shares its facts with the decision page, but not the warnings: those are for staff.
    twin = cast.key(cast.star_contract)
    request = cast.request(cast.star_contract)
    assert "has a key for the same API product" in sign_in(cast.pm).get(decide_url(request)).content.decode()
    decide(request, cast.pm)
    token = token_of(bytes(open_step(request).links.get().nonce), purpose=PURPOSE)
    terms = read_terms(Client(), token).content.decode()
    assert "Do you consent" in terms
    assert "has a key for the same API product" not in terms
    assert twin.public_id not in terms
