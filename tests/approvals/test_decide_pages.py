"""The pages on which staff decide: by the link of a mail, and from inside the portal (A3, A4, A10)."""

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.roles import Role
from approvals.decisions.services.links import expire_links
from approvals.models import Decision, LinkOpening, Request, Step, StepLink
from approvals.path.services.path import PURPOSE
from approvals.requests.services.requests import withdraw_request
from audit.models import Event
from core.actors import staff_actor
from core.links import token_of
from notifications.models import Message
from partners.models import IdentityCheck
from tests.cast import PASSWORD, Cast, decide, make_staff, open_step, sign_in

pytestmark = pytest.mark.django_db


def token_for(step: Step, person: User) -> str:
    link = step.links.get(staff=person, died_at=None)
    return token_of(bytes(link.nonce), purpose=PURPOSE)


def link_to(step: Step, person: User, answer: str = "") -> str:
    url = reverse("approvals:link-decide", args=[token_for(step, person)])
    return f"{url}?answer={answer}" if answer else url


def filled(step: Step, answer: str = "approve", **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"answer": answer, "digest": bytes(step.revision.digest).hex(), "reason": ""}
    if answer == "reject":
        data["reason"] = "The purpose is not clear."
    if step.role == "tech":
        data["checklist"] = [str(point) for point in IdentityCheck.points_for(step.request.partner.kind)]
    return data | changes


def advance(request: Request, *people: User) -> Step:
    for person in people:
        decide(request, person)
    return open_step(request)


def shows_nothing_of(request: Request, response: Any) -> bool:
    text = response.content.decode()
    return not any(secret in text for secret in (request.public_id, request.title, request.partner.name))


def assert_private(response: Any) -> None:
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "same-origin"
    assert "noindex" in response["X-Robots-Tag"]


# --- finding the page ----------------------------------------


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_a_visitor_signs_in_first_and_comes_back_with_the_answer(cast: Cast, answer: str) -> None:
    request = cast.request()
    url = link_to(open_step(request), cast.pm, answer)
    client = Client()
    response = client.get(url)
    assert response.status_code == 302
    assert shows_nothing_of(request, response)
    assert_private(response)
    sign_in_page = client.get(response["Location"])
    assert shows_nothing_of(request, sign_in_page)
    back = client.post(response["Location"], {"login": cast.pm.email, "password": "wrong"})
    assert back.status_code in {200, 422}
    back = client.post(response["Location"], {"login": cast.pm.email, "password": PASSWORD, "next": url})
    assert back["Location"] == url
    page = client.get(url)
    assert page.status_code == 200
    assert f'value="{answer}" required checked' in page.content.decode()


def test_an_answer_sent_without_a_session_is_not_taken(cast: Cast) -> None:
    step = open_step(cast.request())
    response = Client().post(link_to(step, cast.pm), filled(step))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("account_login"))
    assert not Decision.objects.exists()


@pytest.mark.parametrize("method", ["get", "head"])
def test_opening_a_link_is_noted_and_decides_nothing(cast: Cast, method: str) -> None:
    step = open_step(cast.request())
    url = link_to(step, cast.pm, "approve")
    getattr(sign_in(cast.pm), method)(url, headers={"User-Agent": "Scanner/1.0"})
    opening = LinkOpening.objects.get()
    assert (opening.link.staff, opening.user_agent) == (cast.pm, "Scanner/1.0")
    assert not Decision.objects.exists()
    assert open_step(step.request).links.get(staff=cast.pm).used_at is None


def test_the_page_shows_what_matters(cast: Cast) -> None:
    request = cast.request(cast.big, scopes=("catalog:read", "catalog:write"))
    step = advance(request, cast.pm)
    response = sign_in(cast.legal).get(link_to(step, cast.legal))
    text = response.content.decode()
    assert response.status_code == 200
    assert_private(response)
    for fact in (
        cast.company.name,
        "Company",
        "Catalog",
        "catalog:write",
        "changes data",
        "¥600,000",
        "Shows our customers where their parcels are.",
        cast.requester.name,
        cast.pm.name,
        bytes(step.revision.digest).hex(),
        "203.0.113.0/24",
    ):
        assert fact in text, fact
    assert "checked" not in text


def test_another_persons_link_shows_nothing(cast: Cast) -> None:
    request = cast.request()
    client = sign_in(cast.pm2)
    url = link_to(open_step(request), cast.pm)
    for response in (client.get(url), client.post(url, filled(open_step(request)))):
        assert response.status_code == 403
        assert "sent to somebody else" in response.content.decode()
        assert shows_nothing_of(request, response)
    assert not Decision.objects.exists()


@pytest.mark.parametrize("token", ["x", "A" * 43, "../../etc/passwd", "A" * 500])
def test_an_unknown_link_says_so(cast: Cast, token: str) -> None:
    response = sign_in(cast.pm).get(f"/decide/{token}/")
    assert response.status_code == 404


def test_a_contacts_link_is_no_link_of_staff(cast: Cast) -> None:
    step = advance(cast.request(cast.star_contract), cast.pm)
    token = token_of(bytes(step.links.get().nonce), purpose=PURPOSE)
    assert sign_in(cast.legal).get(f"/decide/{token}/").status_code == 404


def kill_link(state: str, request: Request, url: str, person: User) -> None:
    """Bring the person's link into this state."""
    step = open_step(request)
    if state == "used":
        sign_in(person).post(url, filled(step))
    elif state == "closed":
        decide(request, next(user for user in User.objects.with_role(Role.PM) if user != person))
    else:
        field = "expires_at" if state == "expired" else "died_at"
        StepLink.objects.filter(step=step, staff=person).update(**{field: timezone.now()})


DEAD = {
    "used": "used already",
    "closed": "nothing left to decide",
    "expired": "has expired",
    "replaced": "a newer link",
}


@pytest.mark.parametrize("state", DEAD)
@pytest.mark.parametrize("reader", ["nobody", "another PM", "the auditor"])
def test_a_dead_link_says_why_and_shows_strangers_nothing(cast: Cast, state: str, reader: str) -> None:
    request = cast.request()
    url = link_to(open_step(request), cast.pm)
    kill_link(state, request, url, cast.pm)
    people = {"another PM": cast.pm2, "the auditor": cast.auditor}
    response = (sign_in(people[reader]) if reader in people else Client()).get(url)
    text = response.content.decode()
    assert response.status_code == 410
    assert DEAD[state] in text
    assert ("/renew" in text) == (state in {"expired", "replaced"})
    assert shows_nothing_of(request, response)
    assert cast.pm.name not in text
    assert cast.requester.name not in text
    assert (f"?next={url}" in text) == (reader == "nobody")
    assert_private(response)


@pytest.mark.parametrize("state", DEAD)
def test_a_dead_link_tells_its_own_addressee_what_became_of_it(cast: Cast, state: str) -> None:
    request = cast.request()
    url = link_to(open_step(request), cast.pm)
    kill_link(state, request, url, cast.pm)
    response = sign_in(cast.pm).get(url)
    text = response.content.decode()
    assert response.status_code == 410
    assert DEAD[state] in text
    assert request.title in text
    assert reverse("approvals:request-detail", args=[request.public_id]) in text
    assert ("You approved it on" in text) == (state == "used")
    assert ("Ken Suzuki approved it on" in text) == (state == "closed")
    assert_private(response)


def test_a_dead_link_says_that_the_request_was_withdrawn(cast: Cast) -> None:
    request = cast.request()
    url = link_to(open_step(request), cast.pm)
    withdraw_request(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=request,
        version=request.version,
        now=timezone.now(),
    )
    assert f"{cast.requester.name} withdrew the request on" in sign_in(cast.pm).get(url).content.decode()


def test_a_dead_link_shows_nothing_to_an_addressee_who_may_not_see_requests_now(cast: Cast) -> None:
    request = cast.request()
    url = link_to(open_step(request), cast.pm)
    kill_link("closed", request, url, cast.pm)
    User.objects.filter(pk=cast.pm.pk).update(roles=["requester"])
    assert shows_nothing_of(request, sign_in(cast.pm).get(url))


def test_a_signed_in_person_without_the_role_is_refused(cast: Cast) -> None:
    step = open_step(cast.request())
    url = link_to(step, cast.pm)
    User.objects.filter(pk=cast.pm.pk).update(roles=["legal"])
    assert sign_in(cast.pm).get(url).status_code == 403


# --- renewing ----------------------------------------


def test_an_expired_link_is_renewed_to_the_same_address(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    url, token = link_to(step, cast.pm), token_for(step, cast.pm)
    StepLink.objects.filter(staff=cast.pm).update(expires_at=timezone.now())
    before = Message.objects.filter(kind="step_requested", recipient_ref=cast.pm.public_id).count()
    renew = reverse("approvals:link-renew", args=[token])
    assert Client().get(renew).status_code == 405
    response = Client().post(renew)
    assert response.status_code == 200
    assert shows_nothing_of(request, response)
    after = Message.objects.filter(kind="step_requested", recipient_ref=cast.pm.public_id).count()
    assert after == before + 1
    assert Event.objects.filter(action="link.renewed").count() == 1
    fresh = link_to(step, cast.pm)
    assert fresh != url
    assert sign_in(cast.pm).get(fresh).status_code == 200
    assert Client().get(url).status_code == 410


def test_the_answer_to_a_renewal_is_always_the_same(cast: Cast) -> None:
    request = cast.request()
    token = token_for(open_step(request), cast.pm)
    decide(request, cast.pm2)
    pages = {
        Client().post(reverse("approvals:link-renew", args=[value])).content.decode().split("<main")[1]
        for value in (token, "A" * 43)
    }
    assert len(pages) == 1
    assert StepLink.objects.filter(staff=cast.pm).count() == 1


def test_a_link_that_works_is_not_replaced_by_an_old_one(cast: Cast) -> None:
    token = token_for(open_step(cast.request()), cast.pm)
    Client().post(reverse("approvals:link-renew", args=[token]))
    assert StepLink.objects.filter(staff=cast.pm).count() == 1


def test_renewals_come_to_an_end(cast: Cast) -> None:
    token = token_for(open_step(cast.request()), cast.pm)
    for _number in range(9):
        StepLink.objects.filter(staff=cast.pm).update(expires_at=timezone.now())
        Client().post(reverse("approvals:link-renew", args=[token]))
    assert StepLink.objects.filter(staff=cast.pm).count() == 6


# --- deciding ----------------------------------------


def test_approving_by_link_leads_to_what_happens_next(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    client = sign_in(cast.pm)
    response = client.post(link_to(step, cast.pm), filled(step))
    decision = Decision.objects.get()
    assert response["Location"] == reverse("approvals:step-decided", args=[decision.uid])
    assert decision.via_link is not None
    text = client.get(response["Location"]).content.decode()
    assert "You approved" in text
    assert "Next: Legal" in text
    for other in (cast.pm2, cast.auditor):
        assert sign_in(other).get(response["Location"]).status_code == 404
    assert Event.objects.get(action="step.approved").payload["via"] == "link"


def test_the_last_approval_says_that_the_key_is_issued(cast: Cast) -> None:
    step = advance(cast.request(), cast.pm, cast.legal)
    client = sign_in(cast.tech)
    response = client.post(link_to(step, cast.tech), filled(step))
    text = client.get(response["Location"]).content.decode()
    step.request.refresh_from_db()
    assert step.request.key is not None
    assert step.request.key.public_id in text


def test_rejecting_needs_a_reason_beside_its_field(cast: Cast) -> None:
    step = open_step(cast.request())
    client, url = sign_in(cast.pm), link_to(step, cast.pm)
    response = client.post(url, filled(step, "reject", reason="   "))
    assert response.status_code == 422
    assert "A rejection needs a reason" in response.content.decode()
    assert 'aria-invalid="true"' in response.content.decode()
    assert not Decision.objects.exists()
    done = client.post(url, filled(step, "reject", reason="Not clear."))
    assert "You rejected" in client.get(done["Location"]).content.decode()
    assert Decision.objects.get().reason == "Not clear."


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": ""},
        {"answer": "maybe"},
        {"digest": "zz"},
        {"digest": ""},
        {"answer": "reject", "reason": "x" * 2001},
    ],
)
def test_bad_input_is_refused(cast: Cast, changes: dict[str, str]) -> None:
    step = open_step(cast.request())
    response = sign_in(cast.pm).post(link_to(step, cast.pm), filled(step, **changes))
    assert response.status_code == 422
    assert not Decision.objects.exists()


def test_tech_confirms_every_point_of_the_identity_check(cast: Cast) -> None:
    step = advance(cast.request(), cast.pm, cast.legal)
    client, url = sign_in(cast.tech), link_to(step, cast.tech)
    page = client.get(url).content.decode()
    assert page.count('name="checklist"') == len(IdentityCheck.points_for(cast.company.kind))
    points = filled(step)["checklist"]
    refused = client.post(url, filled(step, checklist=points[1:]))
    assert refused.status_code == 422
    assert "Every point of the identity check" in refused.content.decode()
    assert client.post(url, filled(step)).status_code == 302


NOW_SEND = "Your second factor is confirmed. Now send your answer."


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_the_coo_proves_the_second_factor_again_and_comes_back(cast: Cast, answer: str) -> None:
    step = advance(cast.request(cast.big), cast.pm, cast.legal, cast.tech)
    client, url = sign_in(cast.coo, second_factor=False), link_to(step, cast.coo)
    Authenticator.objects.create(user=cast.coo, type=Authenticator.Type.TOTP, data={"secret": "x"})
    response = client.post(url, filled(step, answer, reason="Looked at twice."))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("mfa_reauthenticate"))
    assert response["Location"].endswith(urlencode({"next": f"{url}?answer={answer}#answer"}))
    assert not Decision.objects.filter(staff=cast.coo).exists()
    assert NOW_SEND not in client.get(url).content.decode(), "not given yet"

    session = client.session
    session["account_authentication_methods"] = [{"method": "mfa", "type": "totp", "at": time.time()}]
    session.save()
    for back in (f"{url}?answer={answer}", url):
        page = client.get(back).content.decode()
        assert page.index(NOW_SEND) < page.index('id="answer"') < page.rindex(NOW_SEND), "where one looks"
        assert f'value="{answer}" required checked' in page
        assert "Looked at twice." in page
    assert not Decision.objects.filter(staff=cast.coo).exists()
    assert client.post(url, filled(step, answer)).status_code == 302
    assert Decision.objects.get(staff=cast.coo).outcome == answer


def test_who_gave_the_second_factor_before_is_not_told_that_they_came_back(cast: Cast) -> None:
    step = advance(cast.request(cast.big), cast.pm, cast.legal, cast.tech)
    assert NOW_SEND not in sign_in(cast.coo).get(link_to(step, cast.coo)).content.decode()


def test_what_is_wrong_is_said_at_the_top_and_brought_into_sight(cast: Cast) -> None:
    step = open_step(cast.request())
    response = sign_in(cast.pm).post(link_to(step, cast.pm), filled(step, "reject", reason=""))
    page = response.content.decode()
    summary = page.index('role="alert" tabindex="-1" autofocus')
    assert summary < page.index('href="#id_reason"') < page.index('class="facts big"')
    assert page.count("autofocus") == 1
    assert 'id="id_reason"' in page


def test_a_double_click_says_that_the_first_answer_stands(cast: Cast) -> None:
    step = open_step(cast.request())
    client, url = sign_in(cast.pm), link_to(step, cast.pm)
    assert client.post(url, filled(step)).status_code == 302
    again = client.post(url, filled(step))
    assert again.status_code == 409
    assert "You have approved this already." in again.content.decode()
    assert Decision.objects.count() == 1


def test_a_lost_race_shows_how_it_stands_now(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    url = link_to(step, cast.pm)
    decide(request, cast.pm2)
    response = sign_in(cast.pm).post(url, filled(step))
    assert response.status_code == 409
    assert cast.pm2.name in response.content.decode()
    assert Decision.objects.count() == 1


def test_an_answer_to_older_terms_shows_the_fresh_ones(cast: Cast) -> None:
    step = open_step(cast.request())
    response = sign_in(cast.pm).post(link_to(step, cast.pm), filled(step, digest="0" * 64))
    text = response.content.decode()
    assert response.status_code == 409
    assert "was changed after you opened it" in text
    assert bytes(step.revision.digest).hex() in text
    assert "checked" not in text
    assert not Decision.objects.exists()


def test_terms_that_no_longer_hold_are_told_and_not_approved(cast: Cast) -> None:
    step = advance(cast.request(), cast.pm, cast.legal)
    cast.small.monthly_amount_jpy = 400_000
    cast.small.save(update_fields=["monthly_amount_jpy"])
    client, url = sign_in(cast.tech), link_to(step, cast.tech)
    assert "The contract was changed" in client.get(url).content.decode()
    response = client.post(url, filled(step))
    assert response.status_code == 409
    assert Decision.objects.count() == 2
    assert client.post(url, filled(step, "reject")).status_code == 302


def test_answering_needs_the_csrf_token(cast: Cast) -> None:
    step = open_step(cast.request())
    client = sign_in(cast.pm, enforce_csrf_checks=True)
    assert client.post(link_to(step, cast.pm), filled(step)).status_code == 403
    assert not Decision.objects.exists()


# --- inside the portal ----------------------------------------


def decide_url(request: Request) -> str:
    return reverse("approvals:step-decide", args=[request.public_id])


def test_deciding_in_the_portal_needs_no_link(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    client = sign_in(cast.pm)
    assert client.get(decide_url(request)).status_code == 200
    assert client.post(decide_url(request), filled(step)).status_code == 302
    assert Decision.objects.get().via_link is None
    assert not LinkOpening.objects.exists()


@pytest.mark.parametrize(
    ("who", "status"),
    [("legal", 403), ("coo", 403), ("security", 403), ("requester", 403), ("ops", 403), ("auditor", 403)],
)
def test_who_may_not_decide_in_the_portal(cast: Cast, who: str, status: int) -> None:
    request = cast.request()
    client = sign_in(cast.everyone[who])
    assert client.get(decide_url(request)).status_code == status
    assert client.post(decide_url(request), filled(open_step(request))).status_code == status
    assert not Decision.objects.exists()


def test_ones_own_request_is_refused_in_words(cast: Cast) -> None:
    request = cast.request(by=cast.pm)
    response = sign_in(cast.pm).get(decide_url(request))
    assert response.status_code == 403
    assert "Nobody decides on their own request." in response.content.decode()


def test_an_unknown_request_is_not_found(cast: Cast) -> None:
    assert sign_in(cast.pm).get("/requests/KR-9999/decide/").status_code == 404


def test_a_request_that_is_over_says_so(cast: Cast) -> None:
    request = cast.request()
    actor, now = staff_actor(cast.requester), timezone.now()
    withdraw_request(actor=actor, by=cast.requester, request=request, version=request.version, now=now)
    response = sign_in(cast.pm).get(decide_url(request))
    assert response.status_code == 409
    assert "Withdrawn" in response.content.decode()


def test_one_of_two_people_is_told_that_one_more_is_needed(cast: Cast) -> None:
    request = cast.request()
    request.steps.filter(position=1).update(n_needed=2)
    step = open_step(request)
    client = sign_in(cast.pm)
    response = client.post(decide_url(request), filled(step))
    assert "needs one more person" in client.get(response["Location"]).content.decode()
    again = client.get(decide_url(request))
    assert again.status_code == 409
    assert "You have approved this already." in again.content.decode()


def test_the_page_costs_the_same_for_long_paths(cast: Cast, django_assert_max_num_queries: Any) -> None:
    step = advance(cast.request(cast.big), cast.pm, cast.legal, cast.tech)
    client, url = sign_in(cast.coo), link_to(step, cast.coo)
    with django_assert_max_num_queries(55):
        client.get(url)


def test_old_links_are_swept_with_an_event_each(cast: Cast) -> None:
    cast.request()
    later = StepLink.objects.latest("expires_at").expires_at
    assert expire_links(now=later) == 2
    assert expire_links(now=later) == 0
    assert Event.objects.filter(action="link.expired").count() == 2


def test_somebody_who_got_the_role_later_decides_in_the_portal(cast: Cast) -> None:
    request = cast.request()
    late = make_staff("Late Comer", "pm")
    response = sign_in(late).post(decide_url(request), filled(open_step(request)))
    assert response.status_code == 302
