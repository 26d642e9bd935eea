"""The outbox sends each message once, tries again what failed, and gives up with an event (N1)."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import User
from audit.models import Event
from audit.services import AuditError
from core.actors import Actor
from core.errors import Conflict, NotFound
from notifications import registry
from notifications.models import Message
from notifications.registry import Mail, RecipientGoneError
from notifications.services import enqueue, retry_message
from notifications.services.delivery import LONGEST_WAIT, Outcome, deliver_message, sweep_outbox, wait_after
from tests.smtp_sink import Sink

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
OPS = Actor(kind="staff", ref="ST-0001", ip="192.0.2.1", user_agent="Firefox")
KIND = "consent_code"
SECRET_CODE = "1234 5678"


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The kind's builder for these tests: `mail` is what it returns, or raises."""
    answer: dict[str, Any] = {
        "mail": Mail(
            "sato@example.jp",
            "佐藤, 花子",
            "en",
            {"number": "KR-1", "title": "T & T", "code": SECRET_CODE, "code_ends": "noon"},
        )
    }

    def build(message: Message) -> Mail | None:
        if isinstance(answer["mail"], Exception):
            raise answer["mail"]
        made: Mail | None = answer["mail"]
        return made

    monkeypatch.setitem(registry._builders, KIND, build)
    return answer


def put(number: int = 1, **fields: Any) -> Message:
    enqueue(
        KIND,
        recipient_ref="CO-0001",
        context={"code": "x"},
        dedupe_key=f"test:{number}",
        objects=["request:KR-1"],
        now=NOW,
        **fields,
    )
    return Message.objects.get(dedupe_key=f"test:{number}")


@pytest.mark.django_db
def test_a_mail_goes_out_with_text_and_html_and_its_stable_id(sink: Sink, builder: dict[str, Any]) -> None:
    message = put()
    assert deliver_message(uid=str(message.uid), now=NOW) == Outcome.SENT
    (mail,) = sink.mails
    assert mail["Message-ID"] == f"<{message.uid}@example.jp>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["To"] == '"佐藤, 花子" <sato@example.jp>'
    assert mail["Subject"] == "Your confirmation code for KR-1"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]  # a mail without it fails here
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "Dear 佐藤, 花子," in text
    assert "mail about T & T." in text
    assert "mail about T &amp; T." in html
    assert SECRET_CODE in text
    assert 'style="' in html
    assert "prefers-color-scheme: dark" in html
    message.refresh_from_db()
    assert (message.state, message.sent_at, message.n_attempts) == ("sent", NOW, 1)


@pytest.mark.django_db
def test_a_sent_message_is_not_sent_again(sink: Sink, builder: dict[str, Any]) -> None:
    message = put()
    deliver_message(uid=message.uid, now=NOW)
    assert deliver_message(uid=message.uid, now=NOW) is None
    assert sweep_outbox(now=NOW + timedelta(days=1)) == 0
    assert len(sink.mails) == 1


@pytest.mark.django_db
def test_the_same_thing_is_said_once(builder: dict[str, Any]) -> None:
    put()
    again = enqueue(KIND, recipient_ref="CO-0001", context={}, dedupe_key="test:1", now=NOW)
    assert again is False
    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_what_is_not_due_waits(sink: Sink, builder: dict[str, Any]) -> None:
    message = put(not_before=NOW + timedelta(hours=1))
    assert deliver_message(uid=message.uid, now=NOW) is None
    assert sweep_outbox(now=NOW) == 0
    assert sweep_outbox(now=NOW + timedelta(hours=1)) == 1
    assert len(sink.mails) == 1


@pytest.mark.django_db
def test_what_nobody_needs_any_more_is_cancelled(sink: Sink, builder: dict[str, Any]) -> None:
    builder["mail"] = None
    message = put()
    assert deliver_message(uid=message.uid, now=NOW) == Outcome.CANCELLED
    message.refresh_from_db()
    assert message.state == "cancelled"
    assert sink.mails == []


@pytest.mark.django_db
def test_a_refusal_for_now_is_tried_again_later(sink: Sink, builder: dict[str, Any]) -> None:
    sink.refusals["sato@example.jp"] = "451 greylisted"
    message = put()
    assert deliver_message(uid=message.uid, now=NOW) == Outcome.POSTPONED
    message.refresh_from_db()
    assert (message.state, message.n_attempts) == ("pending", 1)
    assert message.last_error == "SMTPRecipientsRefused 451"
    assert NOW + timedelta(seconds=15) <= message.next_attempt_at <= NOW + timedelta(seconds=30)
    sink.refusals.clear()
    assert sweep_outbox(now=NOW) == 0
    assert sweep_outbox(now=NOW + timedelta(minutes=1)) == 1
    message.refresh_from_db()
    assert (message.state, message.n_attempts, message.last_error) == ("sent", 2, "")


@pytest.mark.django_db
@pytest.mark.parametrize("stage", ["recipient", "data"])
def test_a_refusal_for_good_fails_at_once_and_is_told(
    sink: Sink, builder: dict[str, Any], stage: str
) -> None:
    if stage == "recipient":
        sink.refusals["sato@example.jp"] = "550 no such user sato@example.jp"
    else:
        sink.after_data = "554 refused"
    message = put()
    assert deliver_message(uid=message.uid, now=NOW) == Outcome.FAILED
    message.refresh_from_db()
    assert message.state == "failed"
    assert "sato" not in message.last_error
    event = Event.objects.get(action="message.failed")
    assert event.objects_touched == [f"message:{message.uid}", "request:KR-1"]
    assert event.payload == {"kind": KIND, "attempts": 1, "reason": message.last_error}


@pytest.mark.django_db
def test_the_apps_above_hear_of_a_mail_that_failed(
    sink: Sink, builder: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, datetime]] = []

    def broken(message: Message, *, now: datetime) -> None:
        User.objects.raw("SELECT nonsense")[0]

    def listen(message: Message, *, now: datetime) -> None:
        heard.append((message.kind, now))

    monkeypatch.setitem(registry._undeliverable, KIND, [broken, listen])
    sink.refusals["sato@example.jp"] = "550 no"
    message = put()
    deliver_message(uid=message.uid, now=NOW)
    assert heard == [(KIND, NOW)]
    message.refresh_from_db()
    assert message.state == "failed"


@pytest.mark.django_db
def test_a_person_who_left_is_a_failure_not_a_silence(sink: Sink, builder: dict[str, Any]) -> None:
    builder["mail"] = RecipientGoneError()
    assert deliver_message(uid=put().uid, now=NOW) == Outcome.FAILED


@pytest.mark.django_db
def test_after_the_last_attempt_it_has_failed(sink: Sink, builder: dict[str, Any], settings: Any) -> None:
    settings.MESSAGE_ATTEMPTS = 3
    sink.refusals["sato@example.jp"] = "451 later"
    message = put()
    now = NOW
    for outcome in (Outcome.POSTPONED, Outcome.POSTPONED, Outcome.FAILED):
        assert deliver_message(uid=message.uid, now=now) == outcome
        now += LONGEST_WAIT
    assert sweep_outbox(now=now) == 0
    assert Event.objects.filter(action="message.failed").count() == 1


@pytest.mark.django_db
def test_a_builder_that_fails_holds_nobody_up(
    sink: Sink, builder: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = builder["mail"]
    builder["mail"] = ValueError(f"the code is {SECRET_CODE}")
    bad = put(1)
    with caplog.at_level(logging.DEBUG):
        assert deliver_message(uid=bad.uid, now=NOW) == Outcome.POSTPONED
    builder["mail"] = good
    put(2)
    assert sweep_outbox(now=NOW) == 1
    bad.refresh_from_db()
    assert bad.last_error == "ValueError"
    assert SECRET_CODE not in caplog.text + str([vars(record) for record in caplog.records])


@pytest.mark.django_db
def test_a_sweep_stops_when_no_mail_server_answers(builder: dict[str, Any], settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    for number in range(5):
        put(number)
    assert sweep_outbox(now=NOW) == 1
    assert Message.objects.filter(state="pending", n_attempts=0).count() == 4


@pytest.mark.django_db
def test_nothing_of_a_mail_stands_in_the_database_or_a_log(
    sink: Sink, builder: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        deliver_message(uid=put().uid, now=NOW)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(m::text, ' ') FROM notifications_message m")
        (rows,) = cursor.fetchone()
    assert SECRET_CODE not in rows + caplog.text
    assert SECRET_CODE not in repr(builder["mail"])


@pytest.mark.django_db
def test_a_failed_message_is_sent_again_by_hand(sink: Sink, builder: dict[str, Any]) -> None:
    sink.refusals["sato@example.jp"] = "550 no"
    message = put()
    deliver_message(uid=message.uid, now=NOW)
    sink.refusals.clear()
    retry_message(actor=OPS, uid=message.uid, now=NOW)
    event = Event.objects.get(action="message.retried")
    assert (event.actor_ref, event.objects_touched[0]) == ("ST-0001", f"message:{message.uid}")
    assert deliver_message(uid=message.uid, now=NOW) == Outcome.SENT
    assert sink.ids == [str(message.uid)]
    with pytest.raises(Conflict):
        retry_message(actor=OPS, uid=message.uid, now=NOW)
    with pytest.raises(NotFound):
        retry_message(actor=OPS, uid="00000000-0000-0000-0000-000000000000", now=NOW)


def test_waits_double_up_to_six_hours() -> None:
    waits = [max(wait_after(n) for _ in range(200)) for n in range(1, 21)]
    assert waits[0] <= timedelta(seconds=30)
    assert all(wait_after(n) >= timedelta(seconds=15) for n in range(1, 21))
    assert timedelta(hours=5) < waits[-1] <= LONGEST_WAIT
    assert timedelta(days=2) < sum(waits, timedelta()) < timedelta(days=4)


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_it_once(sink: Sink, builder: dict[str, Any]) -> None:
    sink.seconds = 0.2
    uids = [put(number).uid for number in range(3)]
    outcomes: list[Outcome | None] = []
    start = threading.Barrier(6)

    def work(uid: Any) -> None:
        try:
            start.wait()
            outcomes.append(deliver_message(uid=uid, now=NOW))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(uid,)) for uid in uids * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sink.ids) == sorted(map(str, uids))
    assert outcomes.count(Outcome.SENT) == 3
    assert outcomes.count(None) == 3


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_says_nothing(builder: dict[str, Any]) -> None:
    with pytest.raises(AuditError), transaction.atomic():
        put_in_transaction()
    assert not Message.objects.exists()


def put_in_transaction() -> None:
    put()
    raise AuditError
