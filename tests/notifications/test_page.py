"""The page of notifications, through HTTP: failed ones first, and "send again" (N1)."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.models import Event
from notifications.models import Message
from tests.cast import make_staff, sign_in

LIST = reverse("notifications:message-list")


def put(number: int, state: str = "pending", **fields: Any) -> Message:
    now = timezone.now()
    values: dict[str, Any] = {
        "kind": "step_requested",
        "dedupe_key": f"test:{number}",
        "recipient_ref": "ST-0001",
        "objects_touched": [f"request:KR-{number:04d}"],
        "next_attempt_at": now,
        "created_at": now,
        "state": state,
        "sent_at": now if state == "sent" else None,
    }
    return Message.objects.create(**(values | fields))


def retry(message: Message) -> str:
    return reverse("notifications:message-retry", args=[message.uid])


@pytest.fixture
def ops(db: None) -> Client:
    return sign_in(make_staff("Yuki Kobayashi", "ops"))


def shown(client: Client, **query: str) -> list[str]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return [row.about[0][0] for row in [*answer.context["failed"], *answer.context["rows"]]]


@pytest.mark.django_db
def test_only_those_who_may_see_notifications_see_them() -> None:
    insiders = {"tech", "security", "ops", "auditor", "admin"}
    may_retry = {"ops", "admin"}
    for number, role in enumerate(
        ("requester", "pm", "legal", "tech", "security", "coo", "ops", "auditor", "admin")
    ):
        client, message = sign_in(make_staff(role, role)), put(number, "failed")
        assert client.get(LIST).status_code == (200 if role in insiders else 403), role
        assert client.post(LIST).status_code == 405
        assert client.post(retry(message)).status_code == (302 if role in may_retry else 403), role
    assert Client().get(LIST).status_code == 302
    assert Event.objects.filter(action="message.retried").count() == len(may_retry)


def test_what_failed_stands_first_then_the_newest(ops: Client) -> None:
    put(1, "failed", last_error="SMTPRecipientsRefused 550", n_attempts=1)
    put(2, "sent", n_attempts=1)
    put(3)
    put(4, "cancelled")
    assert shown(ops) == ["KR-0001", "KR-0004", "KR-0003", "KR-0002"]
    assert shown(ops, state="failed") == ["KR-0001"]
    assert shown(ops, state="sent") == ["KR-0002"]
    assert shown(ops, state="nonsense") == shown(ops)
    page = ops.get(LIST).content.decode()
    assert "SMTPRecipientsRefused 550" in page
    assert page.count("Send again") == 1
    assert '<span class="n">1' in page


def test_a_message_that_waits_says_until_when(ops: Client) -> None:
    put(1, n_attempts=3, next_attempt_at=timezone.now() + timedelta(hours=2, minutes=1))
    page = ops.get(LIST).content.decode()
    assert "Will be tried again" in page
    assert "in 2 hours" in page


def test_an_empty_page_says_so(ops: Client) -> None:
    assert "No notification here" in ops.get(LIST).content.decode()


def test_send_again_puts_it_back_and_is_an_event(ops: Client) -> None:
    message = put(1, "failed", last_error="SMTPRecipientsRefused 550", n_attempts=20)
    assert ops.get(retry(message)).status_code == 405
    answer = ops.post(retry(message), follow=True)
    assert "on its way again" in answer.content.decode()
    message.refresh_from_db()
    assert (message.state, message.n_attempts) == ("pending", 0)
    event = Event.objects.get(action="message.retried")
    assert event.objects_touched == [f"message:{message.uid}", "request:KR-0001"]
    assert ops.post(retry(message)).status_code == 409
    message.delete()
    assert ops.post(retry(message)).status_code == 404


def test_the_number_of_queries_does_not_grow_with_the_rows(ops: Client) -> None:
    def n_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            ops.get(LIST)
        return len(queries)

    put(0, "failed")
    put(1)
    few = n_queries()
    for number in range(2, 60):
        put(number, "failed" if number % 2 else "pending", recipient_ref=make_staff("P", "ops").public_id)
    assert n_queries() == few


def test_pages_follow_one_another(ops: Client) -> None:
    for number in range(70):
        put(number)
    first = ops.get(LIST)
    second = ops.get(LIST, {"cursor": first.context["page"].next_cursor})
    assert len(first.context["rows"]) + len(second.context["rows"]) == 70
    assert second.context["failed"] == []
