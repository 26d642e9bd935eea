"""Each mail becomes exactly one row, whatever it is; people are answered, machines are not (R4)."""

import os
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, close_old_connections, connection
from django.utils import timezone
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.models import Event
from intake.letters import read_letter
from intake.models import ReceivedMail
from intake.services import receiving
from intake.services.inbox import forget_mails
from intake.services.receiving import Receipt, receive_mail
from notifications.models import Message
from notifications.rendering import message_id
from notifications.services.delivery import deliver_message, sweep_outbox
from partners.models import Contact
from tests.cast import Cast, decide, make_contact, make_partner, open_step
from tests.intake.letters import BODY, ENGLISH, delivery_report, mail
from tests.intake.test_letters import BAD, KEY, LINK
from tests.product import ROOT
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db


PIECES = [
    "From: ", "Subject: ", "Content-Type: multipart/mixed; boundary=", "Content-Type: text/html", "用途：",
    "Content-Transfer-Encoding: base64", "Message-ID: <", "=?iso-2022-jp?B?", "?=", "\n", "\n\n", "--b\n",
    "\x00", "\ud800", "\x1b$B", "Content-Type: message/rfc822\n\n", "boundary=b", "Status: 5.1.1",
    "Content-Type: multipart/report\n", "Content-Type: message/delivery-status\n\n", "Action: failed\n",
]  # fmt: skip


def receive(raw: bytes, **options: Any) -> ReceivedMail:
    return receive_mail(raw=raw, via="pipe", now=timezone.now(), **options).mail


def test_request_is_kept_with_what_was_read_and_the_sender_is_answered(cast: Cast, sink: Sink) -> None:
    contact = make_contact(cast.company, "青木 澪", "technical", address="Mio@minato.example.jp")
    kept = receive(mail())
    assert (kept.kind, kept.state, kept.trouble, kept.notes) == ("request", "waiting", "", [])
    assert (kept.partner, kept.contact, kept.matched_by) == (cast.company, contact, "contact")
    assert kept.found["period"] == "2027年1月10日 ～ 2027/06/30"
    assert kept.original(10**7) == mail()
    event = Event.objects.get(action="mail.received")
    assert event.objects_touched == [f"mail:{kept.public_id}", f"partner:{cast.company.public_id}"]
    assert "minato.example" not in str(event.payload)

    assert sweep_outbox(now=timezone.now()) == 1
    answer = sink.mails[0]
    assert answer["To"].addresses[0].addr_spec == "mio@minato.example.jp"
    assert kept.public_id in str(answer["Subject"])
    assert (answer["In-Reply-To"], answer["Auto-Submitted"]) == ("<1@minato.example.jp>", "auto-replied")
    text = answer.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "配送状況" not in text
    # What comes back from there is a machine's, and ends the talk.
    again = receive(answer.as_bytes().replace(b"Message-ID", b"X-Id"))
    assert again.kind == "automatic"


def test_english_mail_is_answered_in_english_without_a_name(sink: Sink) -> None:
    receive(mail(ENGLISH, sender="Eve, the boss <eve@stranger.example>", subject="Key"))
    sweep_outbox(now=timezone.now())
    text = sink.mails[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Your mail has reached" in text
    assert "boss" not in str(sink.mails[0])


def test_one_message_id_is_one_row_and_one_answer() -> None:
    first = receive_mail(raw=mail(), via="pipe", now=timezone.now())
    second = receive_mail(raw=mail(extra="Received: by another"), via="imap", now=timezone.now())
    assert (first.is_new, second.is_new) == (True, False)
    assert second.mail == first.mail
    receive(mail(message_id=None))
    receive(mail(message_id=None))
    assert ReceivedMail.objects.count() == 2
    assert Message.objects.filter(kind="mail_received").count() == 2


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_ten_arrivals_at_once_are_one_row() -> None:
    receipts: list[Receipt] = []

    def arrive() -> None:
        try:
            receipts.append(receive_mail(raw=mail(), via="imap", now=timezone.now()))
        finally:
            connection.close()

    threads = [threading.Thread(target=arrive) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close_old_connections()
    assert sum(receipt.is_new for receipt in receipts) == 1
    assert len(receipts) == 10
    assert ReceivedMail.objects.count() == Message.objects.filter(kind="mail_received").count() == 1


def test_a_sender_is_answered_three_times_a_day_and_no_more() -> None:
    now = timezone.now()
    for number in range(6):
        raw = mail(
            message_id=f"<{number}@x>", sender=f"Mio <{'MIO' if number % 2 else 'mio'}@minato.example.jp>"
        )
        receive_mail(raw=raw, via="pipe", now=now + timedelta(hours=number))
    assert ReceivedMail.objects.count() == 6
    assert Message.objects.filter(kind="mail_received").count() == 3
    receive_mail(raw=mail(message_id="<next@x>"), via="pipe", now=now + timedelta(hours=25))
    assert Message.objects.filter(kind="mail_received").count() == 4


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (mail(extra="Auto-Submitted: auto-replied"), "automatic"),
        (mail(extra="List-Id: <x.example.jp>"), "request"),
        (mail(sender="no-reply@minato.example.jp"), "request"),
        (mail(sender="kagiban@example.jp"), "automatic"),
        (mail(sender="API-key-requests@starlist.example.jp"), "automatic"),
        (mail("よろしくお願いします。", sender="a@b.example", extra="Precedence: bulk"), "unreadable"),
        (mail(sender=""), "request"),
    ],
)
def test_machines_lists_and_ourselves_get_no_answer(settings: Any, raw: bytes, kind: str) -> None:
    settings.INTAKE_ADDRESS = "api-key-requests@starlist.example.jp"
    assert receive(raw).kind == kind
    assert not Message.objects.filter(kind="mail_received").exists()


# --- whose mail it is ---------------------------------------------------------------------------------


def test_partner_is_found_by_address_domain_or_name_and_never_by_chance(cast: Cast) -> None:
    def partner_of(number: int, **options: Any) -> tuple[object, str]:
        kept = receive(mail(message_id=f"<{number}@z>", **options))
        return kept.partner, kept.matched_by

    text = "用途：照会"
    make_contact(cast.company, "Mio", "technical", address="mio@minato.example.jp")
    assert partner_of(1, body=text, sender="ken@minato.example.jp") == (cast.company, "domain")
    assert partner_of(2, body=text, sender="ken@sub.minato.example.jp") == (None, "")
    named = f"{text}\n会社名：みなと物流（株）御中"
    assert partner_of(3, body=named, sender="x@gmail.com") == (cast.company, "name")
    mentioned = f"{text}\n担当者：青木 MIO@minato.example.jp"
    assert partner_of(4, body=mentioned, sender="x@gmail.com") == (cast.company, "mentioned")
    make_contact(cast.star, "Free", "consent", address="star@gmail.com")
    assert partner_of(5, body=text, sender="other@gmail.com") == (None, "")
    make_contact(cast.star, "Ken", "technical", address="ken@minato.example.jp")
    assert partner_of(6, body=text, sender="new@minato.example.jp") == (
        None,
        "",
    )  # two partners have the domain
    make_partner("みなと物流倉庫株式会社")
    assert partner_of(7, body=f"{text}\n会社名：みなと物流", sender="x@gmail.com") == (None, "")
    Contact.objects.filter(email="mio@minato.example.jp").update(is_active=False)
    assert partner_of(8, body=text, sender="mio@minato.example.jp")[1] == "domain"


def test_colleague_is_known_and_nothing_is_done_for_them(cast: Cast) -> None:
    kept = receive(mail(f"用途：照会\n契約先：{cast.company.name}", sender=cast.pm.email.upper()))
    assert (kept.staff, kept.partner, kept.state) == (cast.pm, cast.company, "waiting")
    assert not cast.pm.requests.exists()


# --- bad input ----------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("name", BAD)
def test_bad_mails_are_kept_and_shown(name: str) -> None:
    kept = receive(BAD[name][0])
    assert kept.state in {"waiting", "filed"}
    assert kept.kind == "request" or kept.trouble
    assert ReceivedMail.objects.get() == kept


@pytest.mark.long
@settings(max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=3_000),
        st.text(max_size=1_000).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.tuples(
            st.lists(
                st.sampled_from(PIECES),
                max_size=40,
            ),
            st.binary(max_size=200),
        ).map(lambda pair: "".join(pair[0]).encode("utf-8", "surrogatepass") + pair[1]),
    )
)
@example(b"")
@example(b"From: \xff\xfe\nSubject: =?\x00?=\n\n\x00")
def test_any_bytes_are_one_row(raw: bytes) -> None:
    before = ReceivedMail.objects.count()
    first = receive_mail(raw=raw, via="pipe", now=timezone.now())
    second = receive_mail(raw=raw, via="pipe", now=timezone.now())
    assert second.mail == first.mail
    assert not second.is_new
    assert ReceivedMail.objects.count() == before + first.is_new
    assert read_letter(raw) == read_letter(raw)


def test_mail_that_nobody_foresaw_is_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def once(text: str) -> dict[str, str]:
        calls.append(text)
        if len(calls) == 1:
            raise ZeroDivisionError
        return {}

    monkeypatch.setattr(receiving, "read_fields", once)
    kept = receive(mail())
    assert (kept.kind, kept.trouble) == ("unreadable", "broken")
    assert kept.original(10**7) == mail()


@pytest.mark.parametrize("secret", [KEY, LINK], ids=["key", "link"])
def test_no_table_holds_a_pasted_secret(secret: str) -> None:
    tail = secret.rsplit("_", 1)[-1] if secret == KEY else secret.rsplit("/", 1)[-1]
    receive(mail(f"用途：{secret}\n担当者：a\n\n{secret}", subject=f"x {secret}", encoding="8bit"))
    kept = receive(mail(f"用途：照会\n{secret}", message_id="<2@x>"))
    assert {"held_secret", "raw_dropped"} <= set(kept.notes)
    for row in ReceivedMail.objects.all():
        fields = {name: value for name, value in vars(row).items() if name != "_state"}
        assert tail not in str(fields) + repr(row.original(10**7))


# --- returned mails -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "note"), [("5.1.1", "bounce_marked"), ("4.2.2", "bounce_not_final")])
def test_returned_mail_marks_mail_and_step(cast: Cast, sink: Sink, status: str, note: str) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    message = Message.objects.get(kind="consent_requested")
    deliver_message(uid=message.uid, now=timezone.now())
    returned = sink.mails[0].as_bytes()
    kept = receive(delivery_report(message_id=message_id(message), status=status, returned=returned))
    assert (kept.kind, kept.state, kept.notes) == ("bounce", "filed", [note])
    message.refresh_from_db()
    assert message.state == ("failed" if status == "5.1.1" else "sent")
    assert (open_step(request).undeliverable_at is not None) is (status == "5.1.1")
    # Our own mail came back inside, with the star's link: none of it is kept.
    assert kept.raw == ""
    assert "/consent/" not in kept.text
    # The same report, and a second one of another server.
    assert receive(delivery_report(message_id=message_id(message), status=status)).pk == kept.pk


def test_acknowledgement_that_comes_back_says_something_about_the_sender(sink: Sink) -> None:
    kept = receive(mail())
    sweep_outbox(now=timezone.now())
    answer = Message.objects.get(kind="mail_received")
    receive(delivery_report(message_id=message_id(answer)))
    kept.refresh_from_db()
    assert kept.notes == ["answer_returned"]


def test_report_that_names_no_mail_of_ours_marks_nothing(cast: Cast, sink: Sink) -> None:
    cast.request()
    sweep_outbox(now=timezone.now())
    kept = receive(delivery_report(message_id="<00000000-0000-4000-8000-000000000000@example.jp>"))
    assert kept.notes == ["bounce_unknown"]
    assert not Message.objects.filter(state="failed").exists()


# --- forgetting ---------------------------------------------------------------------------------------


def test_old_mails_are_forgotten_once_nobody_waits_for_them(cast: Cast) -> None:
    waiting = receive(mail(message_id="<w@x>"))
    automatic = receive(mail(message_id="<a@x>", extra="Auto-Submitted: auto-replied"))
    now = timezone.now()
    assert forget_mails(now=now + timedelta(days=179)) == 0
    assert forget_mails(now=now + timedelta(days=181)) == 1
    assert forget_mails(now=now + timedelta(days=181)) == 0
    automatic.refresh_from_db()
    assert (automatic.text, automatic.raw, automatic.from_address, automatic.found) == ("", "", "", {})
    waiting.refresh_from_db()
    assert waiting.text
    assert Event.objects.filter(action="mail.forgotten").count() == 1
    assert not receive_mail(raw=mail(message_id="<a@x>"), via="pipe", now=now).is_new


# --- the command --------------------------------------------------------------------------------------


def ingest(raw: bytes, environment: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "manage.py", "ingest_mail"],
        cwd=ROOT, env=environment, input=raw, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_command_keeps_a_mail_from_a_pipe(process_environment: dict[str, str]) -> None:
    done = ingest(mail(), process_environment)
    kept = ReceivedMail.objects.get()
    assert (done.returncode, done.stdout.decode().strip()) == (0, f"{kept.public_id} kept")
    assert ingest(mail(), process_environment).stdout.decode().strip() == f"{kept.public_id} kept before"
    small = process_environment | {"INTAKE_MAX_BYTES": "1000"}
    assert ingest(mail(BODY * 10, message_id="<big@x>"), small).returncode == 0
    big = ReceivedMail.objects.get(message_id="<big@x>")
    assert "raw_cut" in big.notes
    assert big.n_bytes == len(big.original(10**7)) == 1000


@pytest.mark.parametrize(
    ("changes", "raw", "status"),
    [
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}, mail(), os.EX_TEMPFAIL),
        ({"FIELD_SECRET": "nonsense"}, mail(), os.EX_TEMPFAIL),
        ({}, b"", os.EX_NOINPUT),
    ],
)
@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_command_tells_the_mail_server_what_to_do(
    process_environment: dict[str, str], changes: dict[str, str], raw: bytes, status: int
) -> None:
    done = ingest(raw, process_environment | changes)
    assert done.returncode == status
    assert len(done.stderr.decode().strip().splitlines()) == 1, done.stderr
    assert not ReceivedMail.objects.exists()


def test_database_that_goes_away_is_not_taken_for_a_bad_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: object, **_options: object) -> None:
        raise OperationalError

    monkeypatch.setattr(receiving, "record", away)
    with pytest.raises(OperationalError):
        receive(mail())
    assert not ReceivedMail.objects.exists()
