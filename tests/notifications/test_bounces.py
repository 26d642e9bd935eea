"""A mail that a server took and that comes back later: reported by a signed webhook (A3)."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals.models import Request
from audit.models import Event
from config.checks import check_bounce_hook
from core.actors import staff_actor
from notifications.hooks import signature_of
from notifications.models import BounceReport, Message
from notifications.rendering import message_id, return_address, uid_in
from notifications.services import retry_message
from notifications.services.bounces import report_bounce
from notifications.services.delivery import deliver_message
from tests.cast import Cast, consent, decide, open_step, sign_in
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(autouse=True)
def secrets(settings: Any) -> None:
    settings.BOUNCE_WEBHOOK_SECRETS = [OLD_SECRET, SECRET]


@pytest.fixture
def sent(cast: Cast, sink: Sink) -> Message:
    """The mail that asks the star for consent, taken by a mail server."""
    decide(cast.request(cast.star_contract), cast.pm)
    message = Message.objects.get(kind="consent_requested")
    deliver_message(uid=message.uid, now=timezone.now())
    message.refresh_from_db()
    assert message.state == "sent"
    return message


def the_request() -> Request:
    return Request.objects.latest("id")


def call(
    report: object,
    *,
    event_id: str = "evt-1",
    secret: str = SECRET,
    seconds: int = 0,
    body: bytes | None = None,
    **changes: str,
) -> HttpResponse:
    body = json.dumps(report).encode() if body is None else body
    timestamp = str(int(timezone.now().timestamp()) + seconds)
    mark = signature_of(body=body, event_id=event_id, timestamp=timestamp, secret=secret)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{mark}",
    } | changes
    client = Client(enforce_csrf_checks=True)
    response = client.post(
        reverse("notifications:bounce-hook"), body, content_type="application/json", headers=headers
    )
    assert isinstance(response, HttpResponse)
    return response


def report_of(message: Message, **changes: object) -> dict[str, object]:
    return {"message_id": message_id(message), "final": True, "status": "5.1.1"} | changes


def result(response: HttpResponse) -> tuple[int, str]:
    return response.status_code, json.loads(response.content)["result"]


def test_final_bounce_marks_the_mail_and_its_step(cast: Cast, sent: Message) -> None:
    assert result(call(report_of(sent))) == (200, "marked")
    sent.refresh_from_db()
    assert (sent.state, sent.last_error) == ("failed", "Bounced 5.1.1")
    assert sent.sent_at is not None
    step = open_step(the_request())
    assert step.undeliverable_at is not None
    assert Event.objects.filter(action="step.undeliverable").count() == 1
    event = Event.objects.get(action="message.failed")
    assert f"message:{sent.uid}" in event.objects_touched
    page = sign_in(cast.ops).get(reverse("notifications:message-list")).content.decode()
    assert "Bounced 5.1.1" in page
    page = sign_in(cast.pm).get(f"/requests/{step.request.public_id}/").content.decode()
    assert "Mail undeliverable" in page


def test_the_same_report_again_changes_nothing_even_after_the_mail_was_sent_again(
    cast: Cast, sent: Message
) -> None:
    call(report_of(sent))
    again = retry_message(actor=staff_actor(cast.ops), uid=sent.uid, now=timezone.now())
    assert again.sent_at is None
    deliver_message(uid=sent.uid, now=timezone.now())
    assert result(call(report_of(sent))) == (200, "repeated")
    sent.refresh_from_db()
    assert sent.state == "sent"
    assert result(call(report_of(sent), event_id="evt-2")) == (200, "marked")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"final": False, "status": "4.2.2"}, "not_final"),
        ({"message_id": "<00000000-0000-4000-8000-000000000000@example.jp>"}, "unknown"),
        ({"message_id": "<step_requested@example.jp>"}, "unknown"),
        ({"message_id": ""}, "unknown"),
        ({"message_id": "\x00" * 900}, "unknown"),
    ],
)
def test_what_is_soft_or_foreign_marks_nothing(
    sent: Message, changes: dict[str, object], verdict: str
) -> None:
    assert result(call(report_of(sent, **changes))) == (200, verdict)
    sent.refresh_from_db()
    assert sent.state == "sent"


def test_bounce_of_a_decided_step_fails_the_mail_and_not_the_step(cast: Cast, sent: Message) -> None:
    consent(the_request())
    assert result(call(report_of(sent))) == (200, "marked")
    assert not Event.objects.filter(action="step.undeliverable").exists()


def test_mail_that_waits_is_not_failed_by_a_report(cast: Cast) -> None:
    cast.request()
    message = Message.objects.filter(kind="step_requested")[0]
    assert report_bounce(
        event_id="x", uid=message.uid, is_final=True, status="5.1.1", now=timezone.now()
    ) == ("over")
    message.refresh_from_db()
    assert message.state == "pending"


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"secret": "whsec_" + "BBBB" * 8}, (401, "not_signed")),
        ({"seconds": -301}, (401, "not_signed")),
        ({"seconds": 301}, (401, "not_signed")),
        ({"webhook-signature": ""}, (401, "not_signed")),
        ({"webhook-signature": "v1,é v1a,x v2,x"}, (401, "not_signed")),
        ({"webhook-timestamp": "²"}, (401, "not_signed")),
        ({"webhook-id": "another"}, (401, "not_signed")),
        ({"webhook-id": ""}, (401, "not_signed")),
        ({"body": b""}, (413, "too_large")),
        ({"body": b"{"}, (422, "not_json")),
        ({"body": b"\xff"}, (422, "not_json")),
        ({"body": b"[" * 16_000}, (422, "not_json")),
        ({"body": b"[]"}, (422, "not_a_report")),
        ({"body": b'{"message_id": 1, "final": true}'}, (422, "not_a_report")),
        ({"body": b'{"message_id": "a", "final": "yes"}'}, (422, "not_a_report")),
        (
            {"body": b'{"message_id": "a", "final": true, "status": "550 no such user"}'},
            (422, "not_a_report"),
        ),
        ({"body": b" " * 16_385}, (413, "too_large")),
    ],
)
def test_bad_calls_change_nothing(options: dict[str, Any], answer: tuple[int, str]) -> None:
    assert result(call({}, **options)) == answer
    assert not BounceReport.objects.exists()


def test_either_of_two_secrets_is_good_and_without_any_there_is_no_hook(settings: Any, sent: Message) -> None:
    assert call(report_of(sent), secret=OLD_SECRET).status_code == 200
    settings.BOUNCE_WEBHOOK_SECRETS = []
    assert result(call(report_of(sent), event_id="evt-2")) == (404, "off")


def test_mails_come_back_to_an_address_of_their_own_where_one_is_set(
    settings: Any, cast: Cast, sink: Sink
) -> None:
    settings.BOUNCE_ADDRESS = "bounces@mail.example.jp"
    cast.request()
    message = Message.objects.filter(kind="step_requested")[0]
    deliver_message(uid=message.uid, now=timezone.now())
    address = return_address(message)
    assert sink.senders == [address]
    assert address == f"bounces+{message.uid.hex}@mail.example.jp"
    assert uid_in(address) == uid_in(message_id(message)) == message.uid
    assert uid_in(f"{message.uid}@elsewhere.example") is None
    assert str(sink.mails[0]["From"]) == settings.DEFAULT_FROM_EMAIL


def test_release_checklist_refuses_a_weak_secret(settings: Any) -> None:
    assert check_bounce_hook() == []
    settings.BOUNCE_WEBHOOK_SECRETS = ["whsec_c2hvcnQ=", "no prefix", "whsec_!!"]
    assert [error.id for error in check_bounce_hook()] == ["kagiban.E020"] * 3
