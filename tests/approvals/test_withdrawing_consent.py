"""A rights-holder withdraws a consent: code, signature, and what stood on it stops (A9)."""

import re
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals.decisions.selectors.receipts import receipt_url, withdraw_url
from approvals.models import ConsentCode, ConsentWithdrawal, Decision, Request
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict
from core.links import code_of
from keys.status.services import reactivate_key
from notifications.models import Message
from tests.approvals.test_not_me import mail_text
from tests.cast import Cast, consent, decide, sign_in
from tests.changes import ask_change
from tests.key_stories import reveal

pytestmark = pytest.mark.django_db


@pytest.fixture
def request_(cast: Cast) -> Request:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    return request


@pytest.fixture
def decision(request_: Request) -> Decision:
    return consent(request_)


def path_of(url: str) -> str:
    return re.sub(r"^https?://[^/]+", "", url)


def at(decision: Decision, name: str = "") -> str:
    fresh = Decision.objects.get(pk=decision.pk)
    return path_of(withdraw_url(fresh)) + (f"{name}/" if name else "")


def signed_page(client: Client, decision: Decision) -> Any:
    client.post(at(decision, "code"))
    digits = code_of(bytes(ConsentCode.objects.latest("id").nonce))
    return client.post(at(decision, "sign"), {"code": digits})


def withdraw(decision: Decision, **changes: Any) -> Any:
    client = Client()
    url = at(decision, "answer")
    page = signed_page(client, decision).content.decode()
    match = re.search(r'name="proof" value="([^"]+)"', page)
    assert match
    form = {"proof": match[1], "signed_name": "星野 光", "signed_capacity": "The artist", "reason": ""}
    return client.post(url, form | changes)


def finish(cast: Cast, request: Request) -> Any:
    decide(request, cast.legal)
    decide(request, cast.tech)
    request.refresh_from_db()
    assert request.key is not None
    return request.key


def test_the_receipt_leads_to_it_by_mail_and_by_page(decision: Decision) -> None:
    assert decision.contact is not None
    url = withdraw_url(decision).rsplit(":", 2)[0]  # without the second in which it was signed
    assert url in mail_text("consent_receipt", decision.contact.public_id)
    page = Client().get(path_of(receipt_url(decision))).content.decode()
    assert url in page


def test_nothing_is_shown_before_the_code_and_opening_does_nothing(
    request_: Request, decision: Decision
) -> None:
    assert decision.contact is not None
    page = Client().get(at(decision))
    text = page.content.decode()
    assert page.status_code == 200
    assert page["Cache-Control"] == "no-store"
    assert not any(word in text for word in (request_.public_id, request_.title, decision.contact.email))
    assert not ConsentCode.objects.exists()
    answer = Client().post(at(decision, "answer"), {"proof": "x", "signed_name": "a", "signed_capacity": "b"})
    assert answer.status_code == 403
    assert request_.public_id not in answer.content.decode()
    assert not ConsentWithdrawal.objects.exists()


def test_a_link_that_is_none_says_so(cast: Cast, request_: Request) -> None:
    assert Client().get(reverse("approvals:withdraw-start", args=["no-such"])).status_code == 404
    staffs = request_.decisions.get()
    assert withdraw_url(staffs) == ""


def test_name_and_capacity_are_needed_and_a_reason_is_not(decision: Decision) -> None:
    assert withdraw(decision, signed_name="").status_code == 422
    assert not ConsentWithdrawal.objects.exists()
    assert withdraw(decision).status_code == 302
    assert ConsentWithdrawal.objects.get().signed_capacity == "The artist"


def test_the_key_stops_and_everybody_is_told(cast: Cast, request_: Request, decision: Decision) -> None:
    assert decision.contact is not None
    key = finish(cast, request_)
    reveal(key)
    withdraw(decision, reason="The tour is over.")
    key.refresh_from_db()
    assert (key.status, key.held_for) == ("suspended", ["consent"])
    told = Message.objects.filter(kind="consent_withdrawn").values_list("recipient_ref", flat=True)
    people = [cast.security, cast.admin, cast.requester]
    assert sorted(told) == sorted(person.public_id for person in people)
    text = mail_text("consent_withdrawn", cast.security)
    assert key.public_id in text
    assert "The tour is over." in text
    assert "withdrawn your consent" in mail_text("withdrawal_receipt", decision.contact.public_id)
    event = Event.objects.get(action="consent.withdrawn")
    assert event.actor_ref == decision.contact.public_id
    assert f"key:{key.public_id}" in event.objects_touched
    assert key.public_id in sign_in(cast.security).get(reverse("home")).content.decode()


def test_nobody_starts_the_key_again_without_a_new_consent(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    key = finish(cast, request_)
    reveal(key)
    withdraw(decision)
    with pytest.raises(Conflict, match="withdrawn"):
        reactivate_key(
            actor=staff_actor(cast.security),
            by=cast.security,
            key=key,
            reason="They will surely agree.",
            now=timezone.now(),
        )


def test_a_key_that_was_not_collected_yet_can_not_be_collected(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    key = finish(cast, request_)
    withdraw(decision)
    with pytest.raises(Conflict):
        reveal(key)


def test_a_request_in_review_ends_as_rejected(cast: Cast, request_: Request, decision: Decision) -> None:
    withdraw(decision)
    request_.refresh_from_db()
    assert (request_.state, request_.key) == ("rejected", None)
    assert not request_.steps.filter(state__in=["open", "waiting"]).exists()
    page = sign_in(cast.requester).get(reverse("approvals:request-detail", args=[request_.public_id]))
    assert "The rights-holder has withdrawn the consent" in page.content.decode()


def test_once_withdrawn_the_link_leads_to_the_receipt(decision: Decision) -> None:
    url = at(decision)
    withdraw(decision)
    answer = Client().get(url, follow=True)
    text = answer.content.decode()
    assert "does not count any more" in text
    assert "<h1>This consent was withdrawn</h1>" in text
    assert "Consent, withdrawn" in text
    assert "Approved" not in text
    thanks = Client().get(path_of(receipt_url(decision)) + "?thanks=1").content.decode()
    assert "<h1>This consent was withdrawn</h1>" in thanks
    assert withdraw_url(Decision.objects.get(pk=decision.pk)) == ""
    assert ConsentWithdrawal.objects.count() == 1


def test_a_wrong_code_opens_nothing_and_is_counted(decision: Decision) -> None:
    client = Client()
    client.post(at(decision, "code"))
    right = int(code_of(bytes(ConsentCode.objects.latest("id").nonce)))
    answer = client.post(at(decision, "sign"), {"code": f"{(right + 1) % 10**8:08d}"})
    assert answer.status_code == 422
    assert ConsentCode.objects.get().n_attempts == 1


def test_a_withdrawal_is_never_changed(decision: Decision) -> None:
    withdraw(decision)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        ConsentWithdrawal.objects.update(signed_name="Somebody else")
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        ConsentWithdrawal.objects.all().delete()


def test_a_new_consent_to_a_change_starts_the_key_again(
    cast: Cast, request_: Request, decision: Decision
) -> None:
    key = finish(cast, request_)
    reveal(key)
    withdraw(decision)
    anew = ask_change(key, cast.requester, reactivates=True, why="The tour goes on.")
    decide(anew, cast.pm)
    consent(anew)
    decide(anew, cast.legal)
    key.refresh_from_db()
    assert (key.status, key.held_for) == ("suspended", ["consent"])
    decide(anew, cast.tech)
    key.refresh_from_db()
    assert (key.status, key.held_for) == ("active", [])
