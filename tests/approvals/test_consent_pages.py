"""Consent without an account: link, code, terms, answer, receipt (A1, A3)."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals.decisions.selectors.receipts import receipt_url
from approvals.decisions.services.consent import PROOF_LIFETIME, SALT
from approvals.models import ConsentCode, Decision, LinkOpening, Request, Step, StepLink
from approvals.path.services.path import PURPOSE
from approvals.requests.services.requests import submit_request
from audit.models import Event
from core.actors import staff_actor
from core.links import code_of, token_of
from core.wording import date_text
from keys.terms.terms import KeyTerms
from notifications.models import Message
from tests.cast import Cast, consent, decide, open_step

pytestmark = pytest.mark.django_db


@pytest.fixture
def request_(cast: Cast) -> Request:
    """A request that waits for the star's consent."""
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    return request


@pytest.fixture
def step(request_: Request) -> Step:
    return open_step(request_)


@pytest.fixture
def token(step: Step) -> str:
    return token_of(bytes(step.links.get().nonce), purpose=PURPOSE)


def at(name: str, token: str, answer: str = "") -> str:
    url = reverse(f"approvals:consent-{name}", args=[token])
    return f"{url}?answer={answer}" if answer else url


def digits() -> str:
    return code_of(bytes(ConsentCode.objects.latest("id").nonce))


def wrong_digits() -> str:
    return f"{(int(digits()) + 1) % 10**8:08d}"


def read_terms(client: Client, token: str, answer: str = "") -> Any:
    client.post(at("code", token))
    return client.post(at("terms", token), {"code": digits(), "answer": answer})


def proof_in(page: Any) -> str:
    match = re.search(r'name="proof" value="([^"]+)"', page.content.decode())
    assert match
    return match[1]


def filled(step: Step, proof: str, answer: str = "approve", **changes: Any) -> dict[str, Any]:
    return {
        "proof": proof,
        "digest": bytes(step.revision.digest).hex(),
        "answer": answer,
        "signed_name": "星野 光",
        "signed_capacity": "The artist",
        "reason": "" if answer == "approve" else "Not in this season.",
    } | changes


def shows_no_terms(request: Request, response: Any) -> bool:
    text = response.content.decode()
    return not any(secret in text for secret in (request.public_id, request.title, "catalog:read", "¥"))


# --- before the code --------------------------------------------------


def test_the_first_page_says_who_asks_whom_and_nothing_of_the_request(
    cast: Cast, request_: Request, token: str
) -> None:
    response = Client().get(at("start", token, "approve"))
    text = response.content.decode()
    contact = open_step(request_).contact
    assert contact is not None
    assert response.status_code == 200
    assert cast.star.name in text
    assert contact.email not in text
    assert f"{contact.email[0]}•••@" in text
    assert shows_no_terms(request_, response)
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "same-origin"
    assert "noindex" in response["X-Robots-Tag"]
    assert LinkOpening.objects.count() == 1
    assert not ConsentCode.objects.exists()


def test_pages_speak_the_contacts_language_until_another_is_chosen(step: Step, token: str) -> None:
    assert step.contact is not None
    type(step.contact).objects.filter(pk=step.contact.pk).update(language="ja")
    assert '<html lang="ja"' in Client().get(at("start", token)).content.decode()
    client = Client()
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    assert '<html lang="en"' in client.get(at("start", token)).content.decode()


def test_a_code_is_sent_by_post_only_and_stands_nowhere(step: Step, token: str) -> None:
    client = Client()
    assert client.get(at("code", token)).status_code == 302
    assert not ConsentCode.objects.exists()
    response = client.post(at("code", token), {"answer": "approve"})
    assert response["Location"] == at("code", token, "approve")
    message = Message.objects.get(kind="consent_code")
    assert message.recipient_ref == step.contact.public_id  # type: ignore[union-attr]  # a consent step has one
    assert digits() not in str(message.context)
    assert digits() not in str(list(Event.objects.values_list("payload", flat=True)))
    page = client.get(response["Location"])
    text = page.content.decode()
    assert 'inputmode="numeric"' in text
    assert 'autocomplete="one-time-code"' in text
    assert shows_no_terms(step.request, page)


def test_five_codes_an_hour_are_enough(token: str) -> None:
    client = Client()
    for _number in range(5):
        assert client.post(at("code", token)).status_code == 302
    refused = client.post(at("code", token))
    assert refused.status_code == 409
    assert "Try again in an hour" in refused.content.decode()
    assert Message.objects.filter(kind="consent_code").count() == 5


# --- the code ---------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", " {} ", "full", "spaced"])
def test_the_right_digits_show_the_exact_terms(step: Step, token: str, form: str) -> None:
    client = Client()
    client.post(at("code", token))
    typed = digits()
    if form == "full":
        typed = typed.translate({ord(str(n)): chr(0xFF10 + n) for n in range(10)})
    elif form == "spaced":
        typed = f"{typed[:4]} {typed[4:]}"
    else:
        typed = form.format(typed)
    page = client.post(at("terms", token), {"code": typed, "answer": "reject"})
    text = page.content.decode()
    assert page.status_code == 200
    assert step.request.title in text
    assert bytes(step.revision.digest).hex() in text
    assert "203.0.113.0/24" in text
    assert 'value="reject" required checked' in text
    assert not Decision.objects.filter(contact__isnull=False).exists()


def test_wrong_digits_are_counted_and_told(step: Step, token: str) -> None:
    client = Client()
    client.post(at("code", token))
    for left in (4, 3, 2, 1):
        response = client.post(at("terms", token), {"code": wrong_digits()})
        assert response.status_code == 422
        assert f"You have {left} more" in response.content.decode()
        assert shows_no_terms(step.request, response)
    last = client.post(at("terms", token), {"code": wrong_digits()})
    assert "does not work any more" in last.content.decode()
    right_but_late = client.post(at("terms", token), {"code": digits()})
    assert right_but_late.status_code == 422
    assert shows_no_terms(step.request, right_but_late)
    assert Event.objects.filter(action="consent.code_failed").count() == 5
    assert read_terms(client, token).status_code == 200


@pytest.mark.parametrize("code", ["", "1", "abc", "0" * 41, "１２３", "'; DROP TABLE", "²²²²²²²²"])
def test_what_is_no_code_is_refused(token: str, code: str) -> None:
    client = Client()
    client.post(at("code", token))
    assert client.post(at("terms", token), {"code": code}).status_code == 422


def test_a_code_dies_with_age_and_with_the_next_one(token: str) -> None:
    client = Client()
    client.post(at("code", token))
    first = digits()
    client.post(at("code", token))
    assert client.post(at("terms", token), {"code": first}).status_code == 422
    ConsentCode.objects.update(expires_at=timezone.now())
    assert client.post(at("terms", token), {"code": digits()}).status_code == 422


def test_a_code_opens_the_page_once(token: str) -> None:
    client = Client()
    assert read_terms(client, token).status_code == 200
    assert client.post(at("terms", token), {"code": digits()}).status_code == 422


def test_a_code_belongs_to_its_link(cast: Cast, token: str) -> None:
    other = cast.request(cast.star_contract)
    decide(other, cast.pm)
    other_token = token_of(bytes(open_step(other).links.get().nonce), purpose=PURPOSE)
    client = Client()
    client.post(at("code", token))
    mine = digits()
    client.post(at("code", other_token))
    assert client.post(at("terms", other_token), {"code": mine}).status_code == 422


# --- the answer -------------------------------------------------------


def test_consent_from_link_to_receipt(cast: Cast, step: Step, token: str) -> None:
    client = Client()
    proof = proof_in(read_terms(client, token, "approve"))
    response = client.post(at("answer", token), filled(step, proof))
    decision = Decision.objects.get(contact__isnull=False)
    assert (decision.outcome, decision.signed_name) == ("approve", "星野 光")
    assert decision.signed_capacity == "The artist"
    assert response["Location"].startswith("/receipt/")
    thanks = client.get(response["Location"]).content.decode()
    assert "Thank you" in thanks
    assert receipt_url(decision).rsplit("/", 2)[0] in thanks
    assert Message.objects.filter(kind="consent_receipt").count() == 1
    assert open_step(step.request).role == "legal"
    assert "used already" in client.get(at("start", token)).content.decode()


def test_not_consenting_needs_a_reason(step: Step, token: str) -> None:
    client = Client()
    proof = proof_in(read_terms(client, token))
    refused = client.post(at("answer", token), filled(step, proof, "reject", reason=" "))
    assert refused.status_code == 422
    assert "needs a reason" in refused.content.decode()
    assert client.post(at("answer", token), filled(step, proof, "reject")).status_code == 302
    step.request.refresh_from_db()
    assert step.request.state == Request.State.REJECTED


@pytest.mark.parametrize(
    "changes",
    [
        {"signed_name": ""},
        {"signed_name": " \u200b "},
        {"signed_capacity": ""},
        {"signed_name": "x" * 121},
        {"answer": ""},
        {"digest": "nonsense"},
    ],
)
def test_an_answer_must_be_whole(step: Step, token: str, changes: dict[str, str]) -> None:
    client = Client()
    proof = proof_in(read_terms(client, token))
    response = client.post(at("answer", token), filled(step, proof, **changes))
    assert response.status_code == 422
    assert not Decision.objects.filter(contact__isnull=False).exists()


@pytest.mark.parametrize("kind", ["none", "forged", "other_link", "old", "not_passed"])
def test_without_a_true_proof_there_is_no_answer(cast: Cast, step: Step, token: str, kind: str) -> None:
    client = Client()
    proof = proof_in(read_terms(client, token))
    if kind == "none":
        proof = ""
    elif kind == "forged":
        proof = proof[:-2] + ("AA" if proof[-2:] != "AA" else "BB")
    elif kind == "other_link":
        data = signing.loads(proof, salt=SALT)
        proof = signing.dumps(data | {"link": str(step.links.get().uid)[:-1] + "0"}, salt=SALT)
        if signing.loads(proof, salt=SALT)["link"] == data["link"]:
            proof = signing.dumps(data | {"link": str(step.links.get().uid)[:-1] + "1"}, salt=SALT)
    elif kind == "old":
        ConsentCode.objects.update(passed_at=timezone.now() - PROOF_LIFETIME - timedelta(seconds=1))
    else:
        ConsentCode.objects.update(passed_at=None)
    for data in (filled(step, proof), filled(step, proof, signed_name="", answer="")):
        response = client.post(at("answer", token), data)
        assert response.status_code == 403
        assert shows_no_terms(step.request, response)
    assert not Decision.objects.filter(contact__isnull=False).exists()


def test_an_answer_to_other_terms_is_refused(step: Step, token: str) -> None:
    client = Client()
    proof = proof_in(read_terms(client, token))
    response = client.post(at("answer", token), filled(step, proof, digest="0" * 64))
    assert response.status_code == 409
    assert not Decision.objects.filter(contact__isnull=False).exists()


def test_a_double_click_counts_once(step: Step, token: str) -> None:
    client = Client()
    proof = proof_in(read_terms(client, token))
    assert client.post(at("answer", token), filled(step, proof)).status_code == 302
    again = client.post(at("answer", token), filled(step, proof))
    assert again.status_code == 409
    assert "used already" in again.content.decode()
    assert shows_no_terms(step.request, again)
    assert Decision.objects.filter(contact__isnull=False).count() == 1
    assert Message.objects.filter(kind="consent_receipt").count() == 1


def test_the_language_can_be_changed_on_the_terms_without_losing_what_was_typed(
    step: Step, token: str
) -> None:
    client = Client()
    proof = proof_in(read_terms(client, token))
    typed = filled(step, proof, language="ja")
    page = client.post(at("language", token), typed)
    text = page.content.decode()
    assert page.status_code == 200
    assert '<html lang="ja"' in text
    assert "星野 光" in text
    assert proof_in(page) == proof
    assert not Decision.objects.filter(contact__isnull=False).exists()
    assert client.post(at("language", token), typed | {"proof": "no"}).status_code == 302


@pytest.mark.parametrize("name", ["terms", "answer", "language"])
def test_get_never_shows_the_terms(step: Step, token: str, name: str) -> None:
    client = Client()
    read_terms(client, token)
    response = client.get(at(name, token), follow=True)
    assert shows_no_terms(step.request, response)


@pytest.mark.parametrize("name", ["code", "terms", "answer", "renew"])
def test_forms_need_the_csrf_token(token: str, name: str) -> None:
    assert Client(enforce_csrf_checks=True).post(at(name, token)).status_code == 403


# --- dead links -------------------------------------------------------


@pytest.mark.parametrize("name", ["start", "code", "terms", "answer", "language"])
@pytest.mark.parametrize("state", ["unknown", "used", "closed", "expired", "replaced", "staff"])
def test_a_dead_link_shows_nothing(cast: Cast, request_: Request, token: str, name: str, state: str) -> None:
    link = StepLink.objects.get(contact__isnull=False)
    if state == "used":
        consent(request_)
    elif state == "closed":
        Step.objects.filter(pk=link.step_id).update(state="cancelled")
    elif state == "expired":
        StepLink.objects.filter(pk=link.pk).update(expires_at=timezone.now())
    elif state == "replaced":
        StepLink.objects.filter(pk=link.pk).update(died_at=timezone.now())
    elif state == "staff":
        other = cast.request()
        token = token_of(bytes(open_step(other).links.all()[0].nonce), purpose=PURPOSE)
    else:
        token = "A" * 43
    unknown = state in {"unknown", "staff"}
    visit = Client().get(at(name, token))
    assert visit.status_code == (404 if unknown else 410)
    assert shows_no_terms(request_, visit)
    if name != "start":
        sent = Client().post(at(name, token))
        assert sent.status_code == (404 if unknown else 409)
        assert shows_no_terms(request_, sent)


def test_a_used_link_says_when_the_receipt_was_sent_and_no_more(request_: Request, token: str) -> None:
    consent(request_)
    assert "A receipt was sent" not in Client().get(at("start", token)).content.decode()
    now = timezone.now()
    Message.objects.filter(kind="consent_receipt").update(state="sent", sent_at=now)
    page = Client().get(at("start", token))
    text = page.content.decode()
    assert f"A receipt was sent to c•••@partner.example on {date_text(timezone.localdate(now))}." in text
    assert shows_no_terms(request_, page)
    assert "approved" not in text.lower()


def test_an_expired_link_is_renewed_to_the_registered_address(step: Step, token: str) -> None:
    StepLink.objects.filter(contact__isnull=False).update(expires_at=timezone.now())
    assert "/renew" in Client().get(at("start", token)).content.decode()
    assert Client().post(at("renew", token)).status_code == 200
    assert Message.objects.filter(kind="consent_requested").count() == 2
    fresh = StepLink.objects.get(contact__isnull=False, died_at=None)
    new_token = token_of(bytes(fresh.nonce), purpose=PURPOSE)
    assert Client().get(at("start", new_token)).status_code == 200


def test_who_consented_before_reads_what_is_different_in_their_own_words(
    cast: Cast, request_: Request
) -> None:
    consent(request_)
    decide(request_, cast.legal, "changes", reason="Which page?")
    request_.refresh_from_db()
    last = KeyTerms.from_json(request_.revisions.get().terms)
    submit_request(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=request_,
        version=request_.version,
        terms=replace(last, purpose="Shows fans on the tour page when the star is on tour."),
        now=timezone.now(),
    )
    decide(request_, cast.pm)
    link = open_step(request_).links.get()
    page = read_terms(Client(), token_of(bytes(link.nonce), purpose=PURPOSE))
    text = re.sub(r"<[^>]+>", "", page.content.decode())
    day = date_text(timezone.localdate())
    assert (
        f"You consented to the earlier terms on {day}. They were changed since, so we ask you again." in text
    )
    assert "approved revision" not in text
    assert "yours to look at" not in text
    assert "on the tour page" in text


# --- receipts ---------------------------------------------------------


def test_a_receipt_tells_that_and_when_but_not_what(request_: Request) -> None:
    decision = consent(request_)
    url = receipt_url(decision).removeprefix(settings.PORTAL_URL)
    response = Client().get(url)
    text = response.content.decode()
    assert response.status_code == 200
    for fact in (request_.public_id, str(decision.uid), bytes(decision.digest).hex(), "Star"):
        assert fact in text
    for secret in (request_.title, "catalog:read", "¥", decision.signed_name):
        assert secret not in text
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("outcome", "title", "answer"),
    [
        ("approve", "Receipt of a consent", "Consented"),
        ("reject", "Receipt of an answer", "No consent"),
        ("changes", "Receipt of an answer", "Changes wanted"),
    ],
)
def test_a_receipt_speaks_of_a_consent_not_of_an_approval(
    request_: Request, outcome: str, title: str, answer: str
) -> None:
    decision = consent(request_, outcome)
    text = Client().get(receipt_url(decision).removeprefix(settings.PORTAL_URL)).content.decode()
    assert f"<h1>{title}</h1>" in text
    assert answer in text
    assert "Approved" not in text
    assert "Receipt of a decision" not in text


@pytest.mark.parametrize("tamper", ["flip", "cut", "other_salt", "other_uid", "nonsense"])
def test_a_tampered_receipt_is_not_found(request_: Request, tamper: str) -> None:
    decision = consent(request_)
    token = receipt_url(decision).rstrip("/").rsplit("/", 1)[1]
    uid, rest = token.split(":", 1)
    bad = {
        "flip": token[:-1] + ("A" if token[-1] != "A" else "B"),
        "cut": token[:-5],
        "other_salt": signing.dumps(str(decision.uid), salt="other"),
        "other_uid": f"{uid[::-1]}:{rest}",
        "nonsense": "nonsense",
    }[tamper]
    assert Client().get(f"/receipt/{bad}/").status_code == 404
