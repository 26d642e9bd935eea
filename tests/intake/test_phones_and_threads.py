"""What real senders' programs do: addresses of phones, threads, hidden HTML, older charsets (R4)."""

from email import message_from_bytes, policy

import pytest
from django.utils import timezone

from intake.charsets import decode
from intake.fields import read_fields
from intake.html_text import text_of
from intake.models import ReceivedMail
from intake.services.receiving import receive_mail
from notifications.rendering import OutgoingMail
from notifications.services.delivery import sweep_outbox
from tests.cast import Cast, sign_in
from tests.intake.letters import mail
from tests.smtp_sink import Sink


def receive(raw: bytes) -> ReceivedMail:
    return receive_mail(raw=raw, via="pipe", now=timezone.now()).mail


# --- senders -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sender", "address"),
    [
        ("hoshi..sora.@docomo.ne.jp", "hoshi..sora.@docomo.ne.jp"),
        ("星 <hoshi..sora.@docomo.ne.jp>", "hoshi..sora.@docomo.ne.jp"),
        ('"hoshi..sora."@docomo.ne.jp', "hoshi..sora.@docomo.ne.jp"),
        (".hoshi.@ezweb.ne.jp", ".hoshi.@ezweb.ne.jp"),
    ],
)
def test_an_address_of_a_phone_is_taken_marked_and_answered(
    cast: Cast, sink: Sink, sender: str, address: str
) -> None:
    kept = receive(mail(sender=sender))
    assert (kept.from_address, "address_unusual" in kept.notes) == (address, True)
    sweep_outbox(now=timezone.now())
    assert [answer["To"] for answer in sink.mails] == [address]
    page = sign_in(cast.pm).get(f"/mail/{kept.public_id}/", headers={"Accept-Language": "en"})
    assert "as some phones" in page.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("sender", ["a b@docomo.ne.jp", "hoshi..sora.@", "..@docomo.ne.jp", "x..@<b>.jp"])
def test_what_is_no_address_is_none(sender: str) -> None:
    assert receive(mail(sender=sender)).from_address == ""


# --- threads -----------------------------------------------------------------------------------------------

NEW = "用途：新しい用途\n対象API：catalog\n"
OLD = "用途：古い用途\n期間：2025/01/01～2025/12/31\n"


def quoted(text: str, mark: str = "> ") -> str:
    return "".join(f"{mark}{line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "thread",
    [
        NEW + "\n" + quoted(OLD),
        quoted(OLD) + "\n" + NEW,
        NEW + quoted(OLD, ">> "),
        f"{NEW}\n-----Original Message-----\nFrom: a@x.example\n{OLD}",
        f"{NEW}\n2026年11月30日(月) 10:00 青木 澪 <mio@minato.example.jp>:\n{OLD}",
        f"{NEW}\nOn Mon, Nov 30, 2026 at 10:00 AM Mio <mio@minato.example.jp> wrote:\n{OLD}",
        f"{NEW}\n差出人: 青木 <mio@minato.example.jp>\n送信日時: 2026年11月30日\n{OLD}",
    ],
)
def test_a_quoted_request_does_not_join_a_new_one(thread: str) -> None:
    found = read_fields(thread)
    assert found == {"purpose": "新しい用途", "product": "catalog"}


@pytest.mark.parametrize(
    "thread", [f"転送します。\n\n{quoted(NEW)}", f"FYI\n\n---------- Forwarded message ---------\n{NEW}"]
)
def test_a_forwarded_request_is_read(thread: str) -> None:
    assert read_fields(thread)["purpose"] == "新しい用途"


def test_own_words_win_over_what_is_quoted() -> None:
    found = read_fields("期間：2027/01/01～2027/06/30\n" + quoted(OLD))
    assert found == {"purpose": "古い用途", "period": "2027/01/01～2027/06/30"}


# --- HTML that nobody sees ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hidden",
    [
        "<div style='display:none'>用途：隠し</div>",
        "<div style='DISPLAY : none !important'>用途：隠し<div>x</div>用途：隠し</div>",
        "<span style='font-size:0'>用途：隠し</span>",
        "<span style='color:red;font-size:0px;'>用途：隠し</span>",
        "<span style='visibility: hidden'>用途：隠し</span>",
        "<div style='opacity:0'>用途：隠し</div>",
        "<div style='max-height:0;overflow:hidden'>用途：隠し</div>",
        "<div style='mso-hide:all'>用途：隠し</div>",
        "<div hidden>用途：隠し</div>",
        "<p hidden>用途：隠し<p>",
        "<table hidden><tr><td>用途：隠し<td>用途：隠し</table>",
        "<div style='display:none'>用途：隠し<br>用途：隠し<img src=x></div>",
    ],
)
def test_hidden_words_are_not_read(hidden: str) -> None:
    text = text_of(f"{hidden}<p>用途：本当の用途<br>対象API：tickets</p>")
    assert "隠し" not in text
    assert read_fields(text) == {"purpose": "本当の用途", "product": "tickets"}


@pytest.mark.parametrize("shown", ["font-size:0.9em", "opacity:0.8", "line-height:0.5", "max-height:10px"])
def test_what_is_only_small_is_read(shown: str) -> None:
    assert "用途" in text_of(f"<p style='{shown}'>用途：配信</p>")


# --- charsets ----------------------------------------------------------------------------------------------


def test_jis_x_0212_is_read() -> None:
    assert decode("用途：丂丄の配信".encode("iso2022_jp_ext"), "iso-2022-jp") == "用途：丂丄の配信"


def test_iso_2022_kr_is_read() -> None:
    data = "Purpose: 음악 배포\n".encode("iso2022_kr")
    assert decode(data, "iso-2022-kr") == decode(data, "utf-8") == "Purpose: 음악 배포\n"


@pytest.mark.django_db
def test_what_cannot_be_read_says_so() -> None:
    kept = receive(mail(b"\x1b$B!!\x7f\x7f\x1b(B", encoding="7bit", label="iso-2022-jp"))
    assert "garbled" in kept.notes
    assert "garbled" not in receive(mail(message_id="<2@x>")).notes


# --- what we send ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 15, 16, 40, 90])
def test_a_japanese_subject_begins_in_its_own_line(n: int) -> None:
    subject = "承認のお願い在庫照会アプリ"[: n % 13 + 1] + "鍵" * n
    raw = OutgoingMail(subject=subject, body="x", to=["a@example.jp"]).message().as_bytes()
    [line] = [line for line in raw.decode().splitlines() if line.startswith("Subject:")]
    assert line.startswith("Subject: =?utf-8?")
    assert max(map(len, raw.decode().splitlines())) <= 78
    assert message_from_bytes(raw, policy=policy.default)["Subject"] == subject


def test_an_english_subject_stays_readable() -> None:
    raw = OutgoingMail(subject="Approved: stock levels", body="x", to=["a@example.jp"]).message().as_bytes()
    assert b"Subject: Approved: stock levels\n" in raw
