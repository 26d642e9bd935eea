"""Mails that came back with a report that only people were meant to read (A3)."""

import pytest
from django.utils import timezone

from approvals.models import Request
from intake.models import ReceivedMail
from intake.services.receiving import receive_mail
from notifications.models import Message
from notifications.rendering import message_id
from notifications.services.delivery import deliver_message
from tests.cast import Cast, decide, open_step, sign_in
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db

QMAIL = """Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<star@example.net>:
{reason}

--- Below this line is a copy of the message.

{returned}"""
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  star@example.net
    {reason}

------ This is a copy of the message, including all the headers. ------

{returned}"""
EXIM_LATER = """This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.net.

  star@example.net
    Delay reason: connection timed out

No action is required on your part. Delivery attempts will continue for some time.

------ This is a copy of the message, including all the headers. ------
{returned}"""
DOCOMO = """Mail System Error - Returned Mail

次のあて先へのメッセージはエラーのため送信できませんでした。
送信先メールアドレスが見つかりません。
  star@docomo.example

{returned}"""
SENDMAIL = """   ----- The following addresses had permanent fatal errors -----
<star@example.net>
    (reason: 550 5.1.1 <star@example.net>... User unknown)

   ----- Original message -----
{returned}"""
EXCHANGE_2003 = """Your message did not reach some or all of the intended recipients.
The following recipient(s) could not be reached:
  star@example.net on 2026/12/01 10:00
  The e-mail account does not exist at the organization this message was sent to.  <mx.example.net #5.1.1>
{returned}"""
VAGUE = """There is something about your mail that we want to tell you.

{returned}"""
QUEUE = QMAIL.replace("This is a permanent error; I've given up. Sorry it didn't work out.", "").replace(
    "{reason}", "I'm not going to try again; this message has been in the queue too long."
)

DAEMON = "MAILER-DAEMON@mx.example.net"


@pytest.fixture
def asked(cast: Cast, sink: Sink) -> Request:
    """A request that waits for a rights-holder, whose mail was taken by a server."""
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    deliver_message(uid=sent().uid, now=timezone.now())
    return request


def sent() -> Message:
    return Message.objects.get(kind="consent_requested")


def receive(
    body: str,
    *,
    reason: str = "550 no such user",
    sender: str = DAEMON,
    extra: str = "",
    names_ours: bool = True,
    return_path: str = "<>",
) -> ReceivedMail:
    ours = f"Received: from kagiban.example.jp\nMessage-ID: {message_id(sent())}\n\nDear star,\n"
    text = body.format(reason=reason, returned=ours if names_ours else "")
    raw = (
        f"Return-Path: {return_path}\nFrom: {sender}\nTo: kagiban@example.jp\nSubject: failure notice\n"
        f"Message-ID: <b1@mx.example.net>\n{extra}MIME-Version: 1.0\n"
        f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{text}"
    )
    return receive_mail(raw=raw.encode(), via="pipe", now=timezone.now()).mail


def is_undeliverable(request: Request) -> bool:
    return open_step(request).undeliverable_at is not None


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (QMAIL, {}),
        (QMAIL, {"sender": "postmaster@mx.example.net", "return_path": "<x@mx.example.net>"}),
        (EXIM, {"extra": "X-Failed-Recipients: star@example.net\nAuto-Submitted: auto-replied\n"}),
        (
            EXIM,
            {"extra": "X-Failed-Recipients: star@example.net\n", "sender": "Mail <noreply@mx.example.net>"},
        ),
        (DOCOMO, {"sender": "Mail Delivery Subsystem <MAILER-DAEMON@docomo.example>"}),
        (SENDMAIL, {}),
        (EXCHANGE_2003, {"sender": "postmaster@corp.example"}),
        (QUEUE, {}),
        (QMAIL, {"sender": "System <system@mx.example.net>"}),  # known by its empty sender and its words
    ],
)
def test_a_report_in_words_marks_mail_and_step(asked: Request, body: str, options: dict[str, str]) -> None:
    kept = receive(body, **options)  # type: ignore[arg-type]
    assert (kept.kind, kept.state, kept.notes) == ("bounce", "filed", ["bounce_marked"])
    assert sent().state == "failed"
    assert is_undeliverable(asked)
    # Of what came back nothing is kept, for our own mail lies inside.
    assert kept.raw == ""
    assert "Dear star" not in kept.text


@pytest.mark.parametrize(
    ("body", "extra"),
    [
        (EXIM_LATER, ""),
        (EXIM_LATER, "X-Failed-Recipients: star@example.net\n"),
        (EXIM_LATER, "Auto-Submitted: auto-generated\n"),
    ],
)
def test_a_delay_marks_nothing(asked: Request, body: str, extra: str) -> None:
    kept = receive(body, extra=extra)
    assert (kept.kind, kept.state, kept.notes) == ("bounce", "filed", ["bounce_not_final"])
    assert sent().state == "sent"
    assert not is_undeliverable(asked)


@pytest.mark.parametrize(
    ("body", "names_ours", "note"), [(VAGUE, True, "bounce_unclear"), (QMAIL, False, "bounce_unknown")]
)
def test_what_cannot_be_told_waits_for_a_person(
    cast: Cast, asked: Request, body: str, names_ours: bool, note: str
) -> None:
    kept = receive(body, names_ours=names_ours)
    assert (kept.kind, kept.state, kept.notes) == ("bounce", "waiting", [note])
    assert not is_undeliverable(asked)
    client = sign_in(cast.pm)
    assert kept.public_id in client.get("/mail/").content.decode()
    page = client.get(f"/mail/{kept.public_id}/", headers={"Accept-Language": "en"}).content.decode()
    assert "nothing was marked" in page
    assert "Take it over" not in page
    assert client.post(f"/mail/{kept.public_id}/set-aside/", {"reason": "Called them."}).status_code == 302


@pytest.mark.parametrize("return_path", ["<>", "<star@example.net>"])
def test_an_absence_note_is_no_returned_mail(asked: Request, return_path: str) -> None:
    kept = receive(
        "I am out of the office until Monday.\n\nFrom: Kagiban\n{returned}",
        sender="Star <star@example.net>",
        extra=f"Auto-Submitted: auto-replied\nIn-Reply-To: {message_id(sent())}\n",
        return_path=return_path,
    )
    assert (kept.kind, kept.state) == ("automatic", "filed")
    assert sent().state == "sent"


def test_a_stranger_without_the_mails_id_marks_nothing(asked: Request) -> None:
    guess = "<00000000-0000-4000-8000-000000000000@example.jp>"
    kept = receive(QMAIL, names_ours=False, extra=f"In-Reply-To: {guess}\n")
    assert kept.notes == ["bounce_unknown"]
    assert not Message.objects.filter(state="failed").exists()
