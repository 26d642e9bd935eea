"""Reading mails: what Japanese and foreign mail programs write, and what nobody should (R4, "bad input")."""

import base64
import time
import tracemalloc
import zipfile
from io import BytesIO
from typing import Any

import pytest

from intake.charsets import decode
from intake.fields import read_fields
from intake.headers import decode_words
from intake.html_text import text_of
from intake.letters import LONGEST_TEXT, identity_of, read_letter
from keys.secrets.form import contains_secret, generate, mask_all
from tests.intake.letters import BODY, ENGLISH, PURPOSE, delivery_report, mail, multipart

KANA = "ｶﾌﾞｼｷｶﾞｲｼｬ"
HTML = """<html><head><style>p { color: red }</style><title>x</title></head><body>
<p>お世話になります。</p><table><tr><td>用途</td><td>配送状況照会アプリでの<b>位置情報</b>の表示</td></tr>
<tr><td>期間</td><td>2027/1/10&nbsp;～&nbsp;2027/6/30</td></tr></table>
<script>alert("用途：悪")</script><img src="https://tracker.example/x.png" alt="用途：画像"></body></html>"""


def jis_with_kana(text: str) -> bytes:
    """ISO-2022-JP with half-width kana as phones and Outlook send it, which Python can't write."""
    out = b""
    for char in text:
        if "\uff61" <= char <= "\uff9f":
            out += b"\x1b(I" + bytes([char.encode("cp932")[0] & 0x7F]) + b"\x1b(B"
        else:
            out += char.replace("～", "〜").encode("iso2022_jp")
    return out


JAPANESE: dict[str, bytes] = {
    "UTF-8, Base64": mail(),
    "UTF-8, quoted-printable": mail(encoding="quoted-printable"),
    "UTF-8, 8bit": mail(encoding="8bit"),
    "ISO-2022-JP, 7bit": mail(charset="iso-2022-jp", encoding="7bit"),
    "ISO-2022-JP, Base64": mail(charset="iso-2022-jp"),
    "ISO-2022-JP with half-width kana": mail(
        jis_with_kana(BODY + KANA), label="iso-2022-jp", encoding="7bit"
    ),
    "ISO-2022-JP without a label": mail(charset="iso-2022-jp", label="us-ascii", encoding="7bit"),
    "Shift_JIS": mail(charset="cp932", label="Shift_JIS", encoding="8bit"),
    "Shift_JIS said to be UTF-8": mail(charset="cp932", label="utf-8", encoding="8bit"),
    "Shift_JIS said to be ISO-2022-JP": mail(charset="cp932", label="iso-2022-jp"),
    "Shift_JIS said to be nothing": mail(charset="cp932", label="", encoding="8bit"),
    "EUC-JP": mail(charset="euc_jp", label="euc-jp", encoding="8bit"),
    "EUC-JP said to be Shift_JIS": mail(charset="euc_jp", label="shift_jis", encoding="8bit"),
    "UTF-8 said to be ISO-2022-JP": mail(label="iso-2022-jp", encoding="8bit"),
    "a charset that is none": mail(label="x-unknown-99", encoding="8bit"),
    "a codec that is no charset": mail(label="punycode", encoding="8bit"),
    "UTF-16": mail(charset="utf-16", label="utf-16"),
    "line ends of Windows": mail(BODY.replace("\n", "\r\n"), encoding="8bit").replace(
        b"\n\n", b"\r\n\r\n", 1
    ),
    "HTML beside text": multipart(
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit", BODY.encode()),
        ("Content-Type: text/html; charset=utf-8", b"<p>other</p>"),
        kind="alternative",
    ),
    "an empty text beside HTML": multipart(
        ("Content-Type: text/plain", b" \n"),
        ("Content-Type: text/html; charset=utf-8", HTML.encode()),
        kind="alternative",
    ),
    "HTML only": mail(HTML, kind="text/html"),
    "HTML only, Shift_JIS": mail(HTML, kind="text/html", charset="cp932", label="shift_jis"),
    "forwarded as an attachment": multipart(("Content-Type: message/rfc822", mail(message_id=None))),
}


@pytest.mark.parametrize("name", JAPANESE)
def test_japanese_mails_are_read(name: str) -> None:
    letter = read_letter(JAPANESE[name])
    assert letter.trouble == ""
    found = read_fields(letter.text)
    assert found["purpose"] == PURPOSE
    assert "2027" in found["period"]
    assert letter.subject == "APIキー発行依頼（配送状況照会）"
    assert (letter.from_name, letter.from_address) == ("青木 澪", "mio@minato.example.jp")
    assert letter.language == "ja"
    assert letter.raw == JAPANESE[name]
    assert letter.may_answer


def test_half_width_kana_and_characters_of_vendors_are_read() -> None:
    assert "カブシキガイシャ" in read_letter(mail(jis_with_kana(KANA), label="iso-2022-jp")).text
    assert decode(b"\x1b$B-!\x1b(B \x1b$B|b\x1b(B") == "① 髙"  # NEC row 13, IBM extension
    assert decode(b"\x1b$B$3$s\nplain") == "こん\nplain"


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("=?ISO-2022-JP?B?GyRCPz1AQRsoQg==?=", "申請"),
        ("=?iso-2022-jp?B?GyRCPz0=?= =?iso-2022-jp?B?QEEbKEI=?=", "申請"),  # cut within an escape
        ("=?utf-8?B?55Sz?=\r\n =?utf-8?Q?=E8=AB=8B?= Re", "申請 Re"),
        ("=?Shift_JIS?Q?=90=5C=90=BF?=", "申請"),
        ("=?utf-8*ja?Q?=E7=94=B3?=", "申"),
        ("=?x?B?!!!!?=", ""),
        ("申請".encode().decode("ascii", "surrogateescape"), "申請"),
        ("申請".encode("cp932").decode("ascii", "surrogateescape"), "申請"),
        ("plain", "plain"),
        ("=?utf-8?Q?" + "=E7=94=B3" * 3, "=?utf-8?Q?" + "=E7=94=B3" * 3),
    ],
)
def test_words_of_headers(told: str, read: str) -> None:
    assert decode_words(told) == read


def test_broken_bytes_cost_only_themselves() -> None:
    data = (BODY * 3).encode()
    assert PURPOSE in decode(data[:-1] + data, "utf-8")
    assert decode(data[: len("お世話に".encode()) - 1]) == "お世話"
    assert PURPOSE in decode(data.replace("青".encode(), b"\xff", 1), "utf-8")


def test_labels_in_both_languages_and_forms() -> None:
    assert read_fields(ENGLISH) == {
        "purpose": "Shows our customers\nwhere their parcels are",
        "period": "2027-01-10 - 2027-06-30",
        "contact": "Mio Aoki",
        "product": "catalog",
        "environment": "Test",
    }
    found = read_fields(
        "【用途】\n一行目\n二行目\n\n・対象API（希望）= 売上\n１．期間　：半年\n(2) 担当: 青木\n\n用途：二"
    )
    assert found == {"purpose": "一行目\n二行目", "product": "売上", "period": "半年", "contact": "青木"}
    assert read_fields("> 用途：引用\n") == {"purpose": "引用"}
    assert read_fields("■用途：照会\n■備考：至急\n■期間\n\n2027年3月31日まで") == {
        "purpose": "照会",
        "period": "2027年3月31日まで",
    }
    assert read_fields("用途が決まりましたらご連絡します。\nhttps://use.example/\nAPIs are nice\n") == {}
    assert len(read_fields("用途：" + "長" * 9_000)["purpose"]) == 4_000


def test_html_gives_its_words_only() -> None:
    text = text_of(HTML)
    assert "用途\t配送状況照会アプリでの位置情報の表示" in text
    assert "alert" not in text
    assert "tracker" not in text
    assert text_of("<script>x</p>y</script>a<style>b</body>c") == "a"
    assert text_of("<" * 50_000 + "a" + "&#0;&#xd800;&bad;") != ""


def test_attachments_are_listed_and_not_opened() -> None:
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(20_000_000))
    packed = base64.encodebytes(bomb.getvalue())
    letter = read_letter(
        multipart(
            ("Content-Type: text/plain; charset=utf-8", BODY.encode()),
            (
                (
                    "Content-Type: application/zip; name*=utf-8''%E7%94%B3%E8%AB%8B%E6%9B%B8.zip\n"
                    "Content-Transfer-Encoding: base64\nContent-Disposition: attachment"
                ),
                packed,
            ),
            (
                'Content-Type: image/png\nContent-Disposition: inline; filename="=?utf-8?B?55Sz6KuL?=.png"',
                b"x",
            ),
            ("Content-Type: text/plain\nContent-Disposition: attachment; filename=../../etc/passwd", b"root"),
        )
    )
    assert read_fields(letter.text)["purpose"] == PURPOSE
    assert [(part.name, part.type, part.size) for part in letter.attachments] == [
        ("申請書.zip", "application/zip", len(bomb.getvalue())),
        ("申請.png", "image/png", 1),
        ("../../etc/passwd", "text/plain", 4),
    ]


def nested(depth: int) -> bytes:
    head = "".join(f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n" for n in range(depth))
    return (
        b"From: a@example.jp\nSubject: deep\nContent-Type: multipart/mixed; boundary=b0\n\n" + head.encode()
    )


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "white space": (b"\r\n \r\n", "empty"),
    "1,000 nested parts": (nested(1_000), "too_nested"),
    "50 nested parts": (nested(50), "no_text"),
    "50 mails in mails": (b"Content-Type: message/rfc822\n\n" * 50 + BODY.encode(), ""),
    "100,000 parts": (
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 100_000,
        "too_many_parts",
    ),
    "10 MB of line ends": (b"Subject: x\n\n" + b"\n" * 10_000_000, "too_many_lines"),
    "a header without end": (b"Subject: " + b"x" * 5_000_000, "headers_too_long"),
    "a million headers": (b"a: b\n" * 1_000_000, "headers_too_long"),
    "no header": (b"\n\n" + BODY.encode(), ""),
    "no text": (multipart(("Content-Type: image/png", b"x")), "no_text"),
    "a part without end": (b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type", ""),
    "a boundary that is missing": (b"Content-Type: multipart/mixed\n\n" + BODY.encode(), ""),
    "Base64 that is none": (b"Content-Transfer-Encoding: base64\n\n\xff\xfe%%%", "no_text"),
    "an uuencoded part that is none": (
        b"Content-Transfer-Encoding: x-uuencode\n\nbegin 666 x\n!!!\n",
        "no_text",
    ),
    "only NULs": (b"\0" * 1_000, "no_text"),
    "only bytes": (bytes(range(256)) * 40, ""),
    "brackets in the sender": (b"From: " + b"(" * 5_000 + b"\n\nPurpose: x", ""),
    "a parameter that is none": (b"Content-Type: text/plain; charset*=x'y\n\nPurpose: x", ""),
    "a charset with a NUL": (b'Content-Type: text/plain; charset="\0utf-8"\n\nPurpose: x', ""),
}


@pytest.mark.long
@pytest.mark.parametrize("name", BAD)
def test_bad_mails_say_what_is_wrong_and_cost_little(name: str) -> None:
    raw, trouble = BAD[name]
    tracemalloc.start()
    began = time.process_time()
    letter = read_letter(raw)
    seconds, (_now, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if name not in {"only bytes", "50 mails in mails", "a boundary that is missing"}:
        assert letter.trouble == trouble
    assert seconds < 60
    assert peak < 400_000_000
    assert "\0" not in letter.text + letter.subject + letter.from_name


def test_ten_megabytes_are_read_within_bounds() -> None:
    letter = read_letter(mail(BODY + "あ" * 3_500_000))
    assert read_fields(letter.text)["purpose"] == PURPOSE
    assert letter.is_text_cut
    assert len(letter.text) <= LONGEST_TEXT
    picture = base64.encodebytes(b"\x89PNG" * 1_900_000)
    letter = read_letter(
        multipart(
            ("Content-Type: text/plain; charset=utf-8", BODY.encode()),
            ("Content-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64", picture),
        )
    )
    assert letter.attachments[0].size == 7_600_000
    assert letter.raw is not None


@pytest.mark.parametrize(
    ("sender", "name", "address"),
    [
        ("", "", ""),
        ("mio@minato.example.jp", "", "mio@minato.example.jp"),
        ("undisclosed-recipients:;", "undisclosed-recipients:;", ""),
        ("Mio <mio@minato.example.jp>, Eve <eve@example.net>", "Mio", ""),
        ("Mio <mio@localhost>", "Mio", "mio@localhost"),
        ("Mio <not an address>", "Mio", ""),
        ("\u202emio\u200b <mio@minato.example.jp>", "mio", "mio@minato.example.jp"),
        ("<script>alert(1)</script> <a@example.jp>", None, None),
    ],
)
def test_senders(sender: str, name: str | None, address: str | None) -> None:
    letter = read_letter(b"From: " + sender.encode() + b"\n\nPurpose: x")
    if name is not None:
        assert (letter.from_name, letter.from_address) == (name, address)


def test_header_injection_stays_text() -> None:
    letter = read_letter(
        mail(subject="=?utf-8?Q?a=0D=0ABcc:_eve=40example.net?=", message_id="<a b@c>\r\nX: y")
    )
    assert letter.subject == "a Bcc: eve@example.net"
    assert letter.message_id == ""


@pytest.mark.parametrize(
    ("extra", "sender", "answered"),
    [
        ("", "mio@minato.example.jp", True),
        ("Auto-Submitted: no", "mio@minato.example.jp", True),
        ("Auto-Submitted: auto-replied", "mio@minato.example.jp", False),
        ("Auto-Submitted: auto-generated (rejected)", "mio@minato.example.jp", False),
        ("Precedence: bulk", "mio@minato.example.jp", False),
        ("Precedence: LIST", "mio@minato.example.jp", False),
        ("List-Id: <team.example.jp>", "mio@minato.example.jp", False),
        ("List-Unsubscribe: <mailto:x@example.jp>", "mio@minato.example.jp", False),
        ("X-Auto-Response-Suppress: DR, AutoReply", "mio@minato.example.jp", False),
        ("X-Spam-Flag: YES", "mio@minato.example.jp", False),
        ("Return-Path: <>", "mio@minato.example.jp", False),
        ("Return-Path: <mio@minato.example.jp>", "mio@minato.example.jp", True),
        ("", "no-reply@minato.example.jp", False),
        ("", "noreply+x@minato.example.jp", False),
        ("", "MAILER-DAEMON@minato.example.jp", False),
        ("", "team-request@minato.example.jp", False),
        ("", "bounces-12@minato.example.jp", False),
        ("", "norep@minato.example.jp", True),
    ],
)
def test_only_people_are_answered(extra: str, sender: str, answered: bool) -> None:
    assert read_letter(mail(extra=extra, sender=sender)).may_answer is answered


# --- secrets --------------------------------------------------------------------------------------------

KEY = generate("kb", "live").text
LINK = "https://kagiban.example.jp/decide/" + "aB3_-" * 8 + "xyz"


HIDDEN = [
    "8bit",
    "base64",
    "quoted-printable",
    "html",
    "full width",
    "invisible",
    "subject",
    "attached",
    "sender",
]


@pytest.mark.parametrize(
    ("secret", "how"),
    # A link that is broken over lines leads nowhere.
    [(KEY, "wrapped"), *((secret, how) for secret in (KEY, LINK) for how in HIDDEN)],
    ids=lambda value: {KEY: "key", LINK: "link"}.get(value, value),  # a key is another one in each process
)
def test_secrets_are_kept_nowhere(secret: str, how: str) -> None:
    tail = secret.rsplit("/", 1)[-1][-30:]
    if how == "wrapped":
        secret = secret[:40] + "\n> " + secret[40:]
    text = f"用途：照会\nキーは {secret} です。\n"
    if how == "full width":
        text = "".join(chr(ord(c) + 0xFEE0) if c.isalnum() and c.isascii() else c for c in text)
    if how == "invisible":
        text = text.replace(secret, secret[:30] + "\u200b" + secret[30:])
    letter = read_letter(
        {
            "html": lambda: mail(
                f"<p>用途：照会</p><b>{secret[:50]}</b><i>{secret[50:]}</i>", kind="text/html"
            ),
            "subject": lambda: mail(subject=f"キー {secret}"),
            "sender": lambda: mail(sender=f"{secret} <a@example.jp>"),
            "attached": lambda: multipart(
                ("Content-Type: text/plain; charset=utf-8", BODY.encode()),
                (
                    "Content-Type: text/plain; name=.env\nContent-Transfer-Encoding: base64",
                    base64.encodebytes(secret.encode()),
                ),
            ),
        }.get(how, lambda: mail(text, encoding=how if how in {"base64", "quoted-printable"} else "8bit"))()
    )
    assert letter.held_secret
    kept = repr((letter.text, letter.subject, letter.from_name, letter.raw))
    assert tail not in kept
    assert not contains_secret(kept)
    if letter.raw is not None:
        again = read_letter(letter.raw)
        assert not again.held_secret


def test_mask_all_leaves_what_is_no_secret() -> None:
    text = f"a {KEY} b\n{KEY}\nkb_live_short kb_live_{'a' * 12}_tooshort\n{KEY}"
    masked = mask_all(text)
    assert masked.count("…") == 3
    assert not contains_secret(masked)
    assert masked.startswith(f"a {KEY.rsplit('_', 1)[0]}_… b\n")
    assert "kb_live_short kb_live_" in masked
    assert mask_all("x" * 100) == "x" * 100
    two = KEY.rsplit("_", 1)
    assert mask_all(f"{two[0]}_abc\n{two[1]}") == f"{two[0]}_…"


# --- returned mails -------------------------------------------------------------------------------------

UID = "7b1f0c3e-8a52-4d8e-9f55-0c1d2e3f4a5b"
OURS = f"<{UID}@example.jp>"


@pytest.mark.parametrize(
    ("options", "is_ours", "is_final"),
    [
        ({}, True, True),
        ({"status": "4.2.2"}, True, False),
        ({"status": "4.4.7"}, True, True),
        ({"status": "4.4.1", "action": "delayed"}, True, False),
        ({"status": "2.0.0", "action": "delivered"}, True, False),
        ({"status": "nonsense"}, True, False),
        ({"message_id": f"<{UID}@elsewhere.example>"}, False, True),
        ({"message_id": "<x@example.jp>"}, False, True),
        ({"message_id": "<x@other>", "to": f"bounces+{UID.replace('-', '')}@example.jp"}, True, True),
    ],
)
def test_delivery_reports(options: dict[str, Any], is_ours: bool, is_final: bool) -> None:
    letter = read_letter(delivery_report(**{"message_id": OURS} | options))
    assert letter.bounce is not None
    assert (letter.bounce.uid is not None, letter.bounce.is_final) == (is_ours, is_final)
    assert letter.text.startswith("I'm sorry")
    assert letter.raw is None
    assert not letter.may_answer


def test_report_with_headers_only_and_report_by_reference() -> None:
    report = delivery_report(message_id="<x@y>")
    headers_only = report.replace(b"message/rfc822", b"text/rfc822-headers").replace(b"<x@y>", OURS.encode())
    assert read_letter(headers_only).bounce.uid is not None  # type: ignore[union-attr]
    answered = report.replace(
        b"Subject: Undelivered", b"In-Reply-To: " + OURS.encode() + b"\nSubject: Undelivered"
    )
    assert read_letter(answered).bounce.uid is not None  # type: ignore[union-attr]


def test_human_answer_to_our_mail_is_no_bounce() -> None:
    letter = read_letter(mail(extra=f"In-Reply-To: {OURS}"))
    assert letter.bounce is None


def test_identity_is_the_message_id_or_else_the_bytes() -> None:
    assert identity_of(mail()) == identity_of(mail("other text"))
    assert identity_of(mail()) != identity_of(mail(message_id="<2@minato.example.jp>"))
    folded = mail().replace(b"Message-ID: ", b"Message-Id:\r\n ")
    assert identity_of(folded) == identity_of(mail())
    assert identity_of(mail(message_id=None)) != identity_of(mail("x", message_id=None))
    in_body = b"Subject: x\n\nMessage-ID: <1@minato.example.jp>"
    assert identity_of(in_body) != identity_of(mail())
