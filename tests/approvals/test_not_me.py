"""Receipts of decisions, and "this was not me": freezes the request and calls security (A7)."""

from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from approvals.decisions.selectors.receipts import NOT_ME_PURPOSE
from approvals.decisions.services.links import state_of
from approvals.disputes.services.doubts import look_into_doubt, raise_doubt
from approvals.models import Decision, Doubt, Request
from approvals.path.services.watching import watch_steps
from approvals.requests.selectors.path import path_of
from approvals.requests.services.requests import expire_requests, submit_request, withdraw_request
from audit.models import Event
from core.actors import SYSTEM, staff_actor
from core.business_time import add_business_hours, business_hours_between
from core.errors import Conflict
from core.links import token_of
from keys.terms.terms import KeyTerms
from notifications.models import Message
from notifications.registry import builder_of
from notifications.rendering import render_mail
from tests.cast import Cast, consent, decide, open_step, sign_in
from tests.key_stories import reveal

pytestmark = pytest.mark.django_db


def not_me(decision: Decision) -> str:
    token = token_of(bytes(decision.receipt.nonce), purpose=NOT_ME_PURPOSE)
    return reverse("approvals:not-me", args=[token])


def mail_text(kind: str, person: User | str) -> str:
    ref = person if isinstance(person, str) else person.public_id
    message = Message.objects.filter(kind=kind, recipient_ref=ref).latest("id")
    mail = builder_of(kind)(message)
    assert mail is not None
    return str(render_mail(message, mail).body)


def press(decision: Decision) -> None:
    assert Client().post(not_me(decision), {"sure": "on"}).status_code == 302


def look(request: Request, by: User, verdict: str = "stands", reason: str = "Called them.") -> int:
    url = reverse("approvals:doubt-look", args=[request.public_id])
    return int(sign_in(by).post(url, {"verdict": verdict, "reason": reason}).status_code)


@pytest.fixture
def request_(cast: Cast) -> Request:
    return cast.request()


@pytest.fixture
def decision(cast: Cast, request_: Request) -> Decision:
    return decide(request_, cast.pm)


# --- the receipt ------------------------------------------------------


def test_whoever_decides_gets_a_receipt_of_what_when_where(cast: Cast, request_: Request) -> None:
    step = open_step(request_)
    client = sign_in(cast.pm, REMOTE_ADDR="198.51.100.7")
    data = {"answer": "approve", "digest": bytes(step.revision.digest).hex(), "reason": ""}
    client.post(reverse("approvals:step-decide", args=[request_.public_id]), data)
    text = mail_text("decision_receipt", cast.pm)
    decision = request_.decisions.get()
    for said in (request_.public_id, request_.title, "Approve", "the portal", "198.51.100.7"):
        assert said in text
    assert bytes(decision.digest).hex() in text
    assert f"{settings.PORTAL_URL}{not_me(decision)}" in text


def test_a_rights_holder_finds_the_same_link_in_the_receipt(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    decision = consent(request)
    assert decision.contact is not None
    assert not_me(decision) in mail_text("consent_receipt", decision.contact.public_id)
    press(decision)
    request.refresh_from_db()
    assert request.frozen_at is not None


# --- the page ---------------------------------------------------------


def test_opening_the_page_does_nothing_and_says_no_more_than_the_receipt(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    page = Client().get(not_me(decision))
    text = page.content.decode()
    assert page.status_code == 200
    assert request_.public_id in text
    assert not any(secret in text for secret in (cast.pm.email, cast.company.name, "catalog:read"))
    assert page["Cache-Control"] == "no-store"
    assert "noindex" in page["X-Robots-Tag"]
    assert not Doubt.objects.exists()


def test_a_scanner_that_presses_buttons_ticks_no_box(request_: Request, decision: Decision) -> None:
    assert Client().post(not_me(decision)).status_code == 422
    request_.refresh_from_db()
    assert request_.frozen_at is None


def test_a_link_that_ran_out_or_was_cut_off_freezes_nothing(request_: Request, decision: Decision) -> None:
    assert Client().post(not_me(decision)[:-2] + "/", {"sure": "on"}).status_code == 404
    later = timezone.now() + settings.NOT_ME_LIFETIME
    with pytest.raises(Conflict):
        raise_doubt(actor=staff_actor(decision.request.requester), token=not_me(decision)[8:-1], now=later)
    assert not Doubt.objects.exists()


# --- frozen -----------------------------------------------------------


def test_pressing_freezes_at_once_and_twice_is_once(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    press(decision)
    press(decision)
    request_.refresh_from_db()
    assert request_.frozen_at is not None
    queue = sign_in(cast.legal).get(reverse("approvals:queue"), {"view": "all"})
    assert request_.public_id not in [row.request.public_id for row in queue.context["found"].rows]
    assert Doubt.objects.count() == Event.objects.filter(action="request.frozen").count() == 1
    assert "Security has been called" in Client().get(not_me(decision)).content.decode()
    told = Message.objects.filter(kind="decision_disputed").values_list("recipient_ref", flat=True)
    assert sorted(told) == sorted([cast.security.public_id, cast.coo.public_id, cast.admin.public_id])
    assert request_.public_id in mail_text("decision_disputed", cast.security)


def test_nobody_decides_withdraws_or_expires_a_frozen_request(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    link = open_step(request_).links.get(staff=cast.legal)
    press(decision)
    request_.refresh_from_db()
    with pytest.raises(Conflict):
        decide(request_, cast.legal)
    with pytest.raises(Conflict):
        withdraw_request(
            actor=staff_actor(cast.requester),
            by=cast.requester,
            request=request_,
            version=request_.version,
            now=timezone.now(),
        )
    link = type(link).objects.select_related("step__request").get(pk=link.pk)
    assert state_of(link, now=timezone.now()) == "closed"
    assert expire_requests(now=timezone.now() + settings.REQUEST_LIFETIME + timedelta(days=1)) == 0
    assert watch_steps(now=timezone.now()) == 0
    page = sign_in(cast.legal).get(reverse("approvals:step-decide", args=[request_.public_id]))
    assert page.status_code == 409
    assert "frozen" in page.content.decode()
    assert sign_in(cast.legal).get(reverse("home")).content.decode().count(request_.title) == 0


def test_the_database_refuses_a_decision_on_a_frozen_request(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    press(decision)
    step = open_step(request_)
    with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
        Decision.objects.create(
            request=request_,
            requester_id_copy=request_.requester_id,
            step=step,
            staff=cast.legal,
            outcome="approve",
            digest=step.revision.digest,
            decided_at=timezone.now(),
        )


def test_the_persons_sessions_end_and_the_password_alone_opens_nothing_more(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    browser = sign_in(cast.pm)
    assert browser.get(reverse("home")).status_code == 200
    press(decision)
    assert browser.get(reverse("home")).status_code == 302
    cast.pm.refresh_from_db()
    assert cast.pm.second_factor_demanded
    assert not cast.pm.has_usable_password()
    text = mail_text("account_secured", cast.pm)
    assert "Your password no longer works" in text
    assert "/sign-in/password/new/" in text
    assert "nothing has been changed" not in text
    asked = sign_in(cast.pm, second_factor=False).get(reverse("home"))
    assert asked["Location"] == reverse("accounts:second-factor")


def test_who_has_a_second_factor_keeps_the_password_but_no_session(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal)
    decision = decide(request, cast.tech)
    TOTP.activate(cast.tech, generate_totp_secret())
    browser = sign_in(cast.tech)
    key = browser.session.session_key
    UserSession.objects.create(user=cast.tech, session_key=key, ip="127.0.0.1", user_agent="x")
    press(decision)
    assert browser.get(reverse("home")).status_code == 302
    cast.tech.refresh_from_db()
    assert cast.tech.has_usable_password()
    text = mail_text("account_secured", cast.tech)
    assert "your password and your second factor" in text
    assert "/sign-in/password/new/" not in text


def test_an_issued_key_stops_too(cast: Cast, request_: Request, decision: Decision) -> None:
    decide(request_, cast.legal)
    decide(request_, cast.tech)
    request_.refresh_from_db()
    key = request_.key
    assert key is not None
    reveal(key)
    press(decision)
    key.refresh_from_db()
    assert (key.status, key.held_for) == ("suspended", ["doubt"])
    page = sign_in(cast.requester).get(reverse("approvals:request-detail", args=[request_.public_id]))
    assert "Frozen since" in page.content.decode()


def test_everybody_who_may_look_is_told_but_not_whose_answer_it_is(cast: Cast) -> None:
    request = cast.request(cast.big)
    decisions = [decide(request, person) for person in (cast.pm, cast.legal, cast.tech, cast.coo)]
    press(decisions[-1])
    told = Message.objects.filter(kind="decision_disputed").values_list("recipient_ref", flat=True)
    assert set(told) == {cast.security.public_id, cast.admin.public_id}
    assert request.public_id in mail_text("decision_disputed", cast.security)


# --- security looks ---------------------------------------------------


def test_security_sees_it_at_home_and_lets_the_decision_stand(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    press(decision)
    url = reverse("approvals:doubt-look", args=[request_.public_id])
    assert url in sign_in(cast.security).get(reverse("home")).content.decode()
    assert sign_in(cast.security).get(url).status_code == 200
    assert look(request_, cast.security, reason="") == 422
    assert look(request_, cast.security) == 302
    request_.refresh_from_db()
    assert request_.frozen_at is None
    assert "The decision stands" in mail_text("doubt_cleared", cast.pm)
    decide(request_, cast.legal)
    assert open_step(request_).role == "tech"


def test_a_void_decision_rejects_the_request(cast: Cast, request_: Request, decision: Decision) -> None:
    press(decision)
    assert look(request_, cast.security, "rejected") == 302
    request_.refresh_from_db()
    assert (request_.state, request_.frozen_at) == ("rejected", None)
    assert not request_.steps.filter(state__in=["open", "waiting"]).exists()
    assert "void" in mail_text("doubt_cleared", cast.requester)


def test_a_void_decision_revokes_the_key_that_came_of_it(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    decide(request_, cast.legal)
    decide(request_, cast.tech)
    press(decision)
    assert look(request_, cast.security, "rejected") == 302
    request_.refresh_from_db()
    assert request_.key is not None
    assert (request_.key.status, request_.key.revoke_reason) == ("revoked", "not_approved")


def test_a_decision_that_stands_lets_somebody_start_the_key_again(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    decide(request_, cast.legal)
    decide(request_, cast.tech)
    press(decision)
    look(request_, cast.security)
    request_.refresh_from_db()
    key = request_.key
    assert key is not None
    assert (key.status, key.held_for) == ("suspended", [])
    url = reverse("keys:key-reactivate", args=[key.public_id])
    for page in (url, reverse("keys:key-detail", args=[key.public_id])):
        text = sign_in(cast.security).get(page).content.decode()
        assert "What it was stopped for is settled." in text
    assert sign_in(cast.security).post(url, {"reason": "The PM confirmed it."}).status_code == 302


def test_a_void_decision_is_asked_again_and_the_others_stand(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    second = decide(request_, cast.legal)
    press(second)
    assert look(request_, cast.security, "again") == 302
    request_.refresh_from_db()
    assert (request_.state, request_.frozen_at) == ("changes_wanted", None)
    page = sign_in(cast.requester).get(reverse("approvals:request-detail", args=[request_.public_id]))
    assert "security sent it back" in page.content.decode()
    submit_request(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=request_,
        version=request_.version,
        terms=KeyTerms.from_json(request_.revisions.get().terms),
        now=timezone.now(),
    )
    assert open_step(request_).role == "legal"
    second.refresh_from_db()
    decision.refresh_from_db()
    assert second.fallen_at is not None
    assert decision.fallen_at is None
    page = sign_in(cast.requester).get(reverse("approvals:request-detail", args=[request_.public_id]))
    assert "The approval by Legal counts no more on the new revision." in page.content.decode()
    decide(request_, cast.legal)
    decide(request_, cast.tech)
    request_.refresh_from_db()
    assert request_.state == "approved"


def test_who_was_asked_hears_that_security_sent_it_back_not_the_requester(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    press(decision)
    look(request_, cast.security, "again")
    assert not Message.objects.filter(kind="request_paused").exists()
    text = mail_text("request_sent_back", cast.legal)
    assert "Security has sent this request back" in text
    assert "taken this request back to edit it" not in text


def test_a_doubtful_answer_is_no_green_one_on_the_path(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    assert path_of(request_, cast.pm)[0].look == "approved"
    press(decision)
    request_.refresh_from_db()
    assert path_of(request_, cast.pm)[0].look == "doubted"
    page = sign_in(cast.requester).get(reverse("approvals:request-detail", args=[request_.public_id]))
    text = page.content.decode()
    assert "as not given by them" in text
    assert "its clock stands still while the request is frozen" in text
    look(request_, cast.security, "again")
    assert path_of(request_, cast.pm)[0].look == "void"
    text = sign_in(cast.requester).get(page.request["PATH_INFO"]).content.decode()
    assert f"void: {cast.security.name} found that they did not give it" in text
    assert f"<s>{cast.pm.name}</s>" in text


def test_the_clock_stands_still_while_a_request_is_frozen(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    step = open_step(request_)
    assert step.due_at is not None
    frozen_at = add_business_hours(timezone.now(), 24)
    raise_doubt(actor=SYSTEM("tests"), token=not_me(decision).rstrip("/").split("/")[-1], now=frozen_at)
    thawed_at = add_business_hours(frozen_at, 240)
    look_into_doubt(
        actor=staff_actor(cast.security),
        by=cast.security,
        doubt=Doubt.objects.get(),
        verdict="stands",
        reason="Called them.",
        second_factor_at=thawed_at,
        now=thawed_at,
    )
    left = business_hours_between(frozen_at, step.due_at)
    step.refresh_from_db()
    assert step.due_at is not None
    assert business_hours_between(thawed_at, step.due_at) == pytest.approx(left)
    link = step.links.get(staff=cast.legal)
    assert link.expires_at >= step.due_at
    assert state_of(link, now=thawed_at) == "open"


def test_of_a_request_that_has_ended_nothing_is_asked_again(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    decide(request_, cast.legal, "reject")
    press(decision)
    assert look(request_, cast.security, "again") == 422
    assert look(request_, cast.security, "rejected") == 302
    request_.refresh_from_db()
    assert (request_.state, request_.frozen_at) == ("rejected", None)


def test_two_doubts_thaw_only_together(cast: Cast, request_: Request, decision: Decision) -> None:
    second = decide(request_, cast.legal)
    press(decision)
    press(second)
    look(request_, cast.security)
    request_.refresh_from_db()
    assert request_.frozen_at is not None
    look(request_, cast.coo)
    request_.refresh_from_db()
    assert request_.frozen_at is None


def test_neither_the_accused_nor_the_requester_looks(
    cast: Cast, decision: Decision, request_: Request
) -> None:
    User.objects.filter(pk__in=[cast.pm.pk, cast.requester.pk]).update(roles=["security"])
    press(decision)
    for person in (cast.pm, cast.requester):
        person.refresh_from_db()
        assert look(request_, person) == 403
    with pytest.raises(IntegrityError, match="approvals_doubt_not_by_accused"), transaction.atomic():
        Doubt.objects.update(verdict="stands", reason="x", looked_by=cast.pm, looked_at=timezone.now())


def test_looking_asks_for_the_second_factor(cast: Cast, request_: Request, decision: Decision) -> None:
    press(decision)
    url = reverse("approvals:doubt-look", args=[request_.public_id])
    stale = sign_in(cast.security)
    session = stale.session
    session["account_authentication_methods"] = [{"method": "mfa", "type": "totp", "at": 0}]
    session.save()
    assert stale.post(url, {"verdict": "stands", "reason": "x"}).status_code == 302
    assert Doubt.objects.get().verdict == ""


def test_no_token_stands_in_the_audit_log(cast: Cast, decision: Decision) -> None:
    press(decision)
    token = not_me(decision).rstrip("/").rsplit("/", 1)[-1].encode()
    assert not any(token in bytes(event.canonical) for event in Event.objects.all())
