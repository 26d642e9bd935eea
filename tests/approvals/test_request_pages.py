"""Lists, one request's page, withdrawing, copying, panels and home, through HTTP (R1, R5, UX)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from approvals.models import Decision, Request, Step, StepLink
from approvals.requests.selectors.requests import count_waiting
from approvals.requests.services.requests import expire_requests
from audit.models import Event
from keys.models import Key
from notifications.models import Message
from partners.models import Partner
from tests.cast import Cast, decide, make_draft, make_staff, sign_in

pytestmark = pytest.mark.django_db


def get(user: User, page: str, *args: str, **query: str) -> Any:
    return sign_in(user).get(reverse(page, args=args), query)


def numbers(response: Any) -> list[str]:
    return [row.request.public_id for row in response.context["found"].rows]


def count_queries(django_assert_max: Callable[..., Any], client: Client, url: str) -> int:
    client.get(url)  # the first visit writes the session
    with django_assert_max(1_000) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


# --- lists ----------------------------------------------------------------------------------------------


def test_views_hold_what_they_say(cast: Cast) -> None:
    waits = cast.request()
    passed = cast.request(name="Passed")
    decide(passed, cast.pm)
    mine = cast.request(by=cast.pm, name="By the PM")
    ended = cast.request(name="Ended")
    decide(ended, cast.pm, "reject")
    make_draft(cast.company, cast.requester, {"name": "Draft"})
    assert numbers(get(cast.pm, "approvals:request-list", view="mine")) == [mine.public_id]
    assert set(numbers(get(cast.pm, "approvals:request-list", view="review"))) == {
        waits.public_id,
        passed.public_id,
        mine.public_id,
    }
    assert numbers(get(cast.pm, "approvals:request-list", view="ended")) == [ended.public_id]
    assert len(numbers(get(cast.legal, "approvals:request-list"))) == 3
    assert numbers(get(cast.requester, "approvals:request-list")) != []
    assert count_waiting(cast.pm) == 1
    assert count_waiting(cast.pm2) == 2
    assert count_waiting(cast.requester) == 0


def test_what_waits_for_me_stands_in_the_queue_alone(cast: Cast) -> None:
    cast.request()
    page = get(cast.pm, "approvals:request-list")
    assert "waiting" not in page.context["found"].counts
    assert f'href="{reverse("approvals:queue")}"' in page.content.decode()
    old = get(cast.pm, "approvals:request-list", view="waiting", q="みなと")
    assert (old.status_code, old["Location"].split("?")[0]) == (302, reverse("approvals:queue"))
    assert len(sign_in(cast.pm).get(old["Location"]).context["found"].rows) == 1
    # Who decides nothing has no queue of their own: they see their requests.
    assert get(cast.requester, "approvals:request-list", view="waiting").status_code == 200


def test_a_requester_sees_only_their_own(cast: Cast) -> None:
    other = make_staff("Somebody Else", "requester")
    mine, theirs = cast.request(), cast.request(by=other)
    for view in ("mine", "review", ""):
        assert numbers(get(cast.requester, "approvals:request-list", view=view)) == [mine.public_id]
    assert get(cast.requester, "approvals:request-detail", theirs.public_id).status_code == 404


def test_search_and_state_stand_in_the_address(cast: Cast) -> None:
    one, two = cast.request(name="Parcels"), cast.request(cast.star_contract, name="Fan club")
    page = "approvals:request-list"
    assert numbers(get(cast.pm, page, q="parcel")) == [one.public_id]
    assert numbers(get(cast.pm, page, q=two.public_id.lower())) == [two.public_id]
    assert numbers(get(cast.pm, page, q="hoshino")) == [two.public_id]
    assert numbers(get(cast.pm, page, q="みなと")) == [one.public_id]
    assert numbers(get(cast.pm, page, view="review", state="rejected")) == []
    assert get(cast.pm, page, view="moon", state="moon", cursor="moon").status_code == 200


def test_what_was_sent_back_is_still_under_way(cast: Cast) -> None:
    sent_back = cast.request(name="Sent back")
    decide(sent_back, cast.pm, "changes", reason="Which contract?")
    assert numbers(get(cast.legal, "approvals:request-list", view="review")) == [sent_back.public_id]
    assert numbers(get(cast.legal, "approvals:request-list", view="ended")) == []


def test_pages_follow_each_other(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approvals.requests.selectors.requests.PAGE_SIZE", 2)
    made = [cast.request().public_id for _n in range(3)]
    client = sign_in(cast.pm)
    first = client.get(reverse("approvals:request-list"), {"view": "review"})
    cursor = first.context["found"].page.next_cursor
    second = client.get(reverse("approvals:request-list"), {"view": "review", "cursor": cursor})
    assert numbers(first) + numbers(second) == made[::-1]


@pytest.mark.parametrize("view", ["mine", "review", "ended"])
def test_a_list_costs_the_same_for_one_row_and_for_many(
    cast: Cast, view: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    def more() -> None:
        cast.request()
        cast.request(by=cast.pm)
        decide(cast.request(), cast.pm2, "reject")

    more()
    client, url = sign_in(cast.pm), reverse("approvals:request-list") + f"?view={view}"
    few = count_queries(django_assert_max_num_queries, client, url)
    for _n in range(4):
        more()
    assert count_queries(django_assert_max_num_queries, client, url) == few


# --- one request ------------------------------------------------------------------------------------------


def test_the_page_says_where_it_stands(cast: Cast) -> None:
    request = cast.request(cast.big)
    decide(request, cast.pm)
    page = get(cast.legal, "approvals:request-detail", request.public_id).content.decode()
    assert "Waits for Legal: Sakura Ito." in page
    assert reverse("approvals:step-decide", args=[request.public_id]) in page
    for word in ("¥600,000", cast.big.title, "catalog:read", "203.0.113.0/24", cast.company.name):
        assert word in page
    digest = bytes(request.revisions.get().digest).hex()
    assert digest in page
    other = get(cast.tech, "approvals:request-detail", request.public_id).content.decode()
    assert reverse("approvals:step-decide", args=[request.public_id]) not in other


def test_own_request_says_why_it_cannot_be_decided(cast: Cast) -> None:
    request = cast.request(by=cast.pm)
    page = get(cast.pm, "approvals:request-detail", request.public_id).content.decode()
    assert "Nobody decides on their own request." in page
    assert reverse("approvals:step-decide", args=[request.public_id]) not in page


def test_a_rejection_shows_its_reason_and_offers_a_copy(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm, "reject", reason="Which service calls? <b>")
    page = get(cast.requester, "approvals:request-detail", request.public_id).content.decode()
    assert "Which service calls? &lt;b&gt;" in page
    assert reverse("approvals:request-copy", args=[request.public_id]) in page


def test_an_approved_request_leads_to_its_key(cast: Cast) -> None:
    request = cast.request()
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    request.refresh_from_db()
    assert request.key is not None
    page = get(cast.requester, "approvals:request-detail", request.public_id).content.decode()
    assert reverse("keys:key-detail", args=[request.key.public_id]) in page


def test_a_stuck_and_an_undeliverable_step_are_told(cast: Cast) -> None:
    request = cast.request()
    step = Step.objects.get(request=request, state="open")
    step.undeliverable_at = timezone.now()
    step.save(update_fields=["undeliverable_at"])
    assert "came back" in get(cast.admin, "approvals:request-detail", request.public_id).content.decode()
    for person in (cast.pm, cast.pm2):
        person.roles = []
        person.save(update_fields=["roles"])
    page = get(cast.admin, "approvals:request-detail", request.public_id).content.decode()
    assert "Nobody may decide" in page


def test_a_draft_opens_in_the_form(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester)
    response = get(cast.requester, "approvals:request-detail", draft.public_id)
    assert response.headers["Location"] == reverse("approvals:request-edit", args=[draft.public_id])
    assert get(cast.admin, "approvals:request-detail", draft.public_id).status_code == 404
    assert get(cast.pm, "approvals:request-detail", "KR-9999").status_code == 404


# --- withdrawing and copying -----------------------------------------------------------------------


def withdraw(user: User, request: Request, version: int) -> Any:
    url = reverse("approvals:request-withdraw", args=[request.public_id])
    return sign_in(user).post(url, {"version": str(version)})


def test_withdrawing_kills_the_links_and_tells_those_asked(cast: Cast) -> None:
    request = cast.request()
    page = get(cast.requester, "approvals:request-withdraw", request.public_id)
    assert f'name="version" value="{request.version}"' in page.content.decode()
    assert withdraw(cast.requester, request, request.version).status_code == 302
    request.refresh_from_db()
    assert request.state == Request.State.WITHDRAWN
    assert not StepLink.objects.filter(died_at=None).exists()
    told = set(Message.objects.filter(kind="request_withdrawn").values_list("recipient_ref", flat=True))
    assert told == {cast.pm.public_id, cast.pm2.public_id}
    assert Event.objects.latest("id").action == "request.withdrawn"


def test_withdrawing_after_a_decision_is_stale(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    response = withdraw(cast.requester, request, request.version)
    assert response.status_code == 409
    assert "Waits for Legal" in response.content.decode()
    request.refresh_from_db()
    assert request.state == Request.State.IN_REVIEW


def test_only_the_requester_withdraws(cast: Cast) -> None:
    request = cast.request()
    assert withdraw(cast.pm, request, request.version).status_code == 403
    assert withdraw(make_staff("Other", "requester"), request, request.version).status_code == 404


def test_what_has_ended_is_copied_as_a_draft_that_can_be_submitted(cast: Cast) -> None:
    request = cast.request(cast.big, model_names=("small",), monthly_budget_usd="")
    decide(request, cast.pm, "reject")
    client = sign_in(cast.requester)
    response = client.post(reverse("approvals:request-copy", args=[request.public_id]))
    copy = Request.objects.get(state="draft")
    assert response.headers["Location"] == reverse("approvals:request-edit", args=[copy.public_id])
    page = client.get(response.headers["Location"])
    assert page.context["panel"].missing == []
    assert copy.requester == cast.requester


def test_an_open_request_and_a_foreign_one_are_not_copied(cast: Cast) -> None:
    request = cast.request()
    url = reverse("approvals:request-copy", args=[request.public_id])
    assert sign_in(cast.requester).post(url).status_code == 409
    assert sign_in(make_staff("Other", "requester")).post(url).status_code == 404
    assert sign_in(cast.auditor).post(url).status_code == 403
    assert not Request.objects.filter(state="draft").exists()


def test_untouched_requests_end_unapproved(cast: Cast) -> None:
    request = cast.request()
    assert expire_requests(now=timezone.now() + timedelta(days=29)) == 0
    assert expire_requests(now=timezone.now() + timedelta(days=31)) == 1
    assert expire_requests(now=timezone.now() + timedelta(days=31)) == 0
    request.refresh_from_db()
    assert (request.state, request.key) == (Request.State.EXPIRED, None)
    told = Message.objects.filter(kind="request_expired", recipient_ref=cast.requester.public_id)
    assert told.count() == 1
    page = get(cast.requester, "approvals:request-detail", request.public_id)
    assert "Silence never approves" in page.content.decode()


# --- panels ------------------------------------------------------------------------------------------


def test_the_key_page_shows_the_decisions_that_made_it(cast: Cast) -> None:
    request = cast.request()
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    request.refresh_from_db()
    assert request.key is not None
    url = reverse("approvals:key-approvals-panel", args=[request.key.public_id])
    client = sign_in(cast.ops)
    piece = client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert cast.legal.name in piece
    assert "<html" not in piece
    assert "<html" in client.get(url).content.decode()
    hidden = sign_in(make_staff("Other", "requester")).get(url, headers={"HX-Request": "true"})
    assert cast.legal.name not in hidden.content.decode()


def test_a_key_without_request_says_so(cast: Cast) -> None:
    page = get(cast.ops, "approvals:key-approvals-panel", cast.key().public_id)
    assert "No request stands behind this key." in page.content.decode()
    assert get(cast.ops, "approvals:key-approvals-panel", "KB-9999").status_code == 404


def test_the_partner_page_shows_its_requests(cast: Cast) -> None:
    request = cast.request()
    cast.request(cast.star_contract)
    page = get(cast.pm, "approvals:partner-requests-panel", cast.company.public_id)
    assert [row.request for row in page.context["rows"]] == [request]
    assert get(cast.pm, "approvals:partner-requests-panel", "PT-9999").status_code == 404


# --- home ----------------------------------------------------------------------------------------------


def test_home_shows_what_waits_and_what_is_mine(cast: Cast) -> None:
    request = cast.request()
    make_draft(cast.company, cast.requester, {"name": "Half done"})
    home = get(cast.pm, "home").context["home"]
    assert [step.request for step in home.waiting.rows] == [request]
    home = get(cast.requester, "home").context["home"]
    assert home.waiting is None
    assert {row.request.title for row in home.mine} == {"Half done", "Delivery status"}


def test_home_leads_into_the_form_of_what_can_be_edited(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester, {"name": "Half done"})
    waits, sent_back = cast.request(), cast.request()
    decide(sent_back, cast.pm, "changes", reason="Which contract?")
    text = get(cast.requester, "home").content.decode()
    for request, leads in ((draft, True), (sent_back, True), (waits, False)):
        assert (reverse("approvals:request-edit", args=[request.public_id]) in text) is leads


def test_home_shows_keys_in_trouble_to_their_owner_and_to_ops(cast: Cast) -> None:
    now = timezone.now()
    late, ending, waiting, _fine = (cast.key(name=name) for name in ("Late", "Ending", "Waiting", "Fine"))
    active = {"status": "active", "activated_at": now - timedelta(days=100)}
    Key.objects.filter(pk=late.pk).update(rotation_due_on=now.date() - timedelta(days=3), **active)
    Key.objects.filter(pk=ending.pk).update(expires_at=now + timedelta(days=5), **active)
    Key.objects.filter(pk=waiting.pk).update(issued_at=now - timedelta(hours=25))
    expected = {"Late": "rotation_late", "Ending": "expiring", "Waiting": "undelivered"}
    for person in (cast.requester, cast.ops, cast.security):
        rows = get(person, "home").context["home"].keys.rows
        assert {row.key.name: row.state for row in rows} == expected
    assert not get(cast.pm, "home").context["home"].keys.rows


def test_home_shows_stuck_steps_to_their_menders_only(cast: Cast) -> None:
    step = Step.objects.get(request=cast.request(), state="open")
    step.stuck_at = timezone.now()
    step.save(update_fields=["stuck_at"])
    for person in (cast.security, cast.admin):
        assert get(person, "home").context["home"].stuck.rows == [step]
    assert get(cast.pm, "home").context["home"].stuck is None


def test_home_shows_failed_notifications_to_ops_and_admin(cast: Cast) -> None:
    cast.request()
    Message.objects.update(state="failed")
    for person in (cast.ops, cast.admin):
        assert get(person, "home").context["home"].failed.total == 2
    assert get(cast.auditor, "home").context["home"].failed is None


def test_a_quiet_home_says_the_next_action(cast: Cast) -> None:
    for name, person in cast.everyone.items():
        response = get(person, "home")
        assert response.status_code == 200, name
        assert "All quiet" in response.content.decode(), name
    assert Client().get(reverse("home")).status_code == 302


def test_home_costs_the_same_for_one_row_and_for_many(
    cast: Cast,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("approvals.home.selectors.LENGTH", 1)  # what is more is counted, from the first on
    cast.pm.roles = ["pm", "security", "ops"]
    cast.pm.save(update_fields=["roles"])

    def more() -> None:
        cast.request()
        cast.request(by=cast.pm)
        key = cast.key()
        Key.objects.filter(pk=key.pk).update(issued_at=timezone.now() - timedelta(days=2))
        Step.objects.filter(state="open").update(stuck_at=timezone.now())
        Message.objects.update(state="failed")

    more()
    more()
    client, url = sign_in(cast.pm), reverse("home")
    few = count_queries(django_assert_max_num_queries, client, url)
    for _n in range(2):
        more()
    assert count_queries(django_assert_max_num_queries, client, url) == few


def test_the_navigation_counts_what_waits(cast: Cast) -> None:
    cast.request()
    assert '<span class="n">1' in get(cast.pm, "home").content.decode()
    assert Decision.objects.count() == 0
    assert Partner.objects.count() == 3
